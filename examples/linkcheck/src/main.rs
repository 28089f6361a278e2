//! The command line: hands the library a runtime, and tells what it found.

mod runtimes;

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::time::Duration;

use bytesize::ByteSize;
use clap::Parser;
use foster::Token;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use linkcheck::{Config, Progress, Report, Site, SiteError, Tls, TlsError};
use regex_lite::Regex;

use crate::runtimes::Runtime;

const BROKEN: u8 = 1;
const CANNOT_RUN: u8 = 2;
const INTERRUPTED: u8 = 130;

const EXIT_STATUS: &str = "\
Exit status:
    0  every link is fine
    1  some links are broken, or some files cannot be read
    2  wrong usage, or there was no page to check
  130  interrupted by Ctrl-C; what was found so far is printed (a second Ctrl-C ends at once, without)";

/// Checks every link of a website: that the page exists, and that it has the #fragment.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_STATUS)]
struct Args {
    /// A folder, which is served on the loopback interface, or an http:// or https:// address,
    /// whose host is crawled. Without either, a small bundled site with broken links is checked.
    #[arg(value_name = "FOLDER | URL")]
    site: Option<Site>,

    /// What runs the check
    #[arg(long, value_enum, default_value_t)]
    runtime: Runtime,

    /// How many pages are in work at a time
    #[arg(long, value_name = "N", default_value = "64", value_parser = count)]
    jobs: NonZeroUsize,

    /// How many connections to a host there are at a time
    #[arg(long, value_name = "N", default_value = "16", value_parser = count)]
    per_host: NonZeroUsize,

    /// How long an answer may take, such as 500ms or 10s
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = timeout)]
    timeout: Duration,

    /// How often a request is repeated that times out, breaks off, or meets a server in trouble
    #[arg(long, value_name = "N", default_value_t = 2)]
    retries: u32,

    /// The longest page that is read, such as 500KiB or 64MiB; a longer one is a finding
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    max_page: ByteSize,

    /// Leave out the addresses that match, as the report writes the targets of links: they are not
    /// asked for, and links to them are not checked. May be repeated
    #[arg(long, value_name = "REGEX")]
    exclude: Vec<Regex>,

    /// Check links to other hosts, too: that the page exists. It is not searched for links
    #[arg(long, hide = !cfg!(feature = "https"))]
    external: bool,

    /// Trust the certificates in this file, too, which are in the PEM format. May be repeated
    #[arg(long, value_name = "FILE", hide = !cfg!(feature = "https"))]
    ca: Vec<PathBuf>,

    /// The folder with the whole site, of which the checked folder is a part, so that links may
    /// lead from the part to anywhere in the site
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,

    /// The path at which the site has the folder, such as /docs; what is not below it is outside
    #[arg(long, value_name = "PATH")]
    mount: Option<String>,

    /// Of a URL's host, check only the pages below this path, such as /docs, and that the pages
    /// exist to which they link
    #[arg(long, value_name = "PATH")]
    within: Option<String>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

fn count(word: &str) -> Result<NonZeroUsize, String> {
    let count: usize = word.parse().map_err(|error| format!("{error}"))?;
    NonZeroUsize::new(count).ok_or_else(|| "must be 1 or more".to_owned())
}

fn timeout(word: &str) -> Result<Duration, String> {
    match humantime::parse_duration(word) {
        Ok(Duration::ZERO) => Err("nothing can answer in no time".to_owned()),
        Ok(timeout) => Ok(timeout),
        Err(error) => Err(error.to_string()),
    }
}

fn main() -> ExitCode {
    // Ends the program by itself, with status 2, if the arguments are wrong.
    let args = Args::parse();
    match run(args) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("linkcheck: {error}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

fn run(args: Args) -> Result<u8, Box<dyn Error>> {
    let site = site(&args)?;
    let tls = tls(&args, &site)?;
    let Args { runtime, jobs, per_host, timeout, retries, max_page, exclude, external, json, .. } = args;
    let config = Config { jobs, per_host, timeout, retries, max_page, exclude, external, tls };
    let runtime = runtime.start()?;
    let stop = stop_on_interrupt()?;

    let bar = progress_bar(json);
    let mut observe = |progress| show(&bar, progress);
    let report = runtime.run(linkcheck::check(&site, &config, &stop, &mut observe));
    bar.finish_and_clear();

    let report = report?;
    print(&report, json)?;
    Ok(status(&report))
}

fn site(args: &Args) -> Result<Site, SiteError> {
    let mut site = args.site.clone().unwrap_or(Site::Bundled);
    if let Some(root) = &args.root {
        site = site.with_root(root)?;
    }
    if let Some(path) = &args.mount {
        site = site.with_mount(path)?;
    }
    if let Some(path) = &args.within {
        site = site.with_prefix(path)?;
    }
    Ok(site)
}

/// Whom to trust, if a host may have to be trusted.
fn tls(args: &Args, site: &Site) -> Result<Option<Tls>, TlsError> {
    let (is_host, is_secure) = match site {
        Site::Host { start, .. } => (true, start.scheme() == "https"),
        _ => (false, false),
    };
    if is_secure || args.external || !args.ca.is_empty() {
        return Tls::new(&args.ca).map(Some);
    }
    // The host may lead to one that is secure.
    Ok(is_host.then(|| Tls::new(&[]).ok()).flatten())
}

/// A token that the first Ctrl-C cancels. The second one does not wait for the end.
fn stop_on_interrupt() -> Result<Token, ctrlc::Error> {
    let stop = Token::new();
    let interrupt = stop.clone();
    ctrlc::set_handler(move || {
        if interrupt.is_cancelled() {
            process::exit(INTERRUPTED.into());
        }
        interrupt.cancel("interrupted");
    })?;
    Ok(stop)
}

/// A bar on the terminal, if standard error is one.
fn progress_bar(hidden: bool) -> ProgressBar {
    if hidden {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} addresses, {rate} per second{msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate);
    ProgressBar::new(0).with_style(style)
}

fn rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    // Writing to a bar's line does not fail.
    let _ = write!(out, "{:.0}", state.per_sec());
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.known as u64);
    bar.set_position(progress.visited as u64);
    if progress.broken > 0 {
        bar.set_message(format!(", {} broken", progress.broken));
    }
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let out = io::BufWriter::new(io::stdout().lock());
    let printed = if json { report.write_json(out) } else { report.write_text(out) };
    match printed {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

fn status(report: &Report) -> u8 {
    match report {
        report if report.interrupted => INTERRUPTED,
        report if report.pages == 0 => {
            eprintln!("linkcheck: there was no page to check");
            CANNOT_RUN
        }
        report if report.broken.is_empty() => 0,
        _ => BROKEN,
    }
}
