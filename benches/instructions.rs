//! Instructions, which do not depend on what else the machine does: valgrind counts them, where there is one.

use std::process::Command;

/// How often the work is done in the two runs whose difference is taken. It leaves out what a program does once.
const FEW: usize = 1;
const MANY: usize = 3;

/// The instructions that a contender spends on each of its children. `None` without valgrind, or where the contender
/// cannot run.
pub(crate) fn count(row: &str, contender: &str, children: usize) -> Option<f64> {
    let more = collected(row, contender, MANY)? - collected(row, contender, FEW)?;
    Some(more / ((MANY - FEW) * children) as f64)
}

/// The instructions of a run of this program that does nothing but a contender's work.
fn collected(row: &str, contender: &str, times: usize) -> Option<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args(["--callgrind", row, &times.to_string(), "--contender", contender])
        .output()
        .ok()?;
    let report = String::from_utf8(output.stderr).ok()?;
    let line = report.lines().find_map(|line| line.split_once("Collected : "))?.1;
    output.status.success().then(|| line.trim().parse().ok()).flatten()
}
