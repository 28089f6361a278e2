//! Hosts that are reached by TLS, and what may be wrong with their certificates.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use support::{RUNTIMES, check, folder, hang, linkcheck, page, redirect, serve, serve_at, status};
use tempfile::NamedTempFile;

/// What a host shows, and what its client has to trust.
struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    issuer: Certificate,
    /// What is spoken over TLS. If this is empty, nothing is said about it.
    protocols: Vec<Vec<u8>>,
}

impl Identity {
    /// An identity whose certificate is issued by an authority of its own.
    fn issued(params: CertificateParams) -> Self {
        let mut authority = named("an authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (key, authority_key) = (new_key(), new_key());
        let issuer = authority.self_signed(&authority_key).expect("a certificate");
        let signed = params.signed_by(&key, &Issuer::new(authority, authority_key)).expect("a certificate");
        Identity { certificate: signed.into(), key: key.into(), issuer, protocols: Vec::new() }
    }

    fn self_signed(params: CertificateParams) -> Self {
        let key = new_key();
        let issuer = params.self_signed(&key).expect("a certificate");
        Identity { certificate: issuer.der().clone(), key: key.into(), issuer, protocols: Vec::new() }
    }

    /// The file for `--ca`.
    fn authority(&self) -> NamedTempFile {
        file(&self.issuer.pem())
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn named(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).expect("a name")
}

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("a file that can be written to");
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().expect("text")
}

/// A server that shows `identity`.
fn serve_tls(host: &str, identity: Identity, answer: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
    serve_at(host, transport(identity), answer)
}

/// The server's end of TLS.
fn transport(identity: Identity) -> impl Fn(TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    let Identity { certificate, key, protocols, .. } = identity;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let mut config = config.expect("a certificate and its key");
    config.alpn_protocols = protocols;
    let config = Arc::new(config);
    move |stream| StreamOwned::new(ServerConnection::new(config.clone()).expect("a connection"), stream)
}

#[test]
fn a_site_is_checked_over_tls_under_every_runtime() {
    let identity = Identity::issued(named("localhost"));
    let authority = identity.authority();
    let site = serve_tls("https://localhost", identity, |request| match request {
        "GET /" => page("<a href=a#x><a href=a#y>\n<a href=/missing><img src=b.png>"),
        "GET /a" => page("<p id=x>"),
        "HEAD /b.png" => status("200 OK"),
        _ => status("404 Not Found"),
    });
    for runtime in RUNTIMES {
        let run = linkcheck(&[&site, "--json", "--ca", path(&authority), "--runtime", runtime]);
        let expected = ["/:1: /a#y: the page has no such fragment", "/:2: /missing: 404 Not Found"];
        assert_eq!(run.broken_at(&site), expected, "{runtime}: {run:?}");
        let report = run.json();
        assert_eq!((&report["pages"], &report["files"]), (&2.into(), &1.into()), "{runtime}");
    }
}

#[test]
fn a_start_may_lead_to_a_host_that_is_secure() {
    let identity = Identity::issued(named("localhost"));
    let authority = identity.authority();
    let site = serve_tls("https://localhost", identity, |_| page("<a href=#missing>"));
    let to = site.clone();
    let start = serve(move |_| redirect(&to));
    let run = linkcheck(&[&start, "--json", "--ca", path(&authority)]);
    assert_eq!(run.broken_at(&site), ["/:1: /#missing: the page has no such fragment"], "{run:?}");

    let run = linkcheck(&[&start, "--json"]);
    let expected = "/:0: /: the certificate is not trusted: its issuer is not known; --ca adds one";
    assert_eq!(run.broken_at(&site), [expected], "{run:?}");
}

#[test]
fn a_certificate_may_be_for_an_address_and_be_its_own_authority() {
    let identity = Identity::self_signed(named("127.0.0.1"));
    let authority = identity.authority();
    let site = serve_tls("https://127.0.0.1", identity, |_| page("<a href=#>"));
    let run = linkcheck(&[&site, "--json", "--ca", path(&authority)]);
    assert_eq!((run.status, run.broken_at(&site)), (Some(0), vec![]), "{run:?}");
}

#[test]
fn what_is_wrong_with_a_certificate_is_a_finding() {
    let mut expired = named("localhost");
    (expired.not_before, expired.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2001, 12, 31));
    let mut early = named("localhost");
    (early.not_before, early.not_after) = (date_time_ymd(3001, 1, 1), date_time_ymd(3001, 12, 31));
    let cases = [
        (Identity::issued(named("other.example")), true, "it is not for `localhost`"),
        (Identity::issued(expired), true, "it has expired"),
        (Identity::issued(early), true, "it is not valid yet"),
        (Identity::issued(named("localhost")), false, "its issuer is not known; --ca adds one"),
        (Identity::self_signed(named("localhost")), false, "its issuer is not known; --ca adds one"),
    ];
    for (identity, is_trusted, expected) in cases {
        let authority = identity.authority();
        let other = serve_tls("https://localhost", identity, |_| status("200 OK"));
        let pages = folder(&[("index.html", &format!("<a href='{other}'>"))]);
        let trust: &[&str] = if is_trusted { &["--ca", path(&authority)] } else { &[] };
        let run = check(&pages, &[&["--external"], trust].concat());
        let finding = format!("index.html:1: {other}: the certificate is not trusted: {expected}");
        assert_eq!((run.status, run.broken()), (Some(1), vec![finding]), "{run:?}");
    }
}

#[test]
fn a_certificate_is_not_asked_for_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let (count, secure) = (connections.clone(), transport(Identity::self_signed(named("localhost"))));
    let counted = move |stream| {
        count.fetch_add(1, Ordering::Relaxed);
        secure(stream)
    };
    let site = serve_at("https://localhost", counted, |_| status("200 OK"));
    let run = linkcheck(&[&site, "--retries", "3"]);
    assert_eq!((run.status, connections.swap(0, Ordering::Relaxed)), (Some(2), 1), "{run:?}");
    let pages = folder(&[("index.html", &format!("<a href='{site}'>"))]);
    let run = check(&pages, &["--external", "--retries", "3"]);
    assert_eq!((run.status, connections.load(Ordering::Relaxed)), (Some(1), 1), "{run:?}");
}

#[test]
fn what_is_not_tls_is_said_to_be_so() {
    let hasty = |mut stream: TcpStream| {
        stream.write_all(b"220 mail ready\r\n").expect("the client waits");
        stream
    };
    let site = serve_at("https://localhost", hasty, |_| String::new());
    let broken = linkcheck(&[&site, "--json"]).broken_at(&site);
    assert!(broken[0].starts_with("/:0: /: not an answer in TLS"), "{broken:?}");
}

#[test]
fn a_host_is_told_that_it_is_to_speak_http_1() {
    for (protocols, expected) in [
        (vec!["h2", "http/1.1"], vec![]),
        (vec!["h2"], vec!["/:0: /: not an answer in TLS: received fatal alert: NoApplicationProtocol"]),
    ] {
        let mut identity = Identity::self_signed(named("localhost"));
        identity.protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let authority = identity.authority();
        let site = serve_tls("https://localhost", identity, |_| page(""));
        let run = linkcheck(&[&site, "--json", "--ca", path(&authority)]);
        assert_eq!(run.broken_at(&site), expected, "{protocols:?}");
    }
}

#[test]
fn the_time_for_an_answer_includes_the_handshake() {
    let silent = |_| -> TcpStream { panic!("{}", hang()) };
    let site = serve_at("https://localhost", silent, |_| hang());
    for runtime in RUNTIMES {
        let run = linkcheck(&[&site, "--json", "--timeout", "20ms", "--retries", "0", "--runtime", runtime]);
        assert_eq!(run.broken_at(&site), ["/:0: /: no answer within 20ms"], "{runtime}");
    }
}

#[test]
fn a_file_without_a_certificate_is_explained() {
    let (empty, key) = (file("no certificate"), file(&new_key().serialize_pem()));
    let damaged = file("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    let cases = [
        ("/no/such/file", "`/no/such/file`: entity not found"),
        (path(&empty), "there is no certificate in the file"),
        (path(&key), "there is no certificate in the file"),
        (path(&damaged), path(&damaged)),
    ];
    for (file, expected) in cases {
        let run = linkcheck(&["--ca", file]);
        assert_eq!((run.status, &*run.stdout), (Some(2), ""), "{file}");
        assert!(run.stderr.contains(expected), "{file}: {}", run.stderr);
    }
}
