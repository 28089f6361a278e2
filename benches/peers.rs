//! foster beside its peers: every row in one program, all contenders of a row in turn, and a table
//! of ratios.
//!
//! ```text
//! cargo run --release -p benches                     the table
//! cargo run --release -p benches -- --row 7          one row; `--row 7-smol` one line of it
//! cargo run --release -p benches -- --check          exit code 1 when a goal is missed
//! cargo run --release -p benches -- --json           for later comparison
//! cargo run --release -p benches -- --all            every contender's figures below each line
//! cargo run --release -p benches -- --quick          a glance: three rounds instead of seven
//! cargo run --release -p benches -- --instructions   and every contender's instructions, where valgrind is
//! ```
//!
//! `README.md` beside this file says how it measures, how to count instructions, and what was tried
//! for the goals that are missed.
#![allow(unsafe_code)] // The floor is made of it, and so is an allocator that counts.

mod alloc;
mod children;
mod floor;
mod instructions;
mod measure;
mod report;
mod rows;

use std::process::ExitCode;

use lexopt::prelude::*;
use measure::Role;
use report::{Measured, Row};

struct Options {
    row: Option<String>,
    check: bool,
    json: bool,
    all: bool,
    instructions: bool,
    rounds: usize,
    callgrind: Option<(String, usize)>,
    contender: Option<String>,
}

fn options() -> Result<Options, lexopt::Error> {
    let mut options = Options {
        row: None,
        check: false,
        json: false,
        all: false,
        instructions: false,
        rounds: 7,
        callgrind: None,
        contender: None,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("row") => options.row = Some(parser.value()?.string()?),
            Long("check") => options.check = true,
            Long("json") => options.json = true,
            Long("all") => options.all = true,
            Long("instructions") => options.instructions = true,
            Long("quick") => options.rounds = 3,
            Long("callgrind") => options.callgrind = Some((parser.value()?.string()?, parser.value()?.parse()?)),
            Long("contender") => options.contender = Some(parser.value()?.string()?),
            // `cargo bench` says this.
            Long("bench") => {}
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    alloc::keep_pages();
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}; benches/README.md says what there is");
            return ExitCode::from(2);
        }
    };
    match &options.callgrind {
        Some((row, times)) => run_one(row, options.contender.as_deref(), *times),
        None => run_all(&options),
    }
}

fn pick(wanted: &str) -> Vec<Row> {
    rows::all().into_iter().filter(|row| row.id == wanted || row.number() == wanted).collect()
}

/// Runs one contender of one row, for somebody who counts instructions.
fn run_one(row: &str, contender: Option<&str>, times: usize) -> ExitCode {
    let contenders =
        rows::all().into_iter().find(|candidate| candidate.id == row).map(|row| row.contenders).unwrap_or_default();
    let mut wanted = contenders.into_iter().filter(|candidate| match contender {
        Some(name) => candidate.name == name,
        None => candidate.role == Role::Foster,
    });
    match wanted.next().and_then(|mut contender| contender.run(times)) {
        Some(_) => ExitCode::SUCCESS,
        None => {
            eprintln!("there is no such row, or no such contender, here");
            ExitCode::from(2)
        }
    }
}

fn run_all(options: &Options) -> ExitCode {
    let rows = options.row.as_deref().map_or_else(rows::all, pick);
    if rows.is_empty() {
        eprintln!("there is no such row");
        return ExitCode::from(2);
    }
    if !options.json {
        Measured::print_heading();
    }
    let mut measured = Vec::new();
    for row in rows {
        let row = Measured::new(row, options.rounds, options.instructions);
        if !options.json {
            row.print();
            if options.all || options.instructions {
                row.print_all();
            }
        }
        measured.push(row);
    }
    if options.json {
        println!("{:#}", serde_json::Value::from_iter(measured.iter().map(Measured::to_json)));
    }
    if options.check && !measured.iter().all(Measured::is_met) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
