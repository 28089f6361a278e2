//! What the body of a scope may do when it is written as `async |s| { … }`. Most of it is that this
//! compiles.
//!
//! What it may not do is in `compile_fail`, and in the guide to errors.

use std::cell::Cell;
use std::future::Future;
use std::num::ParseIntError;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use foster::scope::AnyScope;
use foster::{Scope, TryScope, gather, local, scope, timeout, try_scope, yield_now};
use futures::executor::block_on;

async fn length(text: &str) -> usize {
    yield_now().await;
    text.len()
}

async fn parse(text: &str) -> Result<u32, ParseIntError> {
    yield_now().await;
    text.parse()
}

fn send<F: Future + Send>(future: F) -> F {
    future
}

#[test]
fn children_borrow_what_is_outside_without_a_hoist() {
    let names = ["Ada".to_string(), "Grace".to_string()];
    let lengths = block_on(scope(async |s| {
        let tasks: Vec<_> = names.iter().map(|name| s.spawn(length(name))).collect();
        let both = s.spawn(async { names.concat().len() });
        (gather(tasks).await, both.await)
    }));
    assert_eq!(lengths, (vec![3, 5], 8));
    drop(names);
}

#[test]
fn a_child_borrows_mutably_what_the_body_uses_no_more() {
    let mut log = vec!["before"];
    block_on(scope(async |s| {
        s.spawn(async { log.push("child") });
    }));
    log.push("after");
    assert_eq!(log, ["before", "child", "after"]);
}

#[test]
fn the_body_itself_borrows_mutably() {
    let mut total = 0;
    block_on(scope(async |s| {
        for text in ["a", "bb"] {
            total += s.spawn(length(text)).await;
        }
    }));
    assert_eq!(total, 3);
}

#[test]
fn a_question_mark_in_the_body_fails_the_scope() {
    let sum = |a: &'static str, b: &'static str| {
        try_scope(async move |s| {
            let a = s.spawn(parse(a));
            let b = parse(b).await?;
            Ok::<_, ParseIntError>(a.await + b)
        })
    };
    assert_eq!(block_on(sum("40", "2")), Ok(42));
    assert!(block_on(sum("40", "x")).is_err());
    assert!(block_on(sum("x", "2")).is_err());
}

#[test]
fn finalizers_borrow_what_is_outside() {
    let log = Mutex::new(Vec::new());
    block_on(scope(async |s| {
        s.defer(async {
            yield_now().await;
            log.lock().unwrap().push("last");
        });
        s.spawn(async { log.lock().unwrap().push("first") });
    }));
    assert_eq!(log.into_inner().unwrap(), ["first", "last"]);
}

#[test]
fn an_inner_scope_lets_its_children_borrow_from_the_outer_body() {
    let outside = String::from("outside");
    let lengths = block_on(scope(async |outer| {
        let inside = String::from("in");
        let inner = scope(async |s| {
            let (a, b) = (s.spawn(length(&outside)), s.spawn(length(&inside)));
            (a.await, b.await)
        });
        (inner.await, outer.spawn(length(&outside)).await)
    }));
    assert_eq!(lengths, ((7, 2), 7));
}

#[test]
fn the_future_is_send_and_runs_in_a_foreign_task() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let handler = async {
        let (name, mut seen) = (String::from("Ada"), 0);
        let scope = scope(async |s| {
            let inner = try_scope(async |s| {
                s.spawn(parse("7"));
                Ok::<_, ParseIntError>(s.spawn(async { Ok(length(&name).await) }).await)
            });
            seen = inner.await.unwrap();
            s.spawn(length(&name)).await
        });
        let length = timeout(Duration::MAX, scope).await.unwrap();
        (length, seen)
    };
    assert_eq!(runtime.block_on(async { tokio::spawn(send(handler)).await }).unwrap(), (3, 3));
}

#[test]
fn helpers_take_the_scope() {
    fn both<'env>(s: &Scope<'env>, texts: [&'env str; 2]) -> impl Future<Output = Vec<usize>> + use<'env> {
        let tasks: Vec<_> = texts.into_iter().map(|text| s.spawn(length(text))).collect();
        gather(tasks)
    }
    async fn checked<'env>(s: TryScope<'env, ParseIntError>, text: &'env str) -> u32 {
        s.spawn(parse(text)).await
    }
    fn any<'env>(s: &impl AnyScope<'env>, heard: &'env Mutex<Vec<u32>>) {
        s.start(async { heard.lock().unwrap().push(1) });
    }
    let (texts, heard) = (["a".to_string(), "bb".to_string()], Mutex::default());
    let lengths = block_on(send(scope(async |s| {
        any(&s, &heard);
        both(&s, [&texts[0], &texts[1]]).await
    })));
    assert_eq!(lengths, [1, 2]);
    let number = block_on(send(try_scope(async |s| {
        any(&s, &heard);
        Ok(checked(s, "7").await)
    })));
    assert_eq!(number, Ok(7));
    assert_eq!(heard.into_inner().unwrap().len(), 2);
}

#[test]
fn a_local_body_shares_cells_and_counted_references() {
    let (count, shared) = (Cell::new(0), Rc::new(7));
    let seen = block_on(local::scope(async |s| {
        s.spawn(async { count.set(count.get() + 1) });
        s.spawn(async { count.set(count.get() + 1) });
        s.spawn(async { *shared }).await
    }));
    assert_eq!((seen, count.get()), (7, 2));
}

#[test]
fn what_the_body_consumes_it_takes() {
    let (sender, receiver) = futures::channel::oneshot::channel();
    let heard = block_on(scope(async |s| {
        s.spawn(async { sender.send(7).unwrap() }); // consumed, so it moves into the child
        receiver.await
    }));
    assert_eq!(heard, Ok(7));
}
