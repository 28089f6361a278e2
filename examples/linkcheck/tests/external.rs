//! Links to other hosts, which are checked with `--external`.

mod support;

use std::sync::{Arc, Mutex};

use support::{RUNTIMES, check, folder, hang, linkcheck, nobody, page, redirect, serve, serve_at, status};

/// Another host than that of [`serve`].
fn serve_elsewhere(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
    serve_at("http://localhost", |stream| stream, answer)
}

#[test]
fn each_document_of_another_host_is_asked_for_once_and_not_followed() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let other = serve_elsewhere(move |request| {
        log.lock().expect("no panic").push(request.to_owned());
        match request {
            "HEAD /page" => page(""),
            "HEAD /file.png" => status("200 OK"),
            _ => status("404 Not Found"),
        }
    });
    let links = format!(
        "<a href='{other}page'><a href='{other}page#any'><img src='{other}file.png'><a href=mailto:me>\n\
         <a href='{other}missing'><a href='{other}missing#any'>"
    );
    let site = serve(move |_| page(&links));
    for runtime in RUNTIMES {
        let run = linkcheck(&[&site, "--json", "--external", "--runtime", runtime]);
        let expected = ["missing", "missing#any"].map(|path| format!("/:2: {other}{path}: 404 Not Found"));
        assert_eq!(run.broken_at(&site), expected, "{runtime}: {run:?}");
        let counts = ["pages", "files", "external", "links", "outside"].map(|name| run.json()[name].clone());
        assert_eq!(counts, [1, 0, 2, 6, 1].map(|count| serde_json::json!(count)), "{runtime}");

        let mut asked = std::mem::take(&mut *asked.lock().expect("no panic"));
        asked.sort();
        // A host that has no document may only have refused to give its head, so it is asked again.
        assert_eq!(asked, ["GET /missing", "HEAD /file.png", "HEAD /missing", "HEAD /page"], "{runtime}");
    }
}

#[test]
fn a_host_that_refuses_to_give_heads_is_asked_for_the_whole() {
    for refusal in ["405 Method Not Allowed", "501 Not Implemented"] {
        let other = serve_elsewhere(move |request| match request {
            "GET /there" => page("<a href=/never-asked-for>"),
            head if head.starts_with("HEAD") => status(refusal),
            _ => status("404 Not Found"),
        });
        let pages = folder(&[("index.html", &format!("<a href='{other}there'>\n<a href='{other}missing'>"))]);
        let run = check(&pages, &["--external", "--retries", "0"]);
        assert_eq!(run.broken(), [format!("index.html:2: {other}missing: 404 Not Found")], "{refusal}");
        assert_eq!(run.json()["external"], 1, "{refusal}");
    }
}

#[test]
fn a_host_that_is_asked_too_often_is_not_asked_for_the_whole() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let other = serve_elsewhere(move |request| {
        log.lock().expect("no panic").push(request.to_owned());
        status("429 Too Many Requests")
    });
    let pages = folder(&[("index.html", &format!("<a href='{other}'>"))]);
    let run = check(&pages, &["--external", "--retries", "1"]);
    assert_eq!(run.broken(), [format!("index.html:1: {other}: 429 Too Many Requests")]);
    assert_eq!(*asked.lock().expect("no panic"), ["HEAD /", "HEAD /"]);
}

#[test]
fn redirects_are_followed_from_host_to_host() {
    let third = serve(|request| match request {
        "HEAD /there" => status("200 OK"),
        _ => status("410 Gone"),
    });
    let end = third.clone();
    let other = serve_elsewhere(move |request| match request.split_once(' ').expect("a path").1 {
        "/there" => redirect(&format!("{end}there")),
        "/gone" => redirect("/on"),
        "/on" => redirect(&format!("{end}gone")),
        "/circle" => redirect("/circle"),
        _ => redirect("http://[::1"),
    });
    let begin = other.clone();
    let site = serve(move |request| match request {
        "GET /" => page(&format!(
            "<a href='{begin}there'>\n<a href='{begin}gone'>\n<a href='{begin}circle'>\n<a href=away>\n\
             <a href=away/gone>\n<a href='{begin}nowhere'>"
        )),
        "GET /away" => redirect(&format!("{begin}there")),
        "GET /away/gone" => redirect(&format!("{begin}gone")),
        _ => status("404 Not Found"),
    });
    let run = linkcheck(&[&site, "--json", "--external"]);
    let (gone, malformed) = ("410 Gone", "not an address: invalid IPv6 address");
    let expected = [
        format!("/:2: {other}gone: {gone}"),
        format!("/:3: {other}circle: too many redirects"),
        format!("/:5: /away/gone: {gone}"),
        format!("/:6: {other}nowhere: {malformed}"),
    ];
    assert_eq!(run.broken_at(&site), expected, "{run:?}");
}

#[test]
fn a_redirect_back_to_the_site_leads_to_its_fragments() {
    let pages = Arc::new(Mutex::new(String::new()));
    let back = pages.clone();
    let other = serve_elsewhere(move |_| redirect(&format!("{}page", back.lock().expect("no panic"))));
    let link = other.clone();
    let site = serve(move |request| match request {
        "GET /" => page(&format!("<a href='{link}#x'><a href='{link}#y'>")),
        _ => page("<p id=x><a href=missing>"),
    });
    pages.lock().expect("no panic").push_str(&site);
    let run = linkcheck(&[&site, "--json", "--external", "--exclude", "missing"]);
    assert_eq!(run.broken_at(&site), [format!("/:1: {other}#y: the page has no such fragment")], "{run:?}");
    assert_eq!((&run.json()["pages"], &run.json()["excluded"]), (&2.into(), &1.into()));
}

#[test]
fn other_hosts_may_be_silent_gone_or_excluded() {
    let (silent, gone) = (serve_elsewhere(|_| hang()), nobody());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let excluded = serve_elsewhere(move |request| {
        log.lock().expect("no panic").push(request.to_owned());
        status("404 Not Found")
    });
    let pages = folder(&[("index.html", &format!("<a href='{silent}'>\n<a href='{gone}'>\n<a href='{excluded}x'>"))]);
    for runtime in RUNTIMES {
        let bounds = ["--timeout", "100ms", "--retries", "0", "--exclude", &format!("^{excluded}")];
        let run = check(&pages, &[&["--external", "--runtime", runtime], &bounds[..]].concat());
        let expected = [
            format!("index.html:1: {silent}: no answer within 100ms"),
            format!("index.html:2: {gone}: connection refused"),
        ];
        assert_eq!(run.broken(), expected, "{runtime}: {run:?}");
        assert_eq!(run.json()["excluded"], 1, "{runtime}");
    }
    assert_eq!(*asked.lock().expect("no panic"), [""; 0]);
}

#[test]
fn the_report_for_people_counts_the_documents_of_other_hosts() {
    let other = serve_elsewhere(|_| status("200 OK"));
    let pages = folder(&[("index.html", &format!("<a href='{other}'><a href='{other}#x'><a href=mailto:me>"))]);
    let run = linkcheck(&[pages.path().to_str().expect("text"), "--external"]);
    let expected = "1 page, 0 other files, 1 at other hosts, 3 links (1 to the outside, unchecked), 0 broken; ";
    assert!(run.stdout.starts_with(expected), "{run:?}");
}
