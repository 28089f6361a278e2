//! Files and folders that cannot be read. They are findings, and the check goes on.
#![cfg(unix)]

mod support;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use support::{RUNTIMES, Run, check, folder};
use tempfile::TempDir;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the test's own file");
}

/// Runs the program as somebody whom permissions bind, which the superuser is not.
fn check_unprivileged(site: &TempDir, arguments: &[&str]) -> Run {
    const NOBODY: u32 = 65534;
    let program = TempDir::new().expect("a folder");
    let linkcheck = program.path().join("linkcheck");
    // Not by this process: while it has the copy open, a child of another test may inherit that,
    // and a program that is open for writing cannot be run.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_linkcheck")).arg(&linkcheck).status();
    assert!(copied.expect("cp runs").success());
    for path in [program.path(), &linkcheck, site.path()] {
        set_mode(path, 0o755);
    }
    let mut command = Command::new(linkcheck);
    if fs::metadata(site.path()).expect("a folder").uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.arg(site.path()).arg("--json").args(arguments).output().expect("the program runs").into()
}

/// The walk through a folder ended at the first that it could not read, and so did the check.
#[test]
fn an_unreadable_file_or_folder_is_a_finding() {
    let site = folder(&[
        ("index.html", "<a href=locked.html#x>\n<a href=locked.png>\n<a href=private/page.html>\n<a href=missing>"),
        ("locked.html", ""),
        ("locked.png", ""),
        ("private/page.html", ""),
        ("z.html", "<a href=missing>"),
    ]);
    let locked = ["locked.html", "locked.png", "private"].map(|name| site.path().join(name));
    locked.iter().for_each(|path| set_mode(path, 0));
    for runtime in RUNTIMES {
        let run = check_unprivileged(&site, &["--runtime", runtime]);
        let expected = [
            "index.html:1: locked.html#x: 403 cannot be read: permission denied",
            "index.html:2: locked.png: 403 cannot be read: permission denied",
            "index.html:3: private/page.html: 403 cannot be read: permission denied",
            "index.html:4: missing: 404 Not Found",
            "locked.html:0: locked.html: 403 cannot be read: permission denied",
            "private:0: private: cannot be read: permission denied",
            "z.html:1: missing: 404 Not Found",
        ];
        assert_eq!(run.broken(), expected, "{runtime}: {run:?}");
        assert_eq!(run.status, Some(1), "{runtime}");
    }
    let run = check_unprivileged(&site, &["--exclude", "^(locked|private|missing)"]);
    assert_eq!((run.status, run.broken()), (Some(0), vec![]), "{run:?}");
    // So that the folder can be removed.
    locked.iter().for_each(|path| set_mode(path, 0o755));
}

#[test]
fn a_folder_that_is_unreadable_itself_is_a_finding() {
    let site = folder(&[("site/index.html", "")]);
    let part = site.path().join("site");
    set_mode(&part, 0o311);
    let run = check_unprivileged(&site, &[]);
    assert_eq!(run.broken(), ["site:0: site: cannot be read: permission denied"], "{run:?}");
    assert_eq!(run.status, Some(2), "there was no page to check");
    set_mode(&part, 0o755);
}

#[test]
fn a_page_that_is_a_link_to_nowhere_is_a_finding() {
    let site = folder(&[("index.html", "")]);
    symlink("nowhere.html", site.path().join("a.html")).expect("a link");
    symlink("index.html", site.path().join("b.html")).expect("a link");
    let run = check(&site, &[]);
    assert_eq!(run.broken(), ["a.html:0: a.html: cannot be read: entity not found"]);
    assert_eq!(run.json()["pages"], 2);
}

#[test]
fn a_name_that_is_not_text_is_a_finding() {
    let site = folder(&[("index.html", "<a href=missing>")]);
    let name = |bytes| site.path().join(OsStr::from_bytes(bytes));
    if fs::write(name(b"\xff.html"), "").is_err() {
        // Not every file system has such names.
        return;
    }
    fs::create_dir(name(b"folder-\xfe")).expect("a folder");
    fs::write(name(b"folder-\xfe/page.html"), "").expect("a file");
    let why = "cannot be read: the name is not UTF-8, so it has no address";
    let expected = [
        format!("folder-\u{fffd}:0: folder-\u{fffd}: {why}"),
        "index.html:1: missing: 404 Not Found".to_owned(),
        format!("\u{fffd}.html:0: \u{fffd}.html: {why}"),
    ];
    let run = check(&site, &[]);
    assert_eq!((run.status, run.broken()), (Some(1), expected.to_vec()));
}
