//! A transaction ends with its body, however the body ends.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use foster::future::catch_panic;
use foster::resource::Pool;
use foster::{Token, gather, race, scope};
use futures_util::{SinkExt, TryStreamExt};
use pool_postgres::{Bank, Error, Postgres, Transfer, TransferError, transaction};
use tokio_postgres::error::SqlState;

use crate::database::{Database, at_rest, with_bank};

/// Takes money out of an account, and ends as it is told.
async fn spend(pool: &Pool<Postgres>, end: impl AsyncFnOnce() -> Result<(), Error>) -> Result<(), Error> {
    transaction(pool, async |tx| {
        tx.execute("UPDATE account SET balance = balance - 1 WHERE id = 0", &[]).await?;
        end().await
    })
    .await
}

/// Takes money out of an account, and then sleeps on the server for longer than any test.
async fn spend_and_sleep(pool: &Pool<Postgres>) -> Result<(), Error> {
    transaction(pool, async |tx| {
        tx.execute("UPDATE account SET balance = balance - 1 WHERE id = 0", &[]).await?;
        tx.execute("SELECT pg_sleep(3600)", &[]).await?;
        Ok(())
    })
    .await
}

/// Returns the balances.
async fn balances(bank: &Bank) -> Vec<i64> {
    let read = "SELECT balance FROM account ORDER BY id";
    let rows = transaction::<_, Error, _>(bank.pool(), async |tx| Ok(tx.query(read, &[]).await?)).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

const TRANSFER: Transfer = Transfer { number: 1, source: 0, target: 1, amount: 30 };

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn a_transaction_commits_a_value_and_rolls_back_an_error_or_a_panic() {
    with_bank(vec![100, 100], async |_, bank| {
        bank.transfer(TRANSFER).await.unwrap();
        assert_eq!(balances(bank).await, [70, 130]);
        // The same order once more.
        bank.transfer(TRANSFER).await.unwrap();

        let nowhere = bank.transfer(Transfer { number: 2, target: 7, ..TRANSFER }).await;
        assert!(matches!(nowhere, Err(TransferError::NoTarget)));
        let too_much = bank.transfer(Transfer { number: 3, amount: 71, ..TRANSFER }).await;
        assert!(matches!(too_much, Err(TransferError::Insufficient)));
        let panicked = catch_panic(spend(bank.pool(), async || panic!("no more"))).await.unwrap_err();
        assert!(panicked.to_string().contains("no more"));
        assert_eq!(balances(bank).await, [70, 130]);
        assert_eq!(bank.pool().statistics().size(), 1, "the connection is still fit for use");
    })
    .await;
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn a_failed_statement_that_is_ignored_makes_the_commit_fail() {
    with_bank(vec![100], async |_, bank| {
        let ignores = transaction::<_, Error, _>(bank.pool(), async |tx| {
            tx.execute("UPDATE account SET balance = 0", &[]).await?;
            let failed = tx.execute("INSERT INTO account VALUES (0, 0, 0)", &[]).await.unwrap_err();
            assert_eq!(failed.code(), Some(&SqlState::UNIQUE_VIOLATION));
            Ok(())
        });
        let failed = ignores.await.unwrap_err();
        assert_eq!(failed.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION), "{failed}");
        assert_eq!(balances(bank).await, [100]);
    })
    .await;
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn a_cancellation_interrupts_the_server_and_returns_after_the_rollback() {
    with_bank(vec![100], async |database, bank| {
        scope(async |s| {
            let sleeper = s.spawn(spend_and_sleep(bank.pool()));
            database.sleeping().await;
            sleeper.cancel();
            assert!(sleeper.outcome().await.is_err());
            // Nobody has the row, and the connection is idle.
            spend(bank.pool(), async || Ok(())).await.unwrap();
            assert_eq!((balances(bank).await, bank.pool().statistics().size()), (vec![99], 1));
        })
        .await;
    })
    .await;
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn a_drop_interrupts_the_server_and_rolls_back() {
    with_bank(vec![100], async |database, bank| {
        let mut sleeper = Box::pin(spend_and_sleep(bank.pool()));
        let mut sleeping = pin!(database.sleeping());
        poll_fn(|cx| {
            assert!(sleeper.as_mut().poll(cx).is_pending());
            sleeping.as_mut().poll(cx)
        })
        .await;
        drop(sleeper);
        at_rest(bank.pool()).await;
        assert_eq!((balances(bank).await, bank.pool().statistics().size()), (vec![100], 1));
    })
    .await;
}

/// Cancels a scope with a pool while the server sleeps. Then nobody has a lock any more.
async fn cancel_scope(database: &Database, bank: &Bank, work: impl AsyncFnOnce(&Pool<Postgres>) + Send) {
    let cut = Token::new();
    let mut working = pin!(cut.run_until_cancelled(scope(async |s| {
        let pool = Pool::new(Postgres::new(database.config.clone(), s.spawner()), s.spawner());
        work(&pool).await;
    })));
    let cutting = async {
        database.sleeping().await;
        cut.cancel("the user has left");
    };
    _ = gather((working.as_mut(), cutting)).await;
    let lock = "SELECT FROM account FOR UPDATE NOWAIT";
    transaction::<_, Error, _>(bank.pool(), async |tx| Ok(tx.execute(lock, &[]).await?)).await.unwrap();
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn a_cancelled_scope_completes_when_its_transactions_are_rolled_back() {
    with_bank(vec![100], async |database, bank| {
        cancel_scope(database, bank, async |pool| _ = spend_and_sleep(pool).await).await;
        assert_eq!(balances(bank).await, [100]);
    })
    .await;
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn a_commit_that_has_begun_is_finished_also_in_a_cancelled_scope() {
    with_bank(vec![100], async |database, bank| {
        let sleep_in_commit = "
            CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql
                AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END';
            CREATE CONSTRAINT TRIGGER sleep AFTER UPDATE ON account DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION sleep()";
        let created = transaction::<_, Error, _>(bank.pool(), async |tx| Ok(tx.batch_execute(sleep_in_commit).await?));
        created.await.unwrap();
        cancel_scope(database, bank, async |pool| _ = spend(pool, async || Ok(())).await).await;
        assert_eq!(balances(bank).await, [99]);
    })
    .await;
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic), timeout = "60s")]
async fn a_transfer_that_is_dropped_at_any_poll_gives_its_connection_back() {
    with_bank(vec![100, 100], async |_, bank| {
        for polls in 1.. {
            let done = poll_times(polls, bank.transfer(Transfer { number: polls, amount: 1, ..TRANSFER })).await;
            at_rest(bank.pool()).await;
            let audit = bank.audit().await.unwrap();
            assert_eq!((audit.total, audit.wrong), (200, 0), "after {polls} polls");
            if let Some(done) = done {
                done.unwrap();
                break;
            }
        }
        assert_eq!(bank.pool().statistics().peak(), 1, "the connection was used again each time");
    })
    .await;
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn rows_come_as_a_stream_that_can_be_left() {
    let read = Token::new();
    with_bank(Vec::new(), async |_, bank| {
        let first = scope(async |s| {
            let reader = s.spawn(transaction::<(), Error, _>(bank.pool(), async |tx| {
                // More than the memory has room for.
                let mut rows = pin!(tx.query_raw("SELECT generate_series(1, 10000000000)", [0_i32; 0]).await?);
                while let Some(row) = rows.try_next().await? {
                    if row.get::<_, i64>(0) == 1_000 {
                        read.cancel("it has read enough");
                    }
                }
                Ok(())
            }));
            read.cancelled().await;
            reader.cancel();
            reader.outcome().await
        });
        assert!(first.await.is_err());
        assert_eq!(bank.audit().await.unwrap().total, 0);
        assert_eq!(bank.pool().statistics().peak(), 1);
    })
    .await;
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn a_batch_is_copied_as_a_whole_or_not_at_all() {
    with_bank(Vec::new(), async |_, bank| {
        let copy = async |count: i32, last: &'static str| {
            transaction::<_, Error, _>(bank.pool(), async |tx| {
                let mut rows = pin!(tx.copy_in("COPY account FROM STDIN").await?);
                for id in 0..count {
                    rows.send(Bytes::from(format!("{id}\t5\t5\n"))).await?;
                }
                rows.send(Bytes::from(last)).await?;
                Ok(rows.finish().await?)
            })
            .await
        };
        let failed = copy(10_000, "malformed\n").await.unwrap_err();
        assert_eq!(failed.code(), Some(&SqlState::INVALID_TEXT_REPRESENTATION), "{failed}");
        assert_eq!(balances(bank).await, [0_i64; 0]);
        // Dropped before the end.
        let cut = race((async { copy(i32::MAX, "").await.map(drop) }, async { bank.audit().await.map(drop) }));
        cut.await.unwrap();
        assert_eq!(balances(bank).await, [0_i64; 0]);
        assert_eq!(copy(10_000, "10000\t5\t5\n").await.unwrap(), 10_001);
        assert_eq!(bank.audit().await.unwrap().total, 50_005);
    })
    .await;
}

/// Drops a future after some polls.
async fn poll_times<F: Future>(polls: i64, future: F) -> Option<F::Output> {
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
