//! Timeouts and retries, to the millisecond: the library in virtual time, over a simulated network.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytesize::ByteSize;
use foster::Token;
use foster::net::serve::serve;
use foster::net::{TcpListener, TcpStream};
use foster::runtimes::Sim;
use futures_util::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use linkcheck::{Config, Report, Site};

/// The host that is checked. Within a host, nothing takes time.
const SITE: &str = "http://127.0.0.1/";

const MS: Duration = Duration::from_millis(1);

/// Longer than any timeout here.
const NEVER: Duration = Duration::from_secs(3600);

/// Checks a host that answers `GET /path` after some time.
fn check(config: &Config, answer: impl Fn(&str) -> (Duration, String) + Send + Sync) -> Report {
    let check = foster::scope(async |s| {
        let listener = TcpListener::bind("127.0.0.1:80").await.expect("a free port");
        let host = s.spawn(serve(listener, async |stream| drop(converse(stream, &answer).await)).run());
        let site: Site = SITE.parse().expect("an address");
        let report = linkcheck::check(&site, config, &Token::new(), &mut |_| {}).await;
        host.cancel();
        report.expect("a host is checked, so nothing is served")
    });
    Sim::new(1).run(check)
}

async fn converse(stream: TcpStream, answer: impl Fn(&str) -> (Duration, String)) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut request, mut line) = (String::new(), String::new());
    stream.read_line(&mut request).await?;
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let (delay, text) = answer(request.trim_end_matches(" HTTP/1.1\r\n"));
    foster::sleep(delay).await;
    stream.get_mut().write_all(text.as_bytes()).await
}

fn page(body: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn config(timeout: Duration, retries: u32) -> Config {
    let (jobs, per_host) = (NonZeroUsize::MIN.saturating_add(7), NonZeroUsize::MIN);
    Config { jobs, per_host, timeout, retries, max_page: ByteSize::mib(1), exclude: Vec::new() }
}

fn broken(report: &Report) -> Vec<String> {
    report.broken.iter().map(|broken| broken.to_string().replace(SITE, "/")).collect()
}

#[test]
fn a_host_that_does_not_answer_is_given_its_time_and_its_retries() {
    let report = check(&config(200 * MS, 2), |request| match request {
        "GET /" => (MS, page("\n<a href=/slow>")),
        _ => (NEVER, String::new()),
    });
    assert_eq!(broken(&report), ["/:2: /slow: no answer within 200ms"]);
    // The start, three times the timeout, and the pauses before the retries.
    assert_eq!(report.elapsed, (1 + 3 * 200 + 100 + 200) * MS);
}

#[test]
fn an_answer_at_the_last_try_is_good() {
    for failure in [(NEVER, String::new()), (199 * MS, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_owned())] {
        let requests = AtomicUsize::new(0);
        let report = check(&config(200 * MS, 3), |_| match requests.fetch_add(1, Ordering::Relaxed) {
            0..3 => failure.clone(),
            _ => (199 * MS, page("")),
        });
        assert_eq!((report.pages, broken(&report)), (1, vec![]));
        let tries = if failure.0 == NEVER { 3 * 200 + 199 } else { 4 * 199 };
        assert_eq!(report.elapsed, (tries + 100 + 200 + 400) * MS);
    }
}

/// A page that is next in line has not been asked for yet.
#[test]
fn the_wait_for_a_connection_does_not_count() {
    let report = check(&config(200 * MS, 0), |request| match request {
        "GET /" => (MS, page("<a href=/1><a href=/2><a href=/3>")),
        _ => (150 * MS, page("")),
    });
    assert_eq!((report.pages, broken(&report)), (4, vec![]));
    assert_eq!(report.elapsed, (1 + 3 * 150) * MS);
}
