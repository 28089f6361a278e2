//! Pipelines of streams: which items come out, and when.
//!
//! The model is one of pulling: asked at some instant, a stream says when it answers, and what.
//! Where items are ready at once and their order is not specified, pipelines do not occur.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use foster::runtimes::Sim;
use foster::stream::{chain, generator, merge, zip};
use foster::testing::Drops;
use foster::{ConcurrentIterator as _, StreamExt as _, Token, now, scope, sleep, sleep_until};
use futures::stream::{BoxStream, StreamExt as _};
use proptest::prelude::*;

use crate::{config, watched};

/// Nanoseconds since the start.
type Time = u64;

const NEVER: Time = Time::MAX;

/// The numbers of what it was made of.
type Item = Vec<u32>;

/// A time of so many coarse units, which is like no other's.
fn distinct(units: u32, name: impl IntoIterator<Item = u32>) -> Time {
    let hash = name.into_iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, n| {
        let hash = (hash ^ u64::from(n) ^ 0x55).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^ hash >> 29
    });
    (u64::from(units) << 40) + (hash >> 24)
}

#[derive(Clone, Debug)]
struct Pipeline {
    base: Base,
    /// When the items of each source come.
    sources: Vec<Vec<Time>>,
    stages: Vec<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Base {
    Merge,
    Chain,
    Zip,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// With whether values come in order, and whether some are left out.
    Map {
        limit: usize,
        in_order: bool,
        filters: bool,
    },
    Throttle(Time),
    Debounce(Time),
    Sample(Time),
    Chunks(usize, Time),
    Until(Time),
    InScope(usize),
}

use Stage::*;

fn pipelines() -> impl Strategy<Value = Pipeline> {
    let base = prop::sample::select(vec![Base::Merge, Base::Chain, Base::Zip]);
    let sources = prop::collection::vec(prop::collection::vec(0..4_u32, 0..6), 1..4);
    let stage = prop_oneof![
        3 => (1..4_usize, any::<bool>(), any::<bool>()).prop_map(|(limit, in_order, filters)| Map { limit, in_order, filters }),
        1 => (0..4_u64).prop_map(Throttle),
        1 => (0..4_u64).prop_map(Debounce),
        1 => (0..4_u64).prop_map(Sample),
        1 => (1..4_usize, 0..4_u64).prop_map(|(size, within)| Chunks(size, within)),
        1 => (0..20_u64).prop_map(Until),
        1 => (1..4_usize).prop_map(InScope),
    ];
    (base, sources, prop::collection::vec(stage, 0..4)).prop_map(|(base, sources, mut stages)| {
        let sources: Vec<Vec<Time>> = (0..)
            .zip(sources)
            .map(|(i, gaps)| {
                let gaps = (0..).zip(gaps).map(|(j, gap)| distinct(gap, [i, j]));
                gaps.scan(0, |at, gap| {
                    *at += gap;
                    Some(*at)
                })
                .collect()
            })
            .collect();
        // Whether what comes out depends on when it is asked for, in ways that are left open: then
        // nothing above waits.
        let mut open = base == Base::Merge && sources.len() > 1;
        // Whether it goes by the clock, or by others' turns: left and taken up again, it is late.
        let mut timed = false;
        for (i, stage) in (100..).zip(&mut stages) {
            match stage {
                Throttle(_) | Map { .. } if open => *stage = InScope(100),
                Map { .. } => open = true,
                Until(_) | Debounce(_) | Sample(_) | Chunks(..) => {
                    open |= timed;
                    timed = true;
                }
                Throttle(_) | InScope(_) => timed = true,
            }
            match stage {
                Throttle(time) | Debounce(time) | Sample(time) | Chunks(_, time) | Until(time) => {
                    *time = distinct(*time as u32, [i]);
                }
                Map { .. } | InScope(_) => {}
            }
        }
        Pipeline { base, sources, stages }
    })
}

/// How long an item is worked on in a stage; and whether it is left out.
fn work(stage: usize, item: &Item) -> (Time, bool) {
    let sum = item.iter().sum::<u32>();
    (distinct(sum * 7 % 5, item.iter().copied().chain([1_000 + stage as u32])), sum % 3 == 0)
}

fn name(source: usize, index: usize) -> u32 {
    (source * 10 + index) as u32
}

/// A stream, in the model.
trait Pull {
    /// Asked at `now`: when it answers, and what.
    fn next(&mut self, now: Time) -> (Time, Option<Item>);
}

struct Sources {
    base: Base,
    rest: Vec<Vec<(Time, Item)>>,
}

impl Sources {
    fn new(pipeline: &Pipeline) -> Self {
        let named = |(i, times): (usize, &Vec<Time>)| {
            let mut items: Vec<_> = times.iter().enumerate().map(|(j, at)| (*at, vec![name(i, j)])).collect();
            items.reverse();
            items
        };
        Sources { base: pipeline.base, rest: pipeline.sources.iter().enumerate().map(named).collect() }
    }
}

impl Pull for Sources {
    fn next(&mut self, now: Time) -> (Time, Option<Item>) {
        let first = match self.base {
            Base::Merge => self.rest.iter_mut().min_by_key(|items| items.last().map_or(NEVER, |item| item.0)),
            Base::Chain => self.rest.iter_mut().find(|items| !items.is_empty()),
            Base::Zip => {
                let row: Option<Vec<_>> = self.rest.iter_mut().map(Vec::pop).collect();
                let Some(row) = row else {
                    self.rest[0].clear();
                    return (now, None);
                };
                let at = row.iter().map(|item| item.0).max().unwrap_or(0).max(now);
                return (at, Some(row.into_iter().flat_map(|item| item.1).collect()));
            }
        };
        match first.and_then(Vec::pop) {
            Some((at, item)) => (at.max(now), Some(item)),
            None => (now, None),
        }
    }
}

struct Staged {
    inner: Box<dyn Pull>,
    stage: Stage,
    number: usize,
    /// What the inner one has been asked for, and has not answered yet.
    peeked: Option<(Time, Option<Item>)>,
    over: bool,
    /// Of a map: when what runs is ready. Of a stream in a scope: what has been consumed when.
    running: Vec<(Time, Item)>,
    /// The next tick, the earliest next item, or when the child of a scope is free again.
    next: Time,
}

impl Staged {
    /// What the inner one answers by `until`.
    fn take(&mut self, now: Time, until: Time) -> Option<(Time, Option<Item>)> {
        let peeked = self.peeked.take().unwrap_or_else(|| self.inner.next(now));
        if peeked.0 <= until {
            return Some((peeked.0.max(now), peeked.1));
        }
        self.peeked = Some(peeked);
        None
    }

    fn map(&mut self, now: Time, limit: usize, in_order: bool) -> (Time, Option<Item>) {
        let mut at = now;
        loop {
            while !self.over && self.running.len() < limit {
                match self.take(at, at) {
                    Some((_, Some(item))) => self.running.push((at + work(self.number, &item).0, item)),
                    Some((_, None)) => self.over = true,
                    None => break,
                }
            }
            let running = self.running.iter().enumerate();
            let next = if in_order { running.take(1).next() } else { running.min_by_key(|(_, item)| item.0) };
            let next = next.map(|(i, item)| (i, item.0));
            match next {
                Some((i, ready)) if ready <= at => return (at, Some(self.running.remove(i).1)),
                None if self.over => return (at, None),
                _ => {}
            }
            let source = self.peeked.as_ref().map_or(NEVER, |peeked| peeked.0);
            at = next.map_or(NEVER, |next| next.1).min(source).max(at);
        }
    }

    fn latest(&mut self, now: Time, quiet: Time) -> (Time, Option<Item>) {
        let (mut at, mut latest, mut due) = (now, None, NEVER);
        while !self.over {
            match self.take(at, due) {
                Some((ready, Some(item))) => (at, latest, due) = (ready, Some(item), ready + quiet),
                Some((ready, None)) => (at, self.over) = (ready, true),
                None => return (due, latest),
            }
        }
        (at, latest)
    }

    fn sample(&mut self, now: Time, period: Time) -> (Time, Option<Item>) {
        if self.next == 0 {
            self.next = now + period;
        }
        let (mut at, mut latest) = (now, None);
        while !self.over {
            match self.take(at, at.max(self.next)) {
                Some((ready, Some(item))) => (at, latest) = (ready, Some(item)),
                Some((ready, None)) => (at, self.over) = (ready, true),
                None => {
                    at = at.max(self.next);
                    self.next += period;
                    if self.next <= at {
                        self.next = at + period;
                    }
                    if latest.is_some() {
                        break;
                    }
                }
            }
        }
        (at, latest)
    }

    fn chunk(&mut self, now: Time, size: usize, within: Time) -> (Time, Option<Item>) {
        let (mut at, mut chunk, mut due) = (now, Vec::new(), NEVER);
        while !self.over && chunk.len() < size {
            match self.take(at, due) {
                Some((ready, Some(item))) => {
                    at = ready;
                    due = due.min(at + within);
                    chunk.push(item);
                }
                Some((ready, None)) => (at, self.over) = (ready, true),
                None => {
                    at = due;
                    break;
                }
            }
        }
        (at, (!chunk.is_empty()).then(|| chunk.concat()))
    }

    fn in_scope(&mut self, now: Time, capacity: usize) -> (Time, Option<Item>) {
        let room = self.running.len().checked_sub(capacity).map_or(0, |before| self.running[before].0);
        if self.over {
            return (now.max(self.next), None);
        }
        let (ready, item) = self.inner.next(self.next.max(room));
        self.next = ready;
        self.over = item.is_none();
        self.running.push((ready.max(now), Vec::new()));
        (ready.max(now), item)
    }
}

impl Pull for Staged {
    fn next(&mut self, now: Time) -> (Time, Option<Item>) {
        match self.stage {
            Map { limit, in_order, filters } => {
                let mut at = now;
                loop {
                    let (ready, item) = self.map(at, limit, in_order);
                    match item {
                        Some(item) if filters && work(self.number, &item).1 => at = ready,
                        item => return (ready, item),
                    }
                }
            }
            Throttle(period) => {
                let (ready, item) = self.inner.next(now.max(self.next));
                self.next = ready + period;
                (ready, item)
            }
            Debounce(quiet) => self.latest(now, quiet),
            Sample(period) => self.sample(now, period),
            Chunks(size, within) => self.chunk(now, size, within),
            Until(at) => {
                self.over |= now >= at;
                match if self.over { None } else { self.take(now, at) } {
                    Some((ready, item)) => {
                        self.over = item.is_none();
                        (ready, item)
                    }
                    None => (now.max(at), None),
                }
            }
            InScope(capacity) => self.in_scope(now, capacity),
        }
    }
}

fn model(pipeline: &Pipeline) -> Vec<(Time, Option<Item>)> {
    let mut stream: Box<dyn Pull> = Box::new(Sources::new(pipeline));
    for (number, stage) in pipeline.stages.iter().enumerate() {
        let stage = *stage;
        stream =
            Box::new(Staged { inner: stream, stage, number, peeked: None, over: false, running: Vec::new(), next: 0 });
    }
    let (mut at, mut seen) = (0, Vec::new());
    loop {
        let answer = stream.next(at);
        at = answer.0;
        seen.push(answer.clone());
        if answer.1.is_none() {
            return seen;
        }
    }
}

/// What has been started and not ended, which must never exceed the limit.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>, limit: usize) -> Self {
        assert!(count.fetch_add(1, Ordering::SeqCst) < limit, "more than the limit in flight");
        Running(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn base(pipeline: &Pipeline, start: Instant, drops: &Drops) -> BoxStream<'static, Item> {
    let source = |(i, times): (usize, &Vec<Time>)| {
        let (times, alive) = (times.clone(), drops.guard());
        generator(move |y| async move {
            let _alive = alive;
            for (j, at) in times.into_iter().enumerate() {
                let at = start + Duration::from_nanos(at);
                if at > now() {
                    sleep_until(at).await;
                }
                _ = y.emit(vec![name(i, j)]).await;
            }
        })
    };
    let sources: Vec<_> = pipeline.sources.iter().enumerate().map(source).collect();
    match pipeline.base {
        Base::Merge => merge(sources).boxed(),
        Base::Chain => chain(sources).boxed(),
        Base::Zip => zip(sources).map(|row| row.concat()).boxed(),
    }
}

/// Runs the pipeline, up to so many items.
async fn run(pipeline: Pipeline, items: usize, drops: Drops) -> Vec<(Time, Option<Item>)> {
    let start = now();
    scope(async |s| {
        let mut stream = base(&pipeline, start, &drops);
        for (number, stage) in pipeline.stages.into_iter().enumerate() {
            let ns = Duration::from_nanos;
            stream = match stage {
                Map { limit, in_order, filters } => {
                    let (count, drops) = (Arc::default(), drops.clone());
                    let mapped = foster::ConcurrentStream::filter_map_concurrent(stream, limit, move |item: Item| {
                        let alive = (Running::new(&count, limit), drops.guard());
                        async move {
                            let (time, leaves_out) = work(number, &item);
                            sleep(ns(time)).await;
                            drop(alive);
                            (!(filters && leaves_out)).then_some(item)
                        }
                    });
                    if in_order { mapped.in_order().boxed() } else { mapped.boxed() }
                }
                Throttle(period) => stream.throttle(ns(period)).boxed(),
                Debounce(quiet) => stream.debounce(ns(quiet)).boxed(),
                Sample(period) => stream.sample(ns(period)).boxed(),
                Chunks(size, within) => stream.chunks_timeout(size, ns(within)).map(|chunk| chunk.concat()).boxed(),
                Until(at) => {
                    let token = Token::new();
                    let stream = foster::StreamExt::take_until_cancelled(stream, &token);
                    s.spawn(async move {
                        sleep_until(start + ns(at)).await;
                        token.cancel("time is up");
                    });
                    stream.boxed()
                }
                InScope(capacity) => stream.in_scope(&s, capacity).boxed(),
            };
        }
        let mut seen = Vec::new();
        while seen.len() < items {
            let item = stream.next().await;
            let over = item.is_none();
            seen.push(((now() - start).as_nanos() as Time, item));
            if over {
                break;
            }
        }
        seen
    })
    .await
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_pipeline_streams_what_the_model_says_and_when(pipeline in pipelines(), seed: u64, items in prop_oneof![Just(usize::MAX), 0..5_usize]) {
        watched(move || {
            let mut expected = model(&pipeline);
            expected.truncate(items);
            let drops = Drops::new();
            let sim = Sim::builder().seed(seed).strict().limit(100_000).build();
            assert_eq!(sim.run(run(pipeline, items, drops.clone())), expected);
            assert_eq!(drops.alive(), 0);
        });
    }

    #[test]
    fn after_an_error_a_map_streams_nothing_else(times in prop::collection::vec((0..4_u32, prop::bool::weighted(0.2)), 0..9), limit in 1..5_usize, seed: u64) {
        watched(move || {
            let mut free = vec![0; limit];
            let mut all: Vec<_> = (0..).zip(&times).map(|(i, (units, fails))| {
                let first = free.iter_mut().min().unwrap();
                *first += distinct(*units, [i]);
                (*first, if *fails { Err(i) } else { Ok(i) })
            }).collect();
            all.sort();
            let until = all.iter().position(|item| item.1.is_err()).map_or(all.len(), |i| i + 1);
            all.truncate(until);
            let seen = Sim::new(seed).run(async move {
                let start = now();
                let results = (0..).zip(times).try_map_concurrent(limit, |(i, (units, fails))| async move {
                    sleep(Duration::from_nanos(distinct(units, [i]))).await;
                    if fails { Err(i) } else { Ok(i) }
                });
                results.map(|result| ((now() - start).as_nanos() as Time, result)).collect::<Vec<_>>().await
            });
            assert_eq!(seen, all);
        });
    }
}
