//! Trees of brackets and of scopes that manage resources: whatever happens, each resource that was
//! acquired is released once, the inner ones first, and no error is lost.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::runtimes::Sim;
use foster::scope::Errors;
use foster::{bracket, scope, shield, sleep, timeout, try_gather, try_scope};
use futures::future::{BoxFuture, FutureExt, join_all, select};
use proptest::prelude::*;

use crate::{config, watched};

#[derive(Clone, Debug)]
enum Node {
    Wait(u32),
    Shield(u32),
    Fail,
    Panic,
    /// One after the other.
    Steps(Vec<Node>),
    /// `join_all`, which is not foster's.
    Join(Vec<Node>),
    TryGather(Vec<Node>),
    Timeout(u32, Box<Node>),
    Bracket(Resource, Box<Node>),
    /// A scope that manages resources, the later ones made with the earlier ones.
    Scope(Vec<Resource>, Box<Node>),
}

#[derive(Clone, Copy, Debug)]
struct Resource {
    acquire: u32,
    is_shielded: bool,
    is_refused: bool,
    release: u32,
    end: End,
}

/// How a release ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Value,
    Error,
    Panic,
}

/// What others do to the tree.
#[derive(Clone, Copy, Debug)]
enum Outside {
    Nothing,
    /// A timeout of foster's.
    Timeout(u32),
    /// A drop by a `select` that is not foster's.
    Drop(u32),
}

#[derive(Clone, Debug)]
struct Program {
    tree: Node,
    outside: Outside,
    seed: u64,
}

fn resources() -> impl Strategy<Value = Resource> {
    let end = prop_oneof![8 => Just(End::Value), 2 => Just(End::Error), 1 => Just(End::Panic)];
    (0..4_u32, prop::bool::weighted(0.2), prop::bool::weighted(0.1), 0..4_u32, end).prop_map(
        |(acquire, is_shielded, is_refused, release, end)| Resource { acquire, is_shielded, is_refused, release, end },
    )
}

fn programs() -> impl Strategy<Value = Program> {
    let leaf = prop_oneof![
        8 => (0..9_u32).prop_map(Node::Wait),
        2 => (0..9_u32).prop_map(Node::Shield),
        2 => Just(Node::Fail),
        1 => Just(Node::Panic),
    ];
    let tree = leaf.prop_recursive(4, 24, 3, |inner| {
        let nodes = || prop::collection::vec(inner.clone(), 1..4);
        let bracket = (resources(), inner.clone()).prop_map(|(resource, body)| Node::Bracket(resource, body.into()));
        let managed = prop::collection::vec(resources(), 1..4);
        prop_oneof![
            1 => nodes().prop_map(Node::Steps),
            1 => nodes().prop_map(Node::Join),
            1 => nodes().prop_map(Node::TryGather),
            1 => (0..9_u32, inner.clone()).prop_map(|(limit, body)| Node::Timeout(limit, body.into())),
            4 => bracket,
            2 => (managed, inner).prop_map(|(resources, body)| Node::Scope(resources, body.into())),
        ]
    });
    let outside = prop_oneof![
        Just(Outside::Nothing),
        (0..16_u32).prop_map(Outside::Timeout),
        (0..16_u32).prop_map(Outside::Drop),
    ];
    (tree, outside, any::<u64>()).prop_map(|(tree, outside, seed)| Program { tree, outside, seed })
}

impl Node {
    /// Whether something in it panics.
    fn panics(&self) -> bool {
        match self {
            Node::Wait(_) | Node::Shield(_) | Node::Fail => false,
            Node::Panic => true,
            Node::Steps(nodes) | Node::Join(nodes) | Node::TryGather(nodes) => nodes.iter().any(Node::panics),
            Node::Timeout(_, body) => body.panics(),
            Node::Bracket(resource, body) => resource.end == End::Panic || body.panics(),
            Node::Scope(resources, body) => resources.iter().any(|each| each.end == End::Panic) || body.panics(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Error {
    Failed,
    Elapsed,
    Refused,
    /// The release of this resource failed.
    Release(usize),
}

/// What has become of a resource. Steps are counted over all of them.
#[derive(Clone, Debug, Default)]
struct Life {
    is_managed: bool,
    fails: bool,
    /// The resource in whose use it was acquired.
    outer: Option<usize>,
    release_began: Option<usize>,
    release_ended: Option<usize>,
    gone: bool,
    error_is_told: bool,
}

#[derive(Debug, Default)]
struct Lives {
    all: Vec<Life>,
    steps: usize,
}

#[derive(Clone, Debug, Default)]
struct World(Arc<Mutex<Lives>>);

impl World {
    fn with<R>(&self, look: impl FnOnce(&mut Lives) -> R) -> R {
        look(&mut self.0.lock().unwrap())
    }

    fn acquired(&self, life: Life) -> Held {
        let id = self.with(|lives| {
            lives.all.push(life);
            lives.all.len() - 1
        });
        Held { id, world: self.clone() }
    }

    /// Notes which errors of releases somebody was told of.
    fn told(&self, errors: Errors<Error>) -> Error {
        for (_, error) in &errors {
            if let Error::Release(id) = *error {
                self.with(|lives| lives.all[id].error_is_told = true);
            }
        }
        errors.into_first()
    }
}

struct Held {
    id: usize,
    world: World,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.world.with(|lives| lives.all[self.id].gone = true);
    }
}

fn ms(n: u32) -> Duration {
    Duration::from_millis(n.into())
}

impl Resource {
    async fn acquire(self, outer: Option<usize>, is_managed: bool, world: &World) -> Result<Held, Error> {
        let life = Life { is_managed, fails: self.end == End::Error, outer, ..Life::default() };
        let acquire = async {
            sleep(ms(self.acquire)).await;
            if self.is_refused { Err(Error::Refused) } else { Ok(world.acquired(life)) }
        };
        if self.is_shielded { shield(acquire).await } else { acquire.await }
    }

    async fn release(self, held: Held) -> Result<(), Error> {
        let note = |step: fn(&mut Life) -> &mut Option<usize>| {
            held.world.with(|lives| {
                lives.steps += 1;
                let before = step(&mut lives.all[held.id]).replace(lives.steps);
                assert!(before.is_none(), "released twice");
            });
        };
        note(|life| &mut life.release_began);
        sleep(ms(self.release)).await;
        note(|life| &mut life.release_ended);
        match self.end {
            End::Value => Ok(()),
            End::Error => Err(Error::Release(held.id)),
            End::Panic => resume_unwind(Box::new("release")),
        }
    }
}

fn run<'a>(node: &'a Node, outer: Option<usize>, world: &'a World) -> BoxFuture<'a, Result<(), Error>> {
    let all = move |nodes: &'a [Node]| nodes.iter().map(move |node| run(node, outer, world));
    match node {
        Node::Wait(time) => sleep(ms(*time)).map(Ok).boxed(),
        Node::Shield(time) => shield(sleep(ms(*time))).map(Ok).boxed(),
        Node::Fail => async { Err(Error::Failed) }.boxed(),
        Node::Panic => async { resume_unwind(Box::new("body")) }.boxed(),
        Node::Steps(nodes) => async move {
            for step in all(nodes) {
                step.await?;
            }
            Ok(())
        }
        .boxed(),
        Node::Join(nodes) => join_all(all(nodes)).map(|results| results.into_iter().collect()).boxed(),
        Node::TryGather(nodes) => try_gather(all(nodes)).map(|results| results.map(drop)).boxed(),
        Node::Timeout(limit, body) => {
            timeout(ms(*limit), run(body, outer, world)).map(|result| result.unwrap_or(Err(Error::Elapsed))).boxed()
        }
        Node::Bracket(resource, body) => {
            let resource = *resource;
            let acquire = resource.acquire(outer, false, world);
            let used = async move |held: &mut Held| run(body, Some(held.id), world).await;
            bracket(acquire, used, move |held| resource.release(held))
                .map(|result| result.map_err(|errors| world.told(errors)))
                .boxed()
        }
        Node::Scope(resources, body) => try_scope(async move |s| {
            let (mut outer, mut managed) = (outer, Vec::new());
            for resource in resources {
                let held = s.manage(resource.acquire(outer, true, world).await?, |held| resource.release(held));
                outer = Some(held.id);
                managed.push(held);
            }
            run(body, outer, world).await
        })
        .keep_going()
        .map(|result| result.map_err(|errors| world.told(errors)))
        .boxed(),
    }
}

/// Checks what has become of all resources. In a calm program nothing panics and nothing is dropped
/// by others.
fn check(world: &World, is_calm: bool, program: &Program) {
    let lives = world.with(|lives| lives.all.clone());
    let wrong = |what: &str, id: usize| panic!("resource {id} {what}: {lives:#?}\n{program:#?}");
    for (id, life) in lives.iter().enumerate() {
        // A scope that is dropped by others drops what it manages.
        if life.release_ended.is_none() && (is_calm || !life.is_managed) {
            wrong("was not released", id);
        }
        if is_calm && life.fails && !life.error_is_told {
            wrong("failed when it was released, and nobody was told", id);
        }
        if !life.gone {
            wrong("is left", id);
        }
        let outer = life.outer.map(|outer| &lives[outer]);
        if is_calm && outer.is_some_and(|outer| outer.release_began < life.release_ended) {
            wrong("was released after the one in whose use it was acquired", id);
        }
    }
}

fn play(program: Program) {
    let world = World::default();
    let is_dropped = matches!(program.outside, Outside::Drop(_));
    let is_calm = !is_dropped && !program.tree.panics();
    let played = catch_unwind(AssertUnwindSafe(|| {
        Sim::new(program.seed).run(async {
            let tree = run(&program.tree, None, &world);
            match program.outside {
                Outside::Nothing => drop(tree.await),
                Outside::Timeout(limit) => drop(timeout(ms(limit), tree).await),
                Outside::Drop(after) => {
                    scope(async |_| drop(select(tree, pin!(sleep(ms(after)))).await)).await;
                }
            }
            if is_calm || is_dropped && !program.tree.panics() {
                // Now, and not only at the end of the program.
                check(&world, is_calm, &program);
            }
        });
    }));
    check(&world, is_calm, &program);
    if let Err(payload) = played {
        let expected = payload.downcast_ref::<&str>().is_some_and(|text| ["body", "release"].contains(text));
        if !expected || !program.tree.panics() {
            resume_unwind(payload);
        }
    }
}

#[test]
fn every_resource_is_released_once_and_the_inner_ones_first() {
    proptest!(config(), |(program in programs())| watched(move || play(program)));
}
