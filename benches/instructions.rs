//! Instructions, which do not depend on what else the machine does: valgrind counts them, where
//! there is one.

use std::process::Command;

/// The children whose instructions are counted, at least: a thing done once, late, is not to be
/// seen among them.
const ENOUGH: usize = 10_000;

/// The instructions that a contender spends on each of its children. `None` without valgrind, or
/// where the contender cannot run.
///
/// The difference of two runs leaves out what a program does once.
pub(crate) fn count(row: &str, contender: &str, children: usize) -> Option<f64> {
    let few = ENOUGH.div_ceil(children);
    let more = collected(row, contender, 2 * few)? - collected(row, contender, few)?;
    Some(more / (few * children) as f64)
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
