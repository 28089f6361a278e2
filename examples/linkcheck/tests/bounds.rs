//! What a check leaves out, and where a site begins and ends.

mod support;

use std::sync::{Arc, Mutex};

use serde_json::json;
use support::{check, folder, linkcheck, page, serve, status};

#[test]
fn excluded_addresses_are_not_asked_for_and_links_to_them_are_fine() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let site = serve(move |request| match request {
        "GET /" => {
            page("<a href=/old/x><a href=/old/><a href=new#L7><a href=new#L>\n<a href=go><a href='http://[::old'>")
        }
        "GET /new" => page(""),
        "GET /go" => support::redirect("/old/gone"),
        excluded => {
            log.lock().expect("no panic").push(excluded.to_owned());
            page("")
        }
    });
    let run =
        linkcheck(&[&site, "--json", "--exclude", "/old/", "--exclude", "#L[0-9]+$", "--exclude", "^http://.::old"]);
    assert_eq!(run.broken_at(&site), ["/:1: /new#L: the page has no such fragment"]);
    assert_eq!((run.json()["excluded"].clone(), run.json()["pages"].clone()), (json!(4), json!(2)), "{run:?}");
    assert_eq!(*asked.lock().expect("no panic"), [""; 0]);
}

#[test]
fn excluded_files_of_a_folder_are_not_read() {
    let site =
        folder(&[("index.html", "<a href='a b.html'>"), ("a b.html", "<a href=x>"), ("old/a.html", "<a href=x>")]);
    let run = check(&site, &["--exclude", "^old/"]);
    assert_eq!(run.broken(), ["a b.html:1: x: 404 Not Found"], "{run:?}");
    // Targets are written as addresses, and so are patterns.
    let run = check(&site, &["--exclude", "^(old/a|a%20b)[.]html$"]);
    assert_eq!((run.status, run.json()["excluded"].clone()), (Some(0), json!(1)), "{run:?}");
}

#[test]
fn the_report_for_people_counts_what_is_excluded() {
    let run = linkcheck(&["--exclude", "missing"]);
    let summary = run.stdout.lines().last().expect("a summary");
    let expected = "4 pages, 1 other file, 27 links (2 to the outside and 4 excluded, unchecked), 4 broken; ";
    assert!(summary.starts_with(expected), "{summary}");
}

#[test]
fn links_of_a_part_may_lead_anywhere_in_the_site_around_it() {
    let site = folder(&[
        ("docs/index.html", "<a href=../about.html#team>\n<a href=/style.css><a href=/about.html#boss>"),
        ("docs/more/a.html", "<a href=../../docs/><a href=b.html>"),
        ("about.html", "<p id=team><a href=this-page-is-not-of-the-part.html>"),
        ("other/index.html", "<a href=nor-is-this.html>"),
        ("style.css", ""),
    ]);
    let root = site.path().to_str().expect("text");
    let part = site.path().join("docs");
    let run = linkcheck(&[part.to_str().expect("text"), "--json", "--root", root]);
    let expected = [
        "docs/index.html:2: about.html#boss: the page has no such fragment",
        "docs/more/a.html:1: docs/more/b.html: 404 Not Found",
    ];
    assert_eq!(run.broken(), expected);
    assert_eq!((run.json()["pages"].clone(), run.json()["files"].clone()), (json!(3), json!(1)));
}

#[test]
fn a_mounted_folder_begins_at_its_path_of_the_site() {
    let site = folder(&[
        ("index.html", "<a href=/my%20docs/guide/#x><a href=/my%20docs>\n<a href=/my%20docs/missing.html>"),
        ("guide/index.html", "<p id=x><a href=../style.css><a href=/><a href=../../blog><a href=/my%20docsx/>"),
        ("moved.html", "<a href=#x><meta http-equiv=refresh content='0;url=/blog/moved.html'>"),
        ("style.css", ""),
    ]);
    for mount in ["/my docs", "/my%20docs/"] {
        let run = check(&site, &["--mount", mount]);
        let expected =
            ["index.html:2: missing.html: 404 Not Found", "moved.html:1: moved.html#x: the page has no such fragment"];
        assert_eq!(run.broken(), expected, "{run:?}");
        let counts = ["pages", "files", "links", "outside"].map(|name| run.json()[name].clone());
        assert_eq!(counts, [3, 1, 9, 4].map(|count| json!(count)));
    }
}

#[test]
fn a_part_of_a_mounted_site_is_checked_with_both_options() {
    let site = folder(&[
        ("a/index.html", "<a href=/m/b/#x><a href=/m/b/#y><a href=/a/>"),
        ("b/index.html", "<p id=x><a href=missing>"),
    ]);
    let (root, part) = (site.path().to_str().expect("text"), site.path().join("a"));
    let run = linkcheck(&[part.to_str().expect("text"), "--json", "--root", root, "--mount", "/m"]);
    assert_eq!(
        run.broken(),
        ["a/index.html:1: b/index.html#y: the page has no such fragment"]
            .map(|line| { line.replace("b/index.html", "b/") })
    );
    assert_eq!(run.json()["outside"], 1);
}

#[test]
fn of_a_host_only_what_is_within_a_path_is_crawled() {
    let site = serve(|request| match request {
        "GET /book" => support::redirect("/book/"),
        "GET /book/" => page("<a href=one><a href=/bookshop#x><a href=/bookshop#y>\n<a href=/away>\n<a href=/back>"),
        "GET /book/one" => page("<a href=two>"),
        "GET /bookshop" => page("<p id=x><a href=/never-asked-for>"),
        "GET /back" => support::redirect("/book/back"),
        "GET /book/back" => page("<a href=three>"),
        _ => status("404 Not Found"),
    });
    let start = format!("{site}book/");
    for (start, within) in
        [(&*start, "/book"), (&start, "/book/"), (&start, "."), (start.trim_end_matches('/'), "/book")]
    {
        let run = linkcheck(&[start, "--json", "--within", within]);
        let expected = [
            "/book/:1: /bookshop#y: the page has no such fragment",
            "/book/:2: /away: 404 Not Found",
            "/book/back:1: /book/three: 404 Not Found",
            "/book/one:1: /book/two: 404 Not Found",
        ];
        assert_eq!(run.broken_at(&site), expected, "{within}");
    }
}

#[test]
fn a_page_longer_than_the_limit_is_a_finding() {
    let long = "<p>".repeat(500);
    let site = folder(&[("index.html", "<a href=long.html>"), ("long.html", &long)]);
    let expected = ["index.html:1: long.html: longer than 1.0 KiB", "long.html:0: long.html: longer than 1.0 KiB"];
    assert_eq!(check(&site, &["--max-page", "1KiB"]).broken(), expected);
    assert_eq!(check(&site, &["--max-page", "1500"]).broken(), [""; 0]);
    assert_eq!(check(&site, &["--max-page", "1499 B"]).broken().len(), 2);
}
