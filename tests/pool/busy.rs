//! Operations that are in flight.

use foster::resource::{Pool, PoolOptions};
use foster::stream::generator;
use foster::testing::{EveryAwait, cancel_at_every_await};
use foster::{scope, timeout};
use futures::StreamExt as _;

use crate::harness::{T, watched};
use crate::server::Server;

/// Asks in an operation that is marked.
async fn ask(pool: &Pool<Server>, number: u32) -> u32 {
    let mut resource = pool.get().await.unwrap();
    let mut operation = resource.busy();
    let answer = operation.double(number, T).await;
    operation.done();
    answer
}

matrix! {
    async fn a_resource_whose_operation_is_done_is_given_out_again() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(server.clone(), s.spawner());
            assert_eq!((ask(&pool, 1).await, ask(&pool, 2).await), (2, 4));
            assert_eq!(server.created(), 1);
        })
        .await;
    }

    async fn an_operation_that_was_given_up_breaks_the_resource_even_if_a_later_one_is_done() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(server.clone(), s.spawner());
            let mut resource = pool.get().await.unwrap();
            drop(resource.busy());
            resource.busy().done();
            drop(resource);
            assert_eq!(pool.get().await.unwrap().id, 1);
        })
        .await;
    }

    async fn a_stream_that_owns_its_operation_breaks_the_resource_if_it_is_not_read_to_its_end() {
        let doubles = async |pool: &Pool<Server>| {
            let mut resource = pool.get().await.unwrap();
            generator(async move |y| {
                let mut operation = resource.busy();
                for number in 0..3 {
                    let answer = operation.double(number, T).await;
                    _ = y.emit(answer).await;
                }
                operation.done();
            })
        };
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(Server::new(), s.spawner());
            assert_eq!(doubles(&pool).await.collect::<Vec<_>>().await, [0, 2, 4]);
            let mut rows = doubles(&pool).await;
            assert_eq!(rows.next().await, Some(0));
            assert_eq!(pool.statistics().in_use(), 1);
            drop(rows);
            assert_eq!(pool.get().await.unwrap().id, 1);
        })
        .await;
    }

    async fn a_resource_that_is_dropped_by_a_panic_is_not_given_out_again() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(server.clone(), s.spawner());
            let resource = pool.get().await.unwrap();
            let panicking = foster::future::catch_panic(async move {
                let _resource = resource;
                panic!("in the middle of something");
            });
            assert!(panicking.await.is_err());
            assert_eq!(pool.get().await.unwrap().id, 1);
        })
        .await;
    }
}

/// A cancelled command left its answer in the connection, and the next one read it: redis-py#2624,
/// CVE-2023-28859.
#[test]
fn an_answer_is_never_read_by_somebody_else() {
    let server = Server::new();
    let program = || async {
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(server.clone(), s.spawner());
            for patience in 0..4 {
                if let Ok(answer) = timeout(T / 2 * patience, ask(&pool, 7)).await {
                    assert_eq!(answer, 14);
                }
                assert_eq!(ask(&pool, 100 + patience).await, 2 * (100 + patience));
            }
        })
        .await;
    };
    let check = || assert_eq!(server.open(), 0);
    assert!(cancel_at_every_await(program, check).suspensions().len() > 10);
    EveryAwait::new().seeds(0..3).wind_down().run(program, check).unwrap();
}

/// Each suspension of the question is cancelled while the pool lives on, and others go on to use
/// it.
#[test]
fn whoever_asks_after_a_cancelled_question_gets_the_right_answer() {
    watched(|| {
        foster::runtimes::Sim::default().run(scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(Server::new(), s.spawner());
            let mut cancelled = 0;
            for polls in 0..10 {
                let waker = foster::testing::CountingWaker::new();
                let mut question = Box::pin(ask(&pool, 7));
                for _ in 0..polls {
                    if waker.poll(question.as_mut()).is_ready() {
                        question = Box::pin(ask(&pool, 7));
                    }
                    foster::sleep(T / 2).await;
                }
                cancelled += usize::from(pool.statistics().in_use() > 0);
                drop(question);
                assert_eq!(ask(&pool, 8).await, 16);
            }
            assert!(cancelled > 4, "{cancelled} were cancelled in the middle");
        }));
    });
}
