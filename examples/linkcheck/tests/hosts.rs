//! Hosts that are slow, broken, gone, or send one around; and Ctrl-C.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use support::{RUNTIMES, hang, linkcheck, nobody, page, redirect, serve, status};

#[test]
fn a_host_that_does_not_answer_times_out() {
    let site = serve(|_| hang());
    for runtime in RUNTIMES {
        let run = linkcheck(&[&site, "--json", "--timeout", "20ms", "--retries", "1", "--runtime", runtime]);
        assert_eq!(run.broken_at(&site), ["/:0: /: no answer within 20ms"], "{runtime}");
        assert_eq!(run.status, Some(2));
    }
}

/// Answers like `answer`, but fails the first two requests for `/flaky` with what `failure` makes.
fn flaky(failure: fn() -> String) -> String {
    let requests = AtomicUsize::new(0);
    serve(move |request| match request {
        "GET /" => page("<a href=/flaky#x>"),
        _ if requests.fetch_add(1, Ordering::Relaxed) < 2 => failure(),
        _ => page("<p id=x>"),
    })
}

#[test]
fn what_may_pass_is_tried_again() {
    let failures: [fn() -> String; 3] =
        [String::new, || status("503 Service Unavailable"), || page("<p id=x>").replace("Length: 8", "Length: 80")];
    for failure in failures {
        let site = flaky(failure);
        let run = linkcheck(&[&site, "--json", "--retries", "2"]);
        assert_eq!((run.status, run.broken_at(&site)), (Some(0), vec![]), "{run:?}");
    }
}

#[test]
fn without_retries_the_first_failure_counts() {
    let site = flaky(|| page("").replace("Length: 0", "Length: 80"));
    let run = linkcheck(&[&site, "--json", "--retries", "0"]);
    assert_eq!(run.broken_at(&site), ["/:1: /flaky#x: the connection was closed too early"]);
}

#[test]
fn what_will_not_pass_is_not_tried_again() {
    let requests = AtomicUsize::new(0);
    let site = serve(move |request| match request {
        "GET /" => page("<a href=/gone>"),
        _ if requests.fetch_add(1, Ordering::Relaxed) == 0 => status("410 Gone"),
        _ => page(""),
    });
    assert_eq!(linkcheck(&[&site, "--json"]).broken_at(&site), ["/:1: /gone: 410 Gone"]);
}

#[test]
fn redirects_are_followed_to_where_the_fragment_is() {
    let site = serve(|request| match request {
        "GET /" => page("<a href=a#there>\n<a href=a#missing>\n<a href=away#any>\n<a href=own#missing>"),
        "GET /a" => redirect("/b"),
        "GET /b" => redirect("c"),
        "GET /c" => page("<p id=there>"),
        "GET /own" => redirect("/c#there"),
        "GET /away" => redirect("http://example.org/"),
        _ => status("404 Not Found"),
    });
    let run = linkcheck(&[&site, "--json"]);
    assert_eq!(run.broken_at(&site), ["/:2: /a#missing: the page has no such fragment"]);
}

#[test]
fn a_start_that_leads_to_another_host_makes_that_the_site() {
    let new = serve(|request| match request {
        "GET /home" => page("<a href=/there#x>\n<a href=missing>"),
        "GET /there" => page("<p id=x>"),
        _ => status("404 Not Found"),
    });
    let to = format!("{new}home");
    let old = serve(move |request| match request {
        "GET /" => redirect("/moved"),
        "GET /moved" => redirect(&to),
        _ => panic!("{request} to the old host"),
    });
    let options: &[&[&str]] = if cfg!(feature = "https") { &[&[], &["--external"]] } else { &[&[]] };
    for options in options {
        let run = linkcheck(&[&[&*old, "--json"], *options].concat());
        assert_eq!(run.broken_at(&new), ["/home:2: /missing: 404 Not Found"], "{run:?}");
        assert_eq!((run.status, &run.json()["pages"]), (Some(1), &2.into()), "{run:?}");
    }
}

#[test]
fn a_start_that_leads_from_host_to_host_without_end_is_broken() {
    let place = Arc::new(OnceLock::<String>::new());
    let back = place.clone();
    let there = serve(move |_| redirect(back.get().expect("it is known")));
    let here = serve(move |_| redirect(&there));
    place.set(here.clone()).expect("it is set once");
    let run = linkcheck(&[&here, "--json"]);
    assert_eq!(run.broken_at(&here), ["/:0: /: too many redirects"]);
    assert_eq!(run.status, Some(2));
}

#[test]
fn a_start_that_leads_out_of_what_is_checked_says_where_to() {
    let new = serve(|request| panic!("{request} to the new host"));
    let to = format!("{new}other/");
    let old = serve(move |_| redirect(&to));
    let run = linkcheck(&[&format!("{old}docs/"), "--within", "/docs/", "--json"]);
    let expected = format!("/docs/:0: /docs/: leads to {new}other/, which is not within what is checked");
    assert_eq!(run.broken_at(&old), [expected]);
}

#[test]
fn redirects_without_end_are_broken() {
    let site = serve(|request| match request {
        "GET /" => page("<a href=circle>\n<a href=self>\n<a href=on/1>"),
        "GET /circle" => redirect("/circle/2"),
        "GET /circle/2" => redirect("/circle"),
        "GET /self" => redirect("/self"),
        endless => redirect(&format!("/{}1", endless.trim_start_matches("GET /"))),
    });
    let run = linkcheck(&[&site, "--json"]);
    let reason = "too many redirects";
    let expected = ["/:1: /circle", "/:2: /self", "/:3: /on/1"].map(|link| format!("{link}: {reason}"));
    assert_eq!(run.broken_at(&site), expected);
}

#[test]
fn only_the_host_itself_is_crawled() {
    let elsewhere = serve(|request| panic!("{request} to another host"));
    let other = elsewhere.clone();
    let site = serve(move |request| match request {
        "GET /" => page(&format!("<a href='{other}'><a href=mailto:me><a href=/x>")),
        _ => page(""),
    });
    let report = linkcheck(&[&site, "--json"]).json();
    assert_eq!((&report["pages"], &report["outside"]), (&2.into(), &2.into()));
}

#[test]
fn a_host_that_refuses_to_give_heads_is_asked_for_the_whole() {
    let site = serve(|request| match request {
        "GET /" => page("<img src=there.png>\n<img src=missing.png>"),
        "GET /there.png" => page("").replace("text/html", "image/png"),
        head if head.starts_with("HEAD") => status("405 Method Not Allowed"),
        _ => status("404 Not Found"),
    });
    assert_eq!(linkcheck(&[&site, "--json"]).broken_at(&site), ["/:2: /missing.png: 404 Not Found"]);
}

#[test]
fn what_is_not_http_is_said_to_be_so() {
    let site = serve(|request| match request {
        "GET /" => page("<a href=/x>"),
        _ => "220 mail ready\r\n".to_owned(),
    });
    let broken = linkcheck(&[&site, "--json"]).broken_at(&site);
    assert!(broken[0].starts_with("/:1: /x: not an answer in HTTP"), "{broken:?}");
}

#[test]
fn a_host_that_is_not_there_cannot_be_checked() {
    for runtime in RUNTIMES {
        let run = linkcheck(&[&nobody(), "--retries", "0", "--runtime", runtime]);
        assert_eq!(run.status, Some(2), "{run:?}");
        assert!(run.stdout.contains("connection refused"), "{run:?}");
        assert!(run.stderr.contains("no page to check"), "{run:?}");
    }
}

/// Every runtime has words of its own for this, and the error's kind has none.
#[test]
fn a_host_whose_name_is_unknown_is_said_to_be_so() {
    // No part of a name may be that long, so no server is asked.
    let host = "x".repeat(64);
    let site = format!("http://{host}/");
    let said = RUNTIMES.iter().map(|runtime| {
        let run = linkcheck(&[&site, "--retries", "0", "--runtime", runtime]);
        assert_eq!(run.status, Some(2), "{run:?}");
        run.stdout.lines().next().expect("a finding").to_owned()
    });
    let said: Vec<_> = said.collect();
    for line in &said {
        let why = line.strip_prefix(&format!("{site}: the look-up of `{host}` failed: "));
        assert!(why.is_some_and(|why| !why.is_empty() && !why.contains("look")), "{line}");
        assert_eq!(line, &said[0]);
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_check_in_order() {
    use std::process::{Command, Stdio};
    use std::sync::mpsc;

    for runtime in RUNTIMES {
        let (reached, wait) = mpsc::channel();
        let site = serve(move |request| match request {
            "GET /" => page("<a href=/page>"),
            "GET /page" => page("<a href=#missing><a href=/slow>"),
            _ => {
                reached.send(()).expect("the test waits");
                hang()
            }
        });
        let mut command = support::command(&[&site, "--json", "--timeout", "60s", "--runtime", runtime]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
        // Only `/page` leads to the slow page, so its own links have been judged by now.
        wait.recv().expect("the slow page is asked for");

        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
        let run = support::Run::from(child.wait_with_output().expect("the program ends"));

        assert_eq!(run.status, Some(130), "{runtime}: {run:?}");
        assert_eq!(run.broken_at(&site), ["/page:1: /page#missing: the page has no such fragment"], "{runtime}");
        let report = run.json();
        let fields = (&report["interrupted"], &report["pages"], &report["unchecked"]);
        assert_eq!(fields, (&true.into(), &2.into(), &1.into()), "{runtime}");
    }
}
