//! The session in virtual time: to the millisecond, and over a network with faults.

mod support;

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use fetch::server::{Log, Order, Receipt, Server, file};
use fetch::{Failure, Options, Session, programs};
use foster::runtimes::Sim;
use foster::testing::{EveryAwait, Explore, Faults, explore, poll_once, settle};
use foster::{Token, gather, now, scope, sleep, timeout};
use support::{beside_server, pages};

const SECOND: Duration = Duration::from_secs(1);

/// Retries at once, so that what is left of the time is what a test is about.
fn options() -> Options {
    Options::new().pauses([Duration::ZERO; 3]).rate(1_000_000, SECOND).timeout(5 * SECOND)
}

#[test]
fn a_server_that_has_too_many_requests_is_left_alone_by_all() {
    explore(0..20, || async {
        beside_server(options(), async |session, url, log| {
            let start = now();
            let busy = session.bytes(&format!("{url}/pages/1?busy")).await.unwrap();
            assert_eq!((busy, now() - start), ("page 1".into(), SECOND));

            let (first, other) = (format!("{url}/pages/2?busy"), format!("{url}/pages/3"));
            let later = async {
                while log.requests() < 3 {
                    settle().await;
                }
                sleep(SECOND / 10).await;
                session.bytes(&other).await.unwrap();
                assert_eq!(now() - start, 2 * SECOND, "it was told nothing, and waits with the first one");
            };
            let (page, ()) = gather((session.bytes(&first), later)).await;
            assert_eq!((page.unwrap(), now() - start), ("page 2".into(), 2 * SECOND));
        })
        .await;
    });
}

#[test]
fn a_wait_that_the_deadline_forbids_is_not_begun() {
    explore(0..20, || async {
        beside_server(options(), async |session, url, _| {
            let (start, busy) = (now(), format!("{url}/pages/1?busy"));
            let failed = timeout(SECOND / 2, session.bytes(&busy)).await.unwrap().unwrap_err();
            assert!(failed.is_deadline(), "{failed}");
            assert_eq!(failed.error().retry_after(), Some(SECOND));
            // The host is paused.
            let failed = timeout(SECOND / 2, session.bytes(&busy)).await.unwrap().unwrap_err();
            assert!(matches!(failed.error(), Failure::Limited(_)), "{failed}");
            assert_eq!(now(), start);
        })
        .await;
    });
}

#[test]
fn who_waits_in_vain_for_a_token_leaves_the_connection_open() {
    explore(0..20, || async {
        beside_server(options().rate(1, 10 * SECOND), async |session, url, log| {
            let page = format!("{url}/pages/1");
            session.bytes(&page).await.unwrap();
            let failed = timeout(SECOND, session.bytes(&page)).await.unwrap().unwrap_err();
            assert!(matches!(failed.error(), Failure::Limited(_)), "{failed}");
            assert!(poll_once(pin!(session.bytes(&page))).await.is_pending());
            assert_eq!((session.statistics().idle(), log.connections()), (1, 1));
        })
        .await;
    });
}

#[test]
fn an_order_that_was_refused_is_sent_again() {
    explore(0..20, || async {
        beside_server(options(), async |session, url, log| {
            let order = Order { item: "tea".into(), count: 1 };
            let receipt: Receipt = session.post(&format!("{url}/orders?busy,busy"), &order).await.unwrap();
            assert_eq!((receipt.number, log.orders()), (1, vec![order]));
        })
        .await;
    });
}

#[test]
fn a_server_that_goes_silent_is_given_its_time_and_is_asked_again() {
    for fault in ["silent", "stall"] {
        explore(0..20, || async {
            beside_server(options(), async |session, url, log| {
                let start = now();
                let bytes = session.bytes(&format!("{url}/files/100000?{fault}")).await.unwrap();
                assert!(bytes == file(100_000));
                assert_eq!((now() - start, log.connections()), (5 * SECOND, 2));
            })
            .await;
        });
    }
}

#[test]
fn a_chunk_that_does_not_come_in_time_is_the_last_one() {
    explore(0..20, || async {
        beside_server(options(), async |session, url, _| {
            let mut response = session.get(&format!("{url}/files/100?stall")).await.unwrap();
            let mut length = 0;
            while length < 50 {
                length += response.chunk().await.unwrap().unwrap().len();
            }
            assert!(matches!(response.chunk().await, Err(Failure::Late(_))));
            assert_eq!((session.statistics().idle(), session.statistics().in_use()), (0, 0));
            assert!(response.chunk().await.unwrap().is_none());
        })
        .await;
    });
}

#[test]
fn a_host_that_cannot_be_reached_is_given_up() {
    explore(0..20, || async {
        Sim::current().host("server");
        Sim::current().network().isolate("server");
        scope(async |s| {
            let (start, session) = (now(), Session::new(options().pauses([Duration::ZERO]), s.spawner()));
            let failed = session.bytes("http://server/").await.unwrap_err();
            assert!(matches!(failed.error(), Failure::Connect(error) if error.is_timed_out()), "{failed}");
            assert_eq!(failed.attempts(), 2);
            // The pool waits for a moment before it tries again.
            assert!((10 * SECOND..11 * SECOND).contains(&(now() - start)));
        })
        .await;
    });
}

#[test]
fn the_wait_for_a_connection_does_not_count() {
    explore(0..20, || async {
        beside_server(options().limit(1), async |session, url, _| {
            let (start, silent) = (now(), pages(url, 4, "silent"));
            let pages = programs::gather(session, &silent, 4).await;
            assert!(pages.iter().all(Result::is_ok));
            assert_eq!(now() - start, 4 * 5 * SECOND, "each has waited for its own silence alone");
        })
        .await;
    });
}

#[test]
fn a_host_is_asked_at_its_rate() {
    explore(0..20, || async {
        beside_server(options().rate(10, SECOND), async |session, url, _| {
            let start = now();
            let pages = programs::gather(session, &pages(url, 35, ""), 35).await;
            assert!(pages.iter().all(Result::is_ok));
            assert_eq!(now() - start, 25 * SECOND / 10);
        })
        .await;
    });
}

#[test]
fn a_server_in_trouble_is_spared_by_the_budget() {
    explore(0..20, || async {
        beside_server(options().budget(10), async |session, url, log| {
            let failed = programs::gather(session, &pages(url, 100, "error,error,error,error"), 10).await;
            let over = failed.iter().filter(|page| page.as_ref().unwrap_err().is_over_budget()).count();
            assert!(over > 90, "{over} requests were refused another attempt");
            // At half of the ten tokens there are no retries.
            assert_eq!(log.requests(), 100 + 4);
        })
        .await;
    });
}

#[test]
fn a_connection_that_was_closed_while_it_was_idle_costs_no_attempt() {
    explore(0..20, || async {
        scope(async |s| {
            let (log, order) = (Log::default(), Order { item: "tea".into(), count: 1 });
            let session = Session::new(options().pauses([]), s.spawner());
            for number in 1..=3 {
                let (server, stop) = (Server::bind("127.0.0.1:80").await.unwrap(), Token::new());
                scope(async |s| {
                    s.spawn(server.run(&log, &stop));
                    let receipt: Receipt = session.post("http://127.0.0.1/orders", &order).await.unwrap();
                    assert_eq!(receipt.number, number);
                    stop.cancel("the server is replaced");
                })
                .await;
            }
            assert_eq!((log.orders().len(), log.connections()), (3, 3));
        })
        .await;
    });
}

/// Polls a future so often, and drops it if it has not completed by then.
async fn abandon<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

#[test]
fn a_request_that_is_dropped_at_any_poll_harms_no_other() {
    explore(0..10, || async {
        beside_server(options().limit(1), async |session, url, _| {
            let (long, short) = (format!("{url}/files/200000"), format!("{url}/pages/7"));
            let mut polls = 0;
            while abandon(session.bytes(&long), polls).await.is_none() {
                assert_eq!(session.bytes(&short).await.unwrap(), "page 7", "after {polls} polls");
                polls += 1;
            }
            assert!(polls > 5, "it waits for a connection, for the head, and for chunks");
        })
        .await;
    });
}

#[test]
fn nothing_is_left_wherever_a_program_is_cancelled() {
    let program = || async {
        beside_server(options().limit_per_host(2), async |session, url, _| {
            let order = Order { item: "tea".into(), count: 1 };
            programs::gather(session, &pages(url, 3, "cut"), 3).await;
            session.post::<Receipt>(&format!("{url}/orders?lost"), &order).await.unwrap_err();
        })
        .await;
    };
    EveryAwait::new().seeds(0..5).run(program, || ()).unwrap();
    EveryAwait::new().seeds(0..5).wind_down().run(program, || ()).unwrap();
}

/// Runs a client against a server on another host, over a network that loses and resets.
async fn orders_over_a_bad_network() {
    const TASKS: u32 = 4;
    const ORDERS: u32 = 5;
    let log = Arc::new(Log::default());
    let seen = log.clone();
    Sim::current().host("server").program(move || {
        let log = seen.clone();
        async move { _ = Server::bind("server:80").await.unwrap().run(&log, &Token::new()).await }
    });
    settle().await;
    let client = scope(async |s| {
        let session = &Session::new(options().limit_per_host(3).pauses([SECOND; 5]), s.spawner());
        let confirmed = gather((0..TASKS).map(|task| async move {
            let mut confirmed = Vec::new();
            for number in 0..ORDERS {
                let count = task * ORDERS + number;
                let order = Order { item: "tea".into(), count };
                if session.post::<Receipt>("http://server/orders", &order).await.is_ok() {
                    confirmed.push(count);
                }
                if let Ok(page) = session.bytes(&format!("http://server/pages/{count}")).await {
                    assert_eq!(page, format!("page {count}"), "this is the answer to another request");
                }
            }
            confirmed
        }))
        .await;
        assert_eq!((session.statistics().in_use(), session.statistics().waiting()), (0, 0));
        session.close().await;
        assert_eq!(session.statistics().size(), 0);
        confirmed.concat()
    });
    let confirmed = timeout(600 * SECOND, client).await.expect("every request ends by itself");
    let done: Vec<_> = log.orders().iter().map(|order| order.count).collect();
    let once: HashSet<_> = done.iter().copied().collect();
    assert_eq!(done.len(), once.len(), "an order was done twice");
    assert!(confirmed.iter().all(|order| once.contains(order)), "an order was confirmed, and not done");
}

#[test]
fn no_order_is_lost_or_doubled_over_a_bad_network() {
    let faults = Faults::none().reset_connections(0.03).lose_packets(0.03).refuse_connections(0.1);
    let faults = faults.cut_links(0.01, 20 * SECOND);
    Explore::new().seeds(0..100).faults(faults).check(orders_over_a_bad_network);
}
