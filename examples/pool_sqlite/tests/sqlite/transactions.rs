//! A transaction ends with its body, however the body ends.

use std::cell::Cell;
use std::future::poll_fn;
use std::iter;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use foster::future::catch_panic;
use foster::runtimes::Sim;
use foster::testing::{EveryAwait, cancel_at_every_await};
use foster::{Token, now, scope, sleep, timeout};
use pool_sqlite::{Bank, Error, TransferError, snapshot, transaction};

use crate::database::Database;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A query that never ends.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

/// Says that a statement has found its first row.
fn tell(running: &Token) -> rusqlite::Result<()> {
    running.cancel("it runs");
    Ok(())
}

/// Runs a test in a simulation, with a bank of two accounts of 100 each.
fn with_bank(test: impl AsyncFnOnce(&Database, &Bank)) {
    let database = Database::new();
    Sim::default().run(scope(async |s| {
        let bank = database.bank(s.spawner()).await;
        test(&database, &bank).await;
        let statistics = bank.pool().statistics();
        assert_eq!((statistics.in_use(), statistics.waiting()), (0, 0));
        assert!(statistics.size() <= 2);
    }));
}

/// Takes money out of an account, and ends as it is told.
async fn spend(bank: &Bank, end: impl AsyncFnOnce() -> Result<(), Error>) -> Result<(), Error> {
    transaction(bank.pool(), async |tx| {
        tx.execute("UPDATE account SET balance = balance - 1 WHERE id = 0", ()).await?;
        end().await
    })
    .await
}

async fn wait(duration: Duration) -> Result<(), Error> {
    sleep(duration).await;
    Ok(())
}

#[test]
fn a_body_that_returns_a_value_commits() {
    with_bank(async |database, bank| {
        bank.transfer(0, 1, 30).await.unwrap();
        assert_eq!(database.books(), (vec![70, 130], 1));
    });
}

#[test]
fn a_body_that_fails_rolls_back() {
    with_bank(async |database, bank| {
        assert!(matches!(bank.transfer(0, 7, 30).await, Err(TransferError::NoTarget)));
        assert!(matches!(bank.transfer(0, 1, 130).await, Err(TransferError::Insufficient)));
        assert_eq!(database.books(), (vec![100, 100], 0));
    });
}

#[test]
fn a_statement_that_fails_rolls_back() {
    with_bank(async |database, bank| {
        let failed = spend(bank, async || transaction(bank.pool(), async |_| Ok::<_, Error>(())).await);
        // The inner transaction waits for the outer one.
        assert!(failed.await.unwrap_err().is_busy());
        let failed: Result<usize, Error> = transaction(bank.pool(), async |tx| {
            tx.execute("UPDATE account SET balance = 0", ()).await?;
            tx.execute("INSERT INTO account (id) VALUES (0)", ()).await
        })
        .await;
        assert!(failed.unwrap_err().to_string().contains("UNIQUE"));
        assert_eq!(database.books(), (vec![100, 100], 0));
    });
}

#[test]
fn a_body_that_panics_rolls_back() {
    with_bank(async |database, bank| {
        let panics = spend(bank, async || panic!("no more"));
        assert!(catch_panic(panics).await.unwrap_err().to_string().contains("no more"));
        assert_eq!(database.books(), (vec![100, 100], 0));
    });
}

#[test]
fn a_job_that_panics_rolls_back() {
    with_bank(async |database, bank| {
        let panics = transaction::<(), Error, _>(bank.pool(), async |tx| {
            tx.execute("UPDATE account SET balance = 0", ()).await?;
            tx.query_one("SELECT 1", (), |_| panic!("unreadable")).await
        });
        assert!(catch_panic(panics).await.unwrap_err().to_string().contains("unreadable"));
        assert_eq!(database.books(), (vec![100, 100], 0));
        bank.transfer(0, 1, 1).await.unwrap();
    });
}

#[test]
fn a_timeout_returns_after_the_rollback() {
    with_bank(async |database, bank| {
        let late = timeout(SECOND, spend(bank, async || wait(2 * SECOND).await));
        assert!(late.await.is_err());
        assert_eq!(database.books(), (vec![100, 100], 0));
    });
}

#[test]
fn a_task_that_is_cancelled_rolls_back() {
    with_bank(async |database, bank| {
        scope(async |s| {
            let task = s.spawn(spend(bank, async || wait(SECOND).await));
            sleep(SECOND / 2).await;
            task.cancel();
            assert!(task.outcome().await.is_err());
            assert_eq!(database.books(), (vec![100, 100], 0));
        })
        .await;
    });
}

#[test]
fn a_transfer_that_other_code_drops_is_made_or_not_as_a_whole() {
    let database = Database::new();
    let transfer = || async {
        let path = database.path();
        _ = std::fs::remove_file(&path);
        scope(async |s| {
            let bank = database.bank(s.spawner()).await;
            bank.transfer(0, 1, 30).await.unwrap();
        })
        .await;
    };
    let check = || {
        let stranger = database.stranger();
        let exists = stranger.prepare("SELECT 1 FROM account").is_ok();
        drop(stranger);
        if exists {
            let books = database.books();
            assert!(books == (vec![100, 100], 0) || books == (vec![70, 130], 1), "{books:?}");
        }
    };
    let report = cancel_at_every_await(transfer, check);
    assert!(report.suspensions().len() > 10, "{:?}", report.suspensions());
    EveryAwait::new().seeds(0..5).wind_down().run(transfer, check).unwrap();
}

#[test]
fn a_transfer_that_is_dropped_at_any_poll_gives_its_connection_back() {
    with_bank(async |database, bank| {
        let mut made = 0;
        for polls in 1.. {
            let done = poll_times(polls, bank.transfer(0, 1, 1)).await;
            foster::testing::settle().await;
            let statistics = bank.pool().statistics();
            assert_eq!(statistics.in_use(), 0, "after {polls} polls");
            let (balances, transfers) = database.books();
            made = transfers;
            assert_eq!(balances, [100 - i64::from(made), 100 + i64::from(made)], "after {polls} polls");
            if let Some(done) = done {
                done.unwrap();
                break;
            }
        }
        // The last one, and the one that was dropped while it was committed.
        assert!((1..=2).contains(&made), "{made}");
        assert!(bank.pool().statistics().peak() <= 2);
    });
}

#[test]
fn a_transaction_waits_for_another_program_that_writes() {
    with_bank(async |database, bank| {
        let stranger = database.stranger();
        stranger.execute_batch("BEGIN IMMEDIATE; UPDATE account SET balance = 0 WHERE id = 0").unwrap();
        let start = now();
        scope(async |s| {
            let waiting = s.spawn(bank.transfer(0, 1, 30));
            // Who reads waits for nobody.
            assert_eq!(bank.audit().await.unwrap().total, 200);
            sleep(SECOND).await;
            stranger.execute_batch("ROLLBACK").unwrap();
            waiting.await.unwrap();
        })
        .await;
        assert!(now() - start < SECOND + 50 * MILLISECOND);
        assert_eq!(database.books(), (vec![70, 130], 1));
    });
}

#[test]
fn a_database_that_is_busy_for_too_long_is_an_error() {
    with_bank(async |database, bank| {
        let stranger = database.stranger();
        stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
        let start = now();
        let busy = spend(bank, async || Ok(())).await.unwrap_err();
        assert!(busy.is_busy());
        assert!(busy.to_string().contains("another process"), "{busy}");
        assert!(now() - start <= 5 * SECOND);

        let start = now();
        let busy = timeout(SECOND, spend(bank, async || Ok(()))).await;
        assert!(busy.is_ok_and(|spent| spent.unwrap_err().is_busy()), "the wait would have ended after the deadline");
        assert!(now() - start < SECOND);

        stranger.execute_batch("ROLLBACK").unwrap();
        spend(bank, async || Ok(())).await.unwrap();
    });
}

#[test]
fn many_rows_are_one_statement_and_all_or_none() {
    with_bank(async |database, bank| {
        let insert = "INSERT INTO account (id, balance) VALUES (?, ?)";
        let rows = (2..1_000_i64).map(|id| (id, 0));
        let changed = transaction::<_, Error, _>(bank.pool(), async |tx| tx.execute_many(insert, rows).await);
        assert_eq!(changed.await.unwrap(), 998);
        assert_eq!(database.books().0.len(), 1_000);
        let rows = (1_000..2_000_i64).chain([3]).map(|id| (id, 0));
        let failed = transaction::<_, Error, _>(bank.pool(), async |tx| tx.execute_many(insert, rows).await);
        assert!(failed.await.unwrap_err().to_string().contains("UNIQUE"));
        assert_eq!(database.books().0.len(), 1_000);
        let none = transaction::<_, Error, _>(bank.pool(), async |tx| tx.execute_many(insert, [(0, 0); 0]).await);
        assert_eq!(none.await.unwrap(), 0);
    });
}

#[test]
fn a_snapshot_sees_no_change_and_makes_none() {
    with_bank(async |_, bank| {
        let read = "SELECT balance FROM account WHERE id = ?";
        let seen = snapshot::<_, TransferError, _>(bank.pool(), async |tx| {
            let before: i64 = tx.query_one(read, (0,), |row| row.get(0)).await?;
            bank.transfer(0, 1, 30).await?;
            let after: i64 = tx.query_one(read, (0,), |row| row.get(0)).await?;
            Ok((before, after))
        });
        assert_eq!(seen.await.unwrap(), (100, 100));
        let written = snapshot::<_, Error, _>(bank.pool(), async |tx| tx.execute("DELETE FROM account", ()).await);
        assert!(written.await.unwrap_err().to_string().contains("readonly"));
        assert_eq!(bank.audit().await.unwrap().transfers, 1);
    });
}

#[test]
fn statements_of_one_transaction_take_turns() {
    with_bank(async |_, bank| {
        let both = transaction::<_, Error, _>(bank.pool(), async |tx| {
            let count = || tx.query_one("SELECT count(*) FROM account", (), |row| row.get::<_, i64>(0));
            foster::try_gather((count(), count())).await
        });
        assert_eq!(both.await.unwrap(), (2, 2));
    });
}

#[test]
fn a_database_that_cannot_be_opened_is_an_error() {
    Sim::default().run(scope(async |s| {
        let pool = foster::resource::Pool::new(pool_sqlite::Sqlite::new("/nowhere/test.db"), s.spawner());
        let failed = transaction::<_, Error, _>(&pool, async |_| Ok(())).await.unwrap_err();
        assert!(failed.to_string().contains("unable to open database file"), "{failed}");
        let _closing = pool.close();
        let closed = transaction::<_, Error, _>(&pool, async |_| Ok(())).await.unwrap_err();
        assert!(matches!(closed, Error::Pool(error) if error.is_closed()));
    }));
}

/// Each statement would go on for ever.
#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn a_cancellation_interrupts_the_statement_that_runs() {
    let database = Database::new();
    scope(async |s| {
        let bank = database.bank(s.spawner()).await;
        for is_query in [true, false] {
            let began = Token::new();
            let begins = began.clone();
            let endless = transaction::<(), Error, _>(bank.pool(), async move |tx| {
                tx.execute("UPDATE account SET balance = 0", ()).await?;
                if is_query {
                    tx.query(ENDLESS, (), move |_| tell(&begins)).await?;
                } else {
                    let rows = iter::repeat_with(move || begins.cancel("it runs")).map(|()| (0, 1, 1));
                    tx.execute_many("INSERT INTO transfer (source, target, amount) VALUES (?, ?, ?)", rows).await?;
                }
                Ok(())
            });
            scope(async |s| {
                let task = s.spawn(endless);
                began.cancelled().await;
                task.cancel();
                assert!(task.outcome().await.is_err());
                assert_eq!(database.books(), (vec![100, 100], 0));
            })
            .await;
        }
    })
    .await;
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn a_drop_interrupts_the_statement_that_runs() {
    let database = Database::new();
    scope(async |s| {
        let bank = database.bank(s.spawner()).await;
        let began = Token::new();
        scope(async |_| {
            let begins = began.clone();
            let mut endless = Box::pin(transaction::<(), Error, _>(bank.pool(), async move |tx| {
                tx.execute("UPDATE account SET balance = 0", ()).await?;
                tx.query(ENDLESS, (), move |_| tell(&begins)).await.map(drop)
            }));
            let mut running = pin!(began.cancelled());
            poll_fn(|cx| {
                assert!(endless.as_mut().poll(cx).is_pending());
                running.as_mut().poll(cx)
            })
            .await;
            drop(endless);
        })
        .await;
        assert_eq!(database.books(), (vec![100, 100], 0));
        bank.transfer(0, 1, 1).await.unwrap();
    })
    .await;
}

/// Drops a future after some polls.
async fn poll_times<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let (mut future, left) = (pin!(future), Cell::new(polls));
    poll_fn(|cx| {
        if left.get() == 0 {
            return Poll::Ready(None);
        }
        left.set(left.get() - 1);
        future.as_mut().poll(cx).map(Some)
    })
    .await
}
