//! Rows, their goals, and the table.

use serde_json::json;

use crate::instructions;
use crate::measure::{Contender, Cost, Figures, Role, measure};

/// Some work, and what it may cost.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) work: &'static str,
    pub(crate) unit: Unit,
    pub(crate) contenders: Vec<Contender>,
    pub(crate) goals: Vec<Goal>,
}

impl Row {
    /// The number in the list of rows: `9-ready` is of row 9.
    pub(crate) fn number(&self) -> &str {
        self.id.split('-').next().unwrap_or(self.id)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds of the processors.
    Nanos,
    /// Nanoseconds that pass: what counts where several threads work, or another process.
    Elapsed,
    /// Bytes in use.
    Bytes,
}

impl Unit {
    fn of(self, cost: &Cost) -> f64 {
        match self {
            Unit::Nanos => cost.cpu,
            Unit::Elapsed => cost.elapsed,
            Unit::Bytes => cost.live,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Unit::Nanos | Unit::Elapsed => "ns",
            Unit::Bytes => "B",
        }
    }
}

/// What foster's figure must be at most, for each child.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// So many times another contender's.
    Times(f64, &'static str),
    /// Another contender's is at least so many times foster's.
    Faster(f64, &'static str),
    /// So much, in the row's unit.
    Absolute(f64),
    /// So much more than another contender's, in the row's unit.
    Over(f64, &'static str),
    /// So many times another contender's instructions.
    Instructions(f64, &'static str),
    /// So many instructions more than another contender's.
    InstructionsOver(f64, &'static str),
    /// So many bytes, allocated in all.
    Allocated(f64),
    /// So many allocations.
    Allocations(f64),
    /// So many allocations as another contender makes.
    AllocationsOf(&'static str),
}

impl Goal {
    fn is_in_instructions(&self) -> bool {
        matches!(self, Goal::Instructions(..) | Goal::InstructionsOver(..))
    }

    /// What there is, what there may be, and where that comes from. `None` where the other
    /// contender, or valgrind, is not here.
    fn judge(self, row: &Measured, foster: &Figures) -> Option<Verdict> {
        let unit = row.unit;
        let other = |name| row.figures.iter().find(|figures| figures.name == name);
        let of = |name| other(name).map(|other| other.cost);
        let (instructions, foster) = (foster.instructions, &foster.cost);
        let (is, most, text) = match self {
            Goal::Times(times, name) => {
                let shown = (times * 100.0).round() / 100.0;
                (unit.of(foster) / unit.of(&of(name)?), times, format!("≤ {shown} × {name}"))
            }
            Goal::Faster(times, name) => {
                let is = unit.of(&of(name)?) / unit.of(foster);
                return Some(Verdict { is, text: format!("≥ {times} × faster than {name}"), met: is >= times });
            }
            Goal::Absolute(most) => (unit.of(foster), most, format!("≤ {most} {}", unit.name())),
            Goal::Over(most, name) => {
                let is = unit.of(foster) - unit.of(&of(name)?);
                (is, most, format!("≤ {most} {} over {name}", unit.name()))
            }
            Goal::Instructions(times, name) => {
                let is = instructions? / other(name)?.instructions?;
                (is, times, format!("≤ {times} × {name}'s instructions"))
            }
            Goal::InstructionsOver(most, name) => {
                let is = instructions? - other(name)?.instructions?;
                (is, most, format!("≤ {most} instructions over {name}"))
            }
            Goal::Allocated(most) => (foster.bytes, most, format!("≤ {most} B allocated")),
            Goal::AllocationsOf(name) => (foster.allocations, of(name)?.allocations, format!("≤ {name}'s allocations")),
            Goal::Allocations(most) => (foster.allocations, most, format!("≤ {most} allocations")),
        };
        // Allocations that a row makes once are not a child's. Elsewhere, what the table shows as
        // equal is.
        let slack = if matches!(self, Goal::Allocations(_) | Goal::AllocationsOf(_)) { 0.05 } else { 0.005 * most };
        Some(Verdict { is, text, met: is <= most + slack })
    }
}

struct Verdict {
    is: f64,
    text: String,
    met: bool,
}

/// A row that has been measured.
pub(crate) struct Measured {
    id: &'static str,
    work: &'static str,
    unit: Unit,
    figures: Vec<Figures>,
    goals: Vec<Goal>,
}

impl Measured {
    /// Measures it, in so many rounds, and counts instructions if that is asked for or a goal is in
    /// them.
    pub(crate) fn new(mut row: Row, rounds: usize, instructions: bool) -> Self {
        let rounds = if row.unit == Unit::Bytes { 0 } else { rounds };
        let mut figures = measure(&mut row.contenders, rounds);
        if instructions || row.goals.iter().any(Goal::is_in_instructions) {
            for figures in &mut figures {
                figures.instructions = instructions::count(row.id, figures.name, figures.children);
            }
        }
        Measured { id: row.id, work: row.work, unit: row.unit, figures, goals: row.goals }
    }

    fn figure(&self, role: Role) -> Option<&Figures> {
        let of = |figures: &&Figures| figures.role == role;
        let cost = |figures: &Figures| self.unit.of(&figures.cost);
        self.figures.iter().filter(of).min_by(|a, b| cost(a).total_cmp(&cost(b)))
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let Some(foster) = self.figure(Role::Foster) else { return Vec::new() };
        self.goals.iter().filter_map(|goal| goal.judge(self, foster)).collect()
    }

    /// Whether every goal is met.
    pub(crate) fn is_met(&self) -> bool {
        self.verdicts().iter().all(|verdict| verdict.met)
    }

    /// Prints one line, and one more for each goal after the first.
    pub(crate) fn print(&self) {
        let show = |figures: Option<&Figures>| figures.map_or("–".into(), |f| number(self.unit.of(&f.cost)));
        let peer = self.figure(Role::Peer);
        let peer_name = peer.map_or("", |peer| peer.name);
        let foster = self.figure(Role::Foster);
        print!("{:<12} {:<44} {:>7}", self.id, self.work, show(self.figure(Role::Floor)));
        print!(" {:>8} {:<19} {:>8}", show(peer), peer_name, show(foster));
        let allocations = foster.map_or("–".into(), |foster| format!("{:.2}", foster.cost.allocations));
        print!(" {allocations:>6}");
        let verdicts = self.verdicts();
        for (i, verdict) in verdicts.iter().enumerate() {
            if i > 0 {
                print!("\n{:110}", "");
            }
            let met = if verdict.met { "ok" } else { "MISSED" };
            print!("  {:>6} {:<28} {met}", format!("{:.2}", verdict.is), verdict.text);
        }
        println!();
        if peer.is_none() && self.figure(Role::Floor).is_none() {
            println!("{:12} (no peer of this row can run here)", "");
        }
    }

    pub(crate) fn print_heading() {
        print!("{:<12} {:<44} {:>7} {:>8} {:<19} {:>8}", "row", "work", "floor", "best", "peer", "foster");
        println!(" {:>6}  {:>6} {:<28} met", "allocs", "is", "goal");
    }

    /// Every contender's figures.
    pub(crate) fn print_all(&self) {
        for figures in &self.figures {
            let cost = &figures.cost;
            print!(
                "{:12} {:<28} {:>7} ns {:>7} ns elapsed {:>7.2} allocations {:>7.1} B allocated {:>7.1} B in use",
                "",
                figures.name,
                number(cost.cpu),
                number(cost.elapsed),
                cost.allocations,
                cost.bytes,
                cost.live,
            );
            match figures.instructions {
                Some(instructions) => println!(" {instructions:>8.0} instructions"),
                None => println!(),
            }
        }
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        let contenders = self.figures.iter().map(|figures| {
            let cost = &figures.cost;
            json!({
                "name": figures.name,
                "role": match figures.role {
                    Role::Floor => "floor",
                    Role::Peer => "peer",
                    Role::Foster => "foster",
                    Role::Yardstick => "yardstick",
                },
                "nanoseconds": cost.cpu,
                "elapsed_nanoseconds": cost.elapsed,
                "allocations": cost.allocations,
                "allocated_bytes": cost.bytes,
                "live_bytes": cost.live,
                "instructions": figures.instructions,
            })
        });
        let goals = self.verdicts();
        let goals = goals.iter().map(|goal| json!({ "goal": goal.text, "is": goal.is, "met": goal.met }));
        json!({
            "row": self.id,
            "work": self.work,
            "contenders": contenders.collect::<Vec<_>>(),
            "goals": goals.collect::<Vec<_>>(),
        })
    }
}

fn number(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}
