//! Two causes, of which the first counts, however deep a task lies and whatever its scope has.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use foster::{Reason, Scope, Task, Token, race, scope, shield, yield_now};
use futures::channel::oneshot;
use futures::future::poll_immediate;

use crate::harness::bare;
use crate::probes::{Log, OnDrop, boxed, turns};

/// Polls a scope of one child once, cancels the child by its task, and drops the scope by `end`.
/// Returns the reason that the task has.
async fn reason_after_a_drop(begins: bool, end: impl AsyncFnOnce(Pin<Box<dyn Future<Output = ()> + '_>>)) -> Reason {
    let kept = Mutex::new(None);
    let (go, gone) = oneshot::channel::<()>();
    let mut left = Box::pin(scope(async |s| {
        if !begins {
            _ = gone.await;
        }
        *kept.lock().unwrap() = Some(s.spawn(pending::<()>()));
        pending::<()>().await
    }));
    assert!(poll_immediate(&mut left).await.is_none());
    drop(go);
    if !begins {
        // The body spawns the child in the last of the rounds that it is polled in.
        assert!(poll_immediate(&mut left).await.is_none());
    }
    let task: Task<()> = kept.lock().unwrap().take().unwrap();
    task.cancel();
    end(left).await;
    task.outcome().await.unwrap_err().reason().clone()
}

/// The scope hears of the cancellation at its next poll, which there is none of.
#[test]
fn a_task_that_was_cancelled_before_its_scope_was_dropped_has_its_own_reason() {
    bare(|| async {
        for begins in [true, false] {
            let reason = reason_after_a_drop(begins, async |left| drop(left)).await;
            assert_eq!(reason, "its task was cancelled".into(), "begins: {begins}");
            let reason = reason_after_a_drop(begins, async |left| race((left, std::future::ready(()))).await).await;
            assert_eq!(reason, "its task was cancelled".into(), "begins: {begins}, and a lost race");
        }
    });
}

/// The drop was first, and the first cause counts, also if the destructor cancels the scope as well.
#[test]
fn a_task_that_a_destructor_cancels_while_its_scope_is_dropped_has_the_reason_of_the_drop() {
    bare(|| async {
        for cancels_scope in [false, true] {
            let kept = &Mutex::new(None::<Task<()>>);
            let mut left = Box::pin(scope(async |s| {
                *kept.lock().unwrap() = Some(s.spawn(pending::<()>()));
                let own = s.clone();
                s.spawn(async move {
                    let _cancels = OnDrop(move || {
                        kept.lock().unwrap().as_ref().unwrap().cancel();
                        if cancels_scope {
                            own.cancel("late");
                        }
                    });
                    pending::<()>().await
                });
                pending::<()>().await
            }));
            assert!(poll_immediate(&mut left).await.is_none());
            drop(left);
            let task = kept.lock().unwrap().take().unwrap();
            assert_eq!(*task.outcome().await.unwrap_err().reason(), Reason::Dropped, "{cancels_scope}");
        }
    });
}

/// As long as nobody asks for its token, a scope is not told that what encloses it was cancelled.
#[test]
fn a_task_that_is_cancelled_after_what_encloses_its_scope_has_the_first_reason() {
    bare(|| async {
        for (has_token, by_child) in [(false, false), (true, false), (false, true), (true, true)] {
            let kept = &Mutex::new(None::<Task<()>>);
            let cancel = &|outer: Scope<'_>| {
                outer.cancel("first");
                kept.lock().unwrap().as_ref().unwrap().cancel();
            };
            scope(async |outer| {
                let own = outer.clone();
                outer.spawn(scope(async move |s| {
                    let _token = has_token.then(|| s.stop_token());
                    *kept.lock().unwrap() = Some(s.spawn(pending::<()>()));
                    turns().await;
                    if by_child {
                        cancel(own);
                    }
                    pending::<()>().await
                }));
                if !by_child {
                    turns().await;
                    cancel(outer);
                }
                pending::<()>().await
            })
            .await;
            let task = kept.lock().unwrap().take().unwrap();
            let reason = task.outcome().await.unwrap_err().reason().clone();
            assert_eq!(reason, "first".into(), "{has_token} {by_child}");
        }
    });
}

/// The region heard of its own token before it was linked to what was cancelled first.
#[test]
fn what_is_cancelled_after_what_encloses_it_in_one_poll_has_the_first_reason() {
    bare(|| async {
        let token = &Token::new();
        let log = &Log::new();
        scope(async |outer| {
            let own = outer.clone();
            outer.spawn(async move {
                let run = token.run_until_cancelled(async {
                    let here = Token::current().unwrap();
                    shield(async { log.note(here.cancelled().await.to_string()) }).await;
                });
                let cancelling = async {
                    own.cancel("first");
                    token.cancel("second");
                };
                _ = futures::join!(run, cancelling);
            });
        })
        .await;
        assert_eq!(log.entries(), ["requested: first"]);
    });
}

/// Where a task is cancelled first, or its token, or what encloses its scope.
#[derive(Clone, Copy, Debug)]
enum First {
    OuterScope,
    OuterTask,
    Token,
    Race,
}

/// Keeps a task of a scope, which has a token or not, and which two causes end. Returns the reason
/// of the task.
async fn ended_twice(first: First, has_token: bool) -> Reason {
    let kept = &Mutex::new(None::<Task<()>>);
    let token = &Token::new();
    let inner = boxed(scope(async move |s| {
        let _token = has_token.then(|| s.stop_token());
        *kept.lock().unwrap() = Some(s.spawn(pending::<()>()));
        pending::<()>().await
    }));
    scope(async |outer| match first {
        First::OuterScope => {
            let own = outer.clone();
            outer.spawn(async move {
                let mut inner = inner;
                assert!(poll_immediate(&mut inner).await.is_none());
                yield_now().await;
                own.cancel("first");
                drop(inner);
            });
        }
        First::OuterTask => {
            let task = outer.spawn(inner);
            turns().await;
            task.cancel();
            outer.cancel("second");
        }
        First::Token => {
            outer.spawn(async move { drop(token.run_until_cancelled(inner).await) });
            turns().await;
            token.cancel("first");
            outer.cancel("second");
        }
        First::Race => {
            let newer = boxed(async {
                let _cancels = OnDrop(|| kept.lock().unwrap().as_ref().unwrap().cancel());
                pending::<()>().await
            });
            race([inner, newer, boxed(turns())]).await;
        }
    })
    .await;
    let task = kept.lock().unwrap().take().unwrap();
    task.outcome().await.unwrap_err().reason().clone()
}

#[test]
fn the_first_of_two_causes_counts_whether_or_not_a_scope_has_a_token() {
    bare(|| async {
        for has_token in [false, true] {
            let reason = async |first| (first, ended_twice(first, has_token).await);
            let expected = "first".into();
            assert!(matches!(reason(First::OuterScope).await, (_, reason) if reason == expected), "{has_token}");
            assert!(matches!(reason(First::Token).await, (_, reason) if reason == expected), "{has_token}");
            let by_task = "its task was cancelled".into();
            assert!(matches!(reason(First::OuterTask).await, (_, reason) if reason == by_task), "{has_token}");
            assert!(matches!(reason(First::Race).await, (_, Reason::Lost)), "{has_token}");
        }
    });
}

/// It was moved out of what is cancelled before that was cancelled.
#[test]
fn a_scope_that_has_left_what_is_cancelled_has_only_been_dropped() {
    bare(|| async {
        let (mut left, kept) = (None, &Mutex::new(None::<Task<()>>));
        let out = &mut left;
        _ = scope(async |outer| {
            let mut inner = boxed(scope(async move |s| {
                *kept.lock().unwrap() = Some(s.spawn(pending::<()>()));
                pending::<()>().await
            }));
            assert!(poll_immediate(&mut inner).await.is_none());
            *out = Some(inner);
            outer.cancel("outer");
        })
        .outcome()
        .await;
        drop(left);
        let task = kept.lock().unwrap().take().unwrap();
        assert_eq!(*task.outcome().await.unwrap_err().reason(), Reason::Dropped);
    });
}

#[test]
fn a_scope_that_is_asked_to_stop_after_a_cancellation_is_dropped_because_of_that() {
    bare(|| async {
        for has_token in [false, true] {
            let kept = &Mutex::new(None::<(Scope<'static>, Task<()>)>);
            scope(async |outer| {
                let own = outer.clone();
                outer.spawn(async move {
                    let mut inner = Box::pin(scope(async |s| {
                        let _token = has_token.then(|| s.stop_token());
                        let task = s.spawn(pending::<()>());
                        *kept.lock().unwrap() = Some((s, task));
                        pending::<()>().await
                    }));
                    assert!(poll_immediate(&mut inner).await.is_none());
                    yield_now().await;
                    own.cancel("first");
                    kept.lock().unwrap().as_ref().unwrap().0.stop("second", Duration::from_secs(3600));
                    drop(inner);
                });
            })
            .await;
            let (_, task) = kept.lock().unwrap().take().unwrap();
            let reason = task.outcome().await.unwrap_err().reason().clone();
            assert_eq!(reason, "first".into(), "{has_token}");
        }
    });
}

/// The scope's token is linked below what encloses the scope only after the poll.
#[test]
fn a_scope_that_is_cancelled_after_what_encloses_it_in_one_poll_ends_for_the_first_reason() {
    bare(|| async {
        for (has_token, has_finalizer) in [(false, false), (true, false), (false, true), (true, true)] {
            let (kept, log) = (&Mutex::new(None::<Task<()>>), &Log::new());
            scope(async |outer| {
                let own = outer.clone();
                outer.spawn(scope(async move |s| {
                    let _token = has_token.then(|| s.stop_token());
                    if has_finalizer {
                        let scope = s.clone();
                        s.defer(async move { log.note(scope.stop_token().reason().unwrap().to_string()) });
                    }
                    *kept.lock().unwrap() = Some(s.spawn(pending::<()>()));
                    turns().await;
                    own.cancel("first");
                    s.cancel("second");
                    pending::<()>().await
                }));
                pending::<()>().await
            })
            .await;
            let task = kept.lock().unwrap().take().unwrap();
            let reason = task.outcome().await.unwrap_err().reason().clone();
            assert_eq!(reason, "first".into(), "{has_token} {has_finalizer}");
            assert_eq!(log.entries(), vec!["requested: first"; usize::from(has_finalizer)]);
        }
    });
}

/// The race drops the scope at the moment at which a destructor that it runs cancels it. The task
/// had the reason of the destructor, and a child that came later, too.
#[test]
fn a_scope_that_is_cancelled_at_the_moment_of_its_drop_has_the_reason_of_the_drop() {
    bare(|| async {
        let kept = &Mutex::new(None::<(Scope<'static>, Task<()>)>);
        let inner = boxed(scope(async move |s| {
            let task = s.spawn(pending::<()>());
            *kept.lock().unwrap() = Some((s, task));
            pending::<()>().await
        }));
        let newer = boxed(async {
            let _cancels = OnDrop(|| kept.lock().unwrap().as_ref().unwrap().0.cancel("late"));
            pending::<()>().await
        });
        race([inner, newer, boxed(turns())]).await;
        let (gone, task) = kept.lock().unwrap().take().unwrap();
        assert_eq!(*task.outcome().await.unwrap_err().reason(), Reason::Lost);
        let late = gone.spawn(async {});
        assert_eq!(*late.outcome().await.unwrap_err().reason(), Reason::Lost, "of a child that comes later");
    });
}
