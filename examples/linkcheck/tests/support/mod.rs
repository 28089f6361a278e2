//! Runs the program, and servers that misbehave on purpose.
#![allow(dead_code, reason = "each test program uses a part of this")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

/// The runtimes that the program is built with.
pub(crate) const RUNTIMES: &[&str] = &[
    #[cfg(feature = "tokio")]
    "tokio",
    #[cfg(feature = "smol")]
    "smol",
    #[cfg(feature = "async-std")]
    "async-std",
    #[cfg(feature = "basic")]
    "basic",
];

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Run {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Run {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The broken links of a run with `--json`, as in `page:line: target: reason`.
    pub(crate) fn broken(&self) -> Vec<String> {
        self.broken_at("no site at all")
    }

    /// The same, with `/` for the address of a site.
    pub(crate) fn broken_at(&self, site: &str) -> Vec<String> {
        let json = self.json();
        let broken = json["broken"].as_array().expect("a list");
        let text = |value: &Value| value.as_str().expect("text").replace(site, "/");
        let line = |link: &Value| {
            let (page, target, reason) = (text(&link["page"]), text(&link["target"]), text(&link["reason"]));
            format!("{page}:{}: {target}: {reason}", link["line"])
        };
        broken.iter().map(line).collect()
    }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linkcheck"));
    command.args(arguments);
    command
}

pub(crate) fn linkcheck(arguments: &[&str]) -> Run {
    command(arguments).output().expect("the program runs").into()
}

pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (name, content) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder in a folder")).expect("a folder");
        fs::write(file, content).expect("a file");
    }
    folder
}

/// Runs the program on a folder, with `--json`.
pub(crate) fn check(folder: &TempDir, arguments: &[&str]) -> Run {
    let path = folder.path().to_str().expect("text");
    linkcheck(&[&[path, "--json"], arguments].concat())
}

/// A server whose answers are made by a closure from `GET /path`, byte by byte as they go out. It
/// closes each connection after one answer, and lasts as long as the test program.
pub(crate) fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
    serve_at("http://127.0.0.1", |stream| stream, answer)
}

/// The same at a free port of `host`, a name of this machine, over what `transport` makes of a
/// connection.
pub(crate) fn serve_at<S: Read + Write>(
    host: &str,
    transport: impl Fn(TcpStream) -> S + Send + Sync + 'static,
    answer: impl Fn(&str) -> String + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let site = format!("{host}:{}/", address(&listener).port());
    let server = Arc::new((transport, answer));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let server = server.clone();
            thread::spawn(move || respond(server.0(stream.expect("a connection")), &server.1));
        }
    });
    site
}

/// The address of a site where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}/", address(&listener))
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound socket")
}

fn respond(mut stream: impl Read + Write, answer: &dyn Fn(&str) -> String) {
    let mut lines = BufReader::new(&mut stream).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let request = request.trim_end_matches(" HTTP/1.1");
    // The client may have gone by now.
    drop(stream.write_all(answer(request).as_bytes()));
}

pub(crate) fn page(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn status(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

pub(crate) fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

/// Never answers.
pub(crate) fn hang() -> String {
    loop {
        thread::park();
    }
}
