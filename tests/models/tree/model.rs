//! The model: how a tree that starts at an instant goes on.

use super::*;

/// What encloses it: when its region is cancelled, and when the earliest timeout there expires.
#[derive(Clone, Copy)]
pub(super) struct Around {
    pub(super) trip: Time,
    pub(super) due: Time,
}

#[derive(Clone, Debug)]
pub(super) struct Run {
    /// When it resolves, and to what.
    pub(super) end: Option<(Time, Outcome)>,
    /// Until when it holds the region around, once that is cancelled.
    pub(super) held: Option<Time>,
}

const NOTHING: Run = Run { end: None, held: None };

fn ending(at: Time, outcome: Outcome, around: Around) -> Run {
    Run { end: Some((at, outcome)), held: (at > around.trip).then_some(at) }
}

/// What becomes of a region: when nothing is left of it, and the value, unless it was dropped.
type Fate = (Time, Option<Outcome>);

/// A value comes: when, and whose.
type Event = (Time, usize, Outcome);

fn region(tree: &Tree, start: Time, around: Around) -> Fate {
    let run = go(tree, start, around);
    let until = if run.end.as_ref().is_some_and(|(at, _)| *at <= around.trip) {
        around.trip
    } else {
        run.held.unwrap_or(around.trip)
    };
    match run.end {
        Some((at, outcome)) if at <= until => (at, Some(outcome)),
        _ => (until, None),
    }
}

fn by_time(fates: &[Fate]) -> Vec<Event> {
    let mut events: Vec<_> =
        (0..).zip(fates).filter_map(|(i, (at, outcome))| outcome.clone().map(|outcome| (*at, i, outcome))).collect();
    events.sort_by_key(|event| event.0);
    events
}

/// The fates of regions side by side, all cancelled once `decides` says so of the values there are;
/// and when that is.
fn fates(trees: &[Tree], start: Time, around: Around, decides: impl Fn(&[Event]) -> bool) -> (Vec<Fate>, Option<Time>) {
    let until =
        |trip| -> Vec<_> { trees.iter().map(|tree| region(tree, start, Around { trip, due: around.due })).collect() };
    let undecided = until(around.trip);
    let events = by_time(&undecided);
    let decided = (1..=events.len()).find(|&n| decides(&events[..n])).map(|n| events[n - 1].0);
    (decided.map_or(undecided, |at| until(at.min(around.trip))), decided)
}

fn regions(
    trees: &[Tree],
    start: Time,
    around: Around,
    decides: impl Fn(&[Event]) -> bool,
    outcome: impl Fn(Vec<Event>) -> Outcome,
) -> Run {
    let (fates, decided) = fates(trees, start, around, decides);
    let over = last(&fates);
    // Whoever cancelled those drops this.
    let doomed = fates.iter().any(|(at, value)| value.is_none() && decided.is_none_or(|decided| *at < decided));
    let end = (over != NEVER && !doomed).then(|| (over, outcome(by_time(&fates))));
    Run { end, held: (over > around.trip).then_some(over) }
}

fn last(fates: &[Fate]) -> Time {
    fates.iter().map(|fate| fate.0).max().expect("no combinator is of none")
}

fn members(trees: &[Tree], start: Time, around: Around) -> (Vec<Fate>, Option<Time>) {
    let runs: Vec<_> = trees.iter().map(|tree| go(tree, start, around)).collect();
    let held = runs.iter().filter_map(|run| run.held).max();
    let fates = runs.into_iter().map(|run| run.end.map_or((NEVER, None), |(at, outcome)| (at, Some(outcome))));
    (fates.collect(), held)
}

fn indexed(events: &[Event], until: Time) -> Outcome {
    let done = events.iter().filter(|event| event.0 <= until);
    Ok(Out::Indexed(done.map(|(_, i, outcome)| (*i, outcome.clone())).collect()))
}

pub(super) fn list(mut events: Vec<Event>) -> Outcome {
    events.sort_by_key(|event| event.1);
    Ok(Out::List(events.into_iter().map(|event| event.2).collect()))
}

fn first_error(events: &[Event]) -> Option<Outcome> {
    events.iter().find(|event| event.2.is_err()).map(|event| event.2.clone())
}

fn enough(k: usize, n: usize, events: &[Event]) -> bool {
    let failed = events.iter().filter(|event| event.2.is_err()).count();
    events.len() - failed >= k || n - failed < k
}

fn of_quorum(k: usize, events: Vec<Event>) -> Result<Vec<Out>, (Vec<Out>, Vec<Out>)> {
    let values: Vec<_> = events.iter().filter_map(|event| event.2.clone().ok()).take(k).collect();
    let mut errors: Vec<_> = events.into_iter().filter_map(|(_, i, outcome)| Some((i, outcome.err()?))).collect();
    errors.sort_by_key(|error| error.0);
    if values.len() >= k { Ok(values) } else { Err((values, errors.into_iter().map(|error| error.1).collect())) }
}

/// A scope: its finalizer comes last. One that is cancelled from around before it is over only
/// resolves to an error.
fn scoped(trees: &[Tree], start: Time, finalizer: Option<Time>, may_fail: bool, around: Around) -> Run {
    let error = |events: &[Event]| first_error(events).filter(|_| may_fail);
    let (fates, _) = fates(trees, start, around, |events| error(events).is_some());
    let events = by_time(&fates);
    let over = last(&fates).saturating_add(finalizer.unwrap_or(0));
    let outcome = match error(&events) {
        Some(error) => Some(error),
        None => (over <= around.trip && events.len() == trees.len()).then(|| list(events)),
    };
    let end = outcome.filter(|_| over != NEVER).map(|outcome| (over, outcome));
    Run { end, held: (over > around.trip).then_some(over) }
}

fn many(many: Many, trees: &[Tree], start: Time, around: Around) -> Run {
    let n = trees.len();
    let (fates, held) = members(trees, start, around);
    let events = by_time(&fates);
    let all = last(&fates);
    let by = |at: Time, outcome: Outcome| Run { end: (at != NEVER).then_some((at, outcome)), held };
    match many {
        Gather | Settle => by(all, list(events)),
        AsCompleted => by(all, indexed(&events, all)),
        WaitFirst => events.first().map_or(Run { held, ..NOTHING }, |first| by(first.0, indexed(&events, first.0))),
        WaitAll(_) if start > around.trip => by(all, indexed(&events, all)),
        WaitAll(within) => by(all.min(start + within), indexed(&events, start + within)),
        WaitFirstError => {
            let at = events.iter().find(|event| event.2.is_err()).map_or(all, |error| error.0);
            by(at, indexed(&events, at))
        }
        _ if start > around.trip => NOTHING,
        TryGather => regions(
            trees,
            start,
            around,
            |events| first_error(events).is_some(),
            |events| first_error(&events).unwrap_or_else(|| list(events)),
        ),
        Race => regions(trees, start, around, |events| !events.is_empty(), |mut events| events.swap_remove(0).2),
        RaceOk => regions(
            trees,
            start,
            around,
            |events| enough(1, n, events),
            |events| match of_quorum(1, events) {
                Ok(mut values) => Ok(values.remove(0)),
                Err((_, errors)) => Err(Out::Errors(errors)),
            },
        ),
        Quorum(k) => regions(
            trees,
            start,
            around,
            |events| enough(k, n, events),
            |events| match of_quorum(k, events) {
                Ok(values) => Ok(Out::List(values.into_iter().map(Ok).collect())),
                Err((values, errors)) => Err(Out::Missed(values, errors)),
            },
        ),
        Scope(finalizer) => scoped(trees, start, finalizer, false, around),
        TryScope(finalizer) => scoped(trees, start, finalizer, true, around),
    }
}

fn leaf(leaf: &Leaf, start: Time) -> Option<(Time, Outcome)> {
    let outcome = if leaf.fails { Err(Out::Leaf(leaf.id)) } else { Ok(Out::Leaf(leaf.id)) };
    (leaf.after != NEVER).then(|| (start + leaf.after, outcome))
}

pub(super) fn go(tree: &Tree, start: Time, around: Around) -> Run {
    let late = start > around.trip;
    match tree {
        Tree::Many(kind, trees) => many(*kind, trees, start, around),
        Tree::Then(both) => {
            let first = go(&both[0], start, around);
            let Some((at, Ok(_))) = first.end else { return first };
            let second = go(&both[1], at, around);
            Run { end: second.end, held: if at > around.trip { first.held } else { second.held } }
        }
        // Nothing starts in what is being wound down.
        _ if late => NOTHING,
        Tree::Leaf(it) => Run { end: leaf(it, start), held: None },
        Tree::Hedge(delay, leaves) => {
            let mut first: Option<(Time, Outcome)> = None;
            for (i, it) in (0..).zip(leaves) {
                let made = start + i * delay;
                if first.as_ref().is_some_and(|first| first.0 <= made) {
                    break;
                }
                first = first.into_iter().chain(leaf(it, made)).min_by_key(|value| value.0);
            }
            Run { end: first.filter(|first| first.0 <= around.trip), held: None }
        }
        Tree::Timeout(after, tree) => {
            let at = start + after;
            let (over, value) = region(tree, start, Around { trip: at.min(around.trip), due: at.min(around.due) });
            let reports = at <= over && (at <= around.trip || at < around.due);
            let outcome = value.or(reports.then_some(Err(Out::Elapsed)));
            let end = outcome.filter(|_| over != NEVER).map(|outcome| (over, outcome));
            Run { end, held: (over > around.trip).then_some(over) }
        }
        Tree::Until(after, tree) => {
            let at = start + after;
            let (over, value) = region(tree, start, Around { trip: at.min(around.trip), ..around });
            let outcome = value.or((at <= over).then_some(Err(Out::Cancelled)));
            Run { end: outcome.map(|outcome| (over, outcome)), held: (over > around.trip).then_some(over) }
        }
        Tree::Shield(tree) => match go(tree, start, Around { trip: NEVER, due: NEVER }).end {
            Some((at, outcome)) => ending(at, outcome, around),
            None => NOTHING,
        },
    }
}

/// When a tree that starts now ends, and how.
pub(super) fn run(tree: &Tree) -> (Time, Outcome) {
    go(tree, 0, Around { trip: NEVER, due: NEVER }).end.expect("everything ends")
}
