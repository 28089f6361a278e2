//! Timeouts and retries, to the millisecond: the library in virtual time, over a simulated network.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytesize::ByteSize;
use foster::Token;
use foster::net::TcpListener;
use foster::net::serve::serve;
use foster::runtimes::Sim;
use futures_util::io::{self, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use linkcheck::{Config, Report, Site};

/// The host that is checked. What is sent on one machine takes no time.
const SITE: &str = "http://127.0.0.1/";

/// Two other hosts.
const OTHERS: [&str; 2] = ["http://127.0.0.1:81/", "http://127.0.0.1:82/"];

const MS: Duration = Duration::from_millis(1);

/// Longer than any timeout here.
const NEVER: Duration = Duration::from_secs(3600);

/// Checks a host that answers `GET /path` after some time, as do the others.
fn check(config: &Config, answer: impl Fn(&str) -> (Duration, String) + Send + Sync) -> Report {
    let check = foster::scope(async |s| {
        for port in 80..=82 {
            let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
            s.spawn(serve(listener, async |stream| drop(converse(stream, &answer).await)).run());
        }
        let site: Site = SITE.parse().expect("an address");
        let report = linkcheck::check(&site, config, &Token::new(), &mut |_| {}).await;
        s.cancel("the check is done");
        report.expect("a host is checked, so nothing is served")
    });
    Sim::new(1).run(check)
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl Fn(&str) -> (Duration, String),
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut request, mut line) = (String::new(), String::new());
    if stream.read_line(&mut request).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
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
    Config {
        jobs,
        per_host,
        timeout,
        retries,
        max_page: ByteSize::mib(1),
        exclude: Vec::new(),
        external: false,
        tls: None,
    }
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

#[test]
fn each_other_host_has_connections_of_its_own_within_the_limit() {
    let [one, two] = OTHERS;
    let links = format!("<a href='{one}1'><a href='{one}2'><a href='{two}3'><a href='{one}4'><a href='{two}5'>");
    let report = check(&Config { external: true, ..config(200 * MS, 0) }, |request| match request {
        "GET /" => (MS, page(&links)),
        _ => (150 * MS, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()),
    });
    assert_eq!((report.external, broken(&report)), (5, vec![]));
    assert_eq!(report.elapsed, (1 + 3 * 150) * MS);
}

#[test]
fn another_host_is_given_its_time_and_its_retries() {
    let report = check(&Config { external: true, ..config(200 * MS, 1) }, |request| match request {
        "GET /" => (MS, page(&format!("<a href='{}'>", OTHERS[0]))),
        _ => (NEVER, String::new()),
    });
    assert_eq!(broken(&report), ["/:1: http://127.0.0.1:81/: no answer within 200ms"]);
    assert_eq!(report.elapsed, (1 + 2 * 200 + 100) * MS);
}

#[test]
fn a_host_that_keeps_silent_is_given_up() {
    let links: String = (1..=20).map(|number| format!("<a href='{}{number}'>\n", OTHERS[0])).collect();
    let report = check(&Config { external: true, ..config(200 * MS, 1) }, |request| match request {
        "GET /" => (MS, page(&links)),
        _ => (NEVER, String::new()),
    });
    let why = |number| match number {
        1..=8 => "no answer within 200ms",
        _ => "not asked for: the host has not answered for 8 documents in a row",
    };
    let expected = (1..=20).map(|number| format!("/:{number}: {}{number}: {}", OTHERS[0], why(number)));
    assert_eq!(broken(&report), expected.collect::<Vec<_>>());
    // Each of the eight has its retry. Their pauses pass while others have the one connection.
    assert_eq!(report.elapsed, (1 + 8 * (200 + 200)) * MS);
}

#[test]
fn a_host_that_was_given_up_is_asked_again_after_a_minute() {
    let [other, _] = OTHERS;
    let many: String = (1..=9).map(|number| format!("<a href='{other}{number}'>\n")).collect();
    let report = check(&Config { external: true, ..config(100_000 * MS, 0) }, |request| match request {
        "GET /" => (MS, page(&format!("{many}<a href=/late>"))),
        "GET /late" => (61_000 * MS, page(&format!("<a href='{other}good'><a href='{other}fine'>"))),
        "HEAD /good" | "HEAD /fine" => (MS, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned()),
        _ => (MS, String::new()),
    });
    assert_eq!((report.external, report.broken.len()), (2, 9));
}

/// A host that answers with errors is there.
#[test]
fn a_host_that_is_in_trouble_is_not_given_up() {
    let links: String = (1..=20).map(|number| format!("<a href=/{number}>\n")).collect();
    let report = check(&config(200 * MS, 0), |request| match request {
        "GET /" => (MS, page(&links)),
        _ => (MS, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()),
    });
    let expected = (1..=20).map(|number| format!("/:{number}: /{number}: 503 Busy"));
    assert_eq!(broken(&report), expected.collect::<Vec<_>>());
}

/// Or a check of a thousand hosts would have thousands of idle connections.
#[test]
fn connections_to_another_host_are_closed_when_no_link_leads_there_any_longer() {
    let answer = |request: &str| match request {
        "GET /" => (MS, page(&format!("<a href='{}'><a href=/slow>", OTHERS[0]))),
        _ => (150 * MS, page("")),
    };
    let check = foster::scope(async |s| {
        let listener = TcpListener::bind("127.0.0.1:80").await.expect("a free port");
        s.spawn(serve(listener, async |stream| drop(converse(stream, answer).await)).run());
        let listener = TcpListener::bind("127.0.0.1:81").await.expect("a free port");
        let kept = s.spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let began = foster::now();
            converse(&mut stream, |_| (MS, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned())).await?;
            io::copy(stream, &mut io::sink()).await?;
            Ok::<_, io::Error>(foster::now() - began)
        });
        let site: Site = SITE.parse().expect("an address");
        let config = Config { external: true, ..config(200 * MS, 0) };
        let report = linkcheck::check(&site, &config, &Token::new(), &mut |_| {}).await.expect("a host");
        assert_eq!((report.external, report.pages, report.elapsed), (1, 2, 151 * MS));
        let kept = kept.await.expect("one connection");
        s.cancel("the check is done");
        kept
    });
    assert_eq!(Sim::new(1).run(check), MS);
}

#[test]
fn nobody_is_trusted_unless_it_is_said_whom_to_trust() {
    let report =
        check(&Config { external: true, ..config(200 * MS, 2) }, |_| (MS, page("<a href=https://127.0.0.1:81/>")));
    let [said] = &broken(&report)[..] else { panic!("{report:?}") };
    assert!(said.starts_with("/:1: https://127.0.0.1:81/: the certificate is not trusted: nobody is"), "{said}");
    assert_eq!(report.elapsed, MS);
}

#[test]
fn pages_that_are_visited_one_after_the_other_share_a_connection() {
    let connections = AtomicUsize::new(0);
    let answer = |request: &str| {
        let text = match request {
            "GET /" => page("<a href=/next>"),
            "GET /next" => page("<a href=/last>"),
            _ => page(""),
        };
        (MS, text.replace("Connection: close\r\n", ""))
    };
    let check = foster::scope(async |s| {
        let listener = TcpListener::bind("127.0.0.1:80").await.expect("a free port");
        let host = serve(listener, async |mut stream| {
            connections.fetch_add(1, Ordering::Relaxed);
            while converse(&mut stream, answer).await.is_ok() {}
        });
        s.spawn(host.run());
        let site: Site = SITE.parse().expect("an address");
        let report = linkcheck::check(&site, &config(200 * MS, 0), &Token::new(), &mut |_| {}).await;
        s.cancel("the check is done");
        report.expect("a host is checked, so nothing is served").pages
    });
    assert_eq!(Sim::new(1).run(check), 3);
    assert_eq!(connections.into_inner(), 1);
}
