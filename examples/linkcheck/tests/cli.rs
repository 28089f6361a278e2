//! The command line: findings, exit status, wrong usage.

mod support;

use serde_json::json;
use support::{RUNTIMES, check, folder, linkcheck};

#[test]
fn the_bundled_site_has_the_same_findings_under_every_runtime() {
    let expected = [
        "guide/index.html:12: guide/chapter-2.html: 404 Not Found",
        "guide/links & fragments.html:10: outside.html: 404 Not Found",
        "index.html:21: missing.html: 404 Not Found",
        "index.html:22: guide/#missing: the page has no such fragment",
        "index.html:23: index.html#Start: the page has no such fragment",
        "index.html:24: moved.html#missing: the page has no such fragment",
        "index.html:25: http://[::1: not an address: invalid IPv6 address",
        "index.html:26: missing.png: 404 Not Found",
    ];
    for runtime in RUNTIMES {
        let run = linkcheck(&["--runtime", runtime, "--json"]);
        assert_eq!(run.broken(), expected, "{runtime}: {run:?}");
        assert_eq!((run.status, &*run.stderr), (Some(1), ""), "{runtime}");
        let report = run.json();
        let counts = ["pages", "files", "links", "outside", "unchecked"].map(|name| report[name].clone());
        assert_eq!(counts, [4, 1, 27, 2, 0].map(|count| json!(count)), "{runtime}");
    }
}

#[test]
fn the_report_for_people_names_page_line_target_and_reason() {
    let run = linkcheck(&[]);
    assert_eq!(run.status, Some(1));
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines[2], "index.html:21: missing.html: 404 Not Found");
    assert!(
        lines[8].starts_with("4 pages, 1 other file, 27 links (2 to the outside, unchecked), 8 broken; "),
        "{run:?}"
    );
    assert_eq!((lines.len(), &*run.stderr), (9, ""));
}

#[test]
fn one_job_and_one_connection_find_the_same() {
    let (many, one) = (linkcheck(&["--json"]), linkcheck(&["--json", "--jobs", "1", "--per-host", "1"]));
    assert_eq!(many.broken(), one.broken());
}

#[test]
fn a_folder_without_broken_links_is_fine() {
    let site =
        folder(&[("a b.html", "<a href='sub/'>"), ("sub/index.html", "<i id=x><a href='../a b.html'><a href='?q#x'>")]);
    let run = check(&site, &[]);
    assert_eq!((run.status, run.broken()), (Some(0), vec![]), "{run:?}");
    assert_eq!(run.json()["pages"], 2, "each page counts once, by whatever name it is called");
}

#[test]
fn pages_are_checked_that_no_other_page_links_to() {
    let site = folder(&[("index.html", ""), ("deep/er/lost.html", "\n<a href=nowhere.html>")]);
    assert_eq!(check(&site, &[]).broken(), ["deep/er/lost.html:2: deep/er/nowhere.html: 404 Not Found"]);
}

#[test]
fn nothing_outside_the_folder_is_served() {
    let site = folder(&[("site/index.html", "<a href='/%2e%2e/secret'><a href='/..%2fsecret'>"), ("secret", "")]);
    let path = site.path().join("site");
    let run = linkcheck(&[path.to_str().expect("text"), "--json"]);
    assert_eq!(run.broken().len(), 2, "{run:?}");
}

#[test]
fn fragments_are_compared_as_browsers_compare_them() {
    let page = "<p id='ä b'><a name=old></a>\n<a href='#ä b'><a href='#%C3%A4%20b'><a href=#old><a href=#%6Fld><a href=#TOP>\n<a href=#Old>";
    let site = folder(&[("index.html", page)]);
    assert_eq!(check(&site, &[]).broken(), ["index.html:3: index.html#Old: the page has no such fragment"]);
}

#[test]
fn there_must_be_a_page() {
    let run = check(&folder(&[("style.css", "")]), &[]);
    assert_eq!(run.status, Some(2));
    assert!(run.stderr.contains("no page to check"), "{run:?}");
}

#[test]
fn wrong_usage_is_explained() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let site = concat!(env!("CARGO_MANIFEST_DIR"), "/site");
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let cases: &[(&[&str], &str)] = &[
        (&["/no/such/folder"], "there is no folder `/no/such/folder`"),
        (&["localhost:8000"], "an address begins with http://"),
        (&[file], "is not a folder"),
        (&["ftp://example.org/"], "ftp:// is not supported, only http:// and https:// are"),
        (&["http://"], "empty host"),
        (&["--jobs", "0"], "'0' for '--jobs <N>': must be 1 or more"),
        (&["--per-host", "0"], "--per-host"),
        (&["--jobs", "many"], "--jobs"),
        (&["--timeout", "soon"], "--timeout"),
        (&["--timeout", "0s"], "--timeout"),
        (&["--retries", "-1"], "-1"),
        (&["--runtime", "none"], "invalid value 'none' for '--runtime"),
        (&["--max-page", "much"], "--max-page"),
        (&["--exclude", "("], "--exclude"),
        (&["--root", "/no/such/folder"], "--root is for a folder"),
        (&["http://localhost/", "--root", "/"], "--root is for a folder; for an address, see --within"),
        (
            &[site, "--root", "/no/such/folder"],
            "`/no/such/folder`: entity not found; --root is a folder, and --mount the path of a site",
        ),
        (&[site, "--root", tests], "is not in the folder"),
        (&["--mount", "/docs"], "--mount is for a folder"),
        (&[site, "--mount", "docs"], "`docs` is not a path of a site"),
        (&[site, "--mount", "/../docs"], "`/../docs` is not a path of a site"),
        (&[site, "--within", "/docs/"], "--within is for an address; for a folder, see --root"),
        (&["http://localhost/", "--within", "/docs"], "http://localhost/ is not within `/docs/`"),
        (&["http://localhost/docs2", "--within", "/docs"], "http://localhost/docs2 is not within `/docs/`"),
        (&["http://localhost/", "--within", "http://example.org/"], "is not a path of http://localhost/"),
        (&["--verbose"], "--verbose"),
        (&["one", "two"], "two"),
    ];
    for (arguments, expected) in cases {
        let run = linkcheck(arguments);
        assert_eq!((run.status, &*run.stdout), (Some(2), ""), "{arguments:?}");
        assert!(run.stderr.contains(expected), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn the_help_names_what_is_built_in_and_what_is_assumed() {
    let run = linkcheck(&["--help"]);
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
    for expected in RUNTIMES.iter().copied().chain(["[default: 64MiB]", "[default: 10s]", "Exit status:"]) {
        assert!(run.stdout.contains(expected), "{expected}: {}", run.stdout);
    }
    for option in ["--external", "--ca <FILE>"] {
        assert_eq!(run.stdout.contains(option), cfg!(feature = "https"), "{option}: {}", run.stdout);
    }
}

/// What needs https is not left out in silence.
#[cfg(not(feature = "https"))]
#[test]
fn https_that_is_not_built_in_is_said_to_be_behind_a_feature() {
    for arguments in [&["https://example.org/"][..], &["--external"], &["--ca", "file.pem"]] {
        let run = linkcheck(arguments);
        assert_eq!((run.status, &*run.stdout), (Some(2), ""), "{run:?}");
        let expected = "https is not built in; build linkcheck with `--features https`";
        assert!(run.stderr.contains(expected), "{run:?}");
    }
}

#[test]
fn a_runtime_that_is_not_built_in_is_said_to_be_behind_a_feature() {
    for runtime in ["tokio", "smol", "async-std", "basic"].iter().filter(|runtime| !RUNTIMES.contains(runtime)) {
        let run = linkcheck(&["--runtime", runtime]);
        assert_eq!((run.status, &*run.stdout), (Some(2), ""), "{run:?}");
        let expected = format!("{runtime} is not built in; build linkcheck with `--features {runtime}`");
        assert!(run.stderr.contains(&expected), "{run:?}");
    }
}
