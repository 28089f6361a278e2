//! Connections that the server ends, or does not take.

use std::env;

use foster::resource::Pool;
use foster::{scope, try_scope};
use pool_postgres::{Error, Postgres, Transfer, transaction};
use tokio_postgres::error::SqlState;

use crate::database::{Database, config, with_bank};

const TRANSFER: Transfer = Transfer { number: 1, source: 0, target: 1, amount: 30 };

/// Makes the server end the connections of the bank, and waits until it has done so.
async fn kill_all(database: &Database) {
    let kill = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = $1";
    assert!(database.execute(kill, &[&database.name]).await > 0, "there is nothing to kill");
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn a_transaction_whose_connection_is_killed_fails_and_the_next_one_has_another() {
    with_bank(vec![100, 100], async |database, bank| {
        let killed = transaction::<(), Error, _>(bank.pool(), async |tx| {
            tx.execute("UPDATE account SET balance = 0", &[]).await?;
            kill_all(database).await;
            tx.execute("UPDATE account SET balance = 0", &[]).await?;
            Ok(())
        });
        let error = killed.await.unwrap_err();
        assert!(error.is_connection_lost(), "{error:?}");
        assert!(error.to_string().starts_with("the connection was lost: "), "{error}");
        bank.transfer(TRANSFER).await.unwrap();
        let audit = bank.audit().await.unwrap();
        assert_eq!((audit.total, audit.transfers, audit.wrong), (200, 1, 0));
    })
    .await;
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn connections_that_are_killed_while_they_sleep_or_are_idle_are_replaced() {
    with_bank(vec![100, 100], async |database, bank| {
        scope(async |s| {
            let sleep = async |tx: &pool_postgres::Transaction| {
                tx.execute("SELECT pg_sleep(3600)", &[]).await?;
                Ok::<(), Error>(())
            };
            let sleeper = s.spawn(transaction(bank.pool(), sleep));
            database.sleeping().await;
            bank.transfer(TRANSFER).await.unwrap();
            assert_eq!(database.connections().await, 2);
            kill_all(database).await;
            // The server says why, if that arrives before the end of the connection.
            let error = sleeper.await.unwrap_err();
            assert!(error.is_connection_lost());
            assert!(error.code().is_none_or(|code| *code == SqlState::ADMIN_SHUTDOWN), "{error}");
            bank.pay(Transfer { number: 2, ..TRANSFER }).await.unwrap();
        })
        .await;
        assert_eq!(bank.audit().await.unwrap().transfers, 2);
    })
    .await;
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn a_commit_on_a_lost_connection_is_unknown() {
    with_bank(vec![100], async |database, bank| {
        let killed = transaction::<(), Error, _>(bank.pool(), async |tx| {
            tx.execute("UPDATE account SET balance = 0", &[]).await?;
            kill_all(database).await;
            Ok(())
        });
        let error = killed.await.unwrap_err();
        assert!(matches!(error, Error::Unknown(_)) && error.is_connection_lost(), "{error:?}");
        assert!(error.to_string().starts_with("it is unknown whether this was committed"), "{error}");
    })
    .await;
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn a_server_that_refuses_or_is_not_there_is_a_clear_error() {
    let Some(config) = config() else { return };
    scope(async |s| {
        let mut wrong = config.clone();
        wrong.dbname("nowhere");
        let pool = Pool::new(Postgres::new(wrong, s.spawner()), s.spawner());
        let error = transaction::<(), Error, _>(&pool, async |_| Ok(())).await.unwrap_err();
        let message = "no resource could be created: the server refuses the connection: \
            database \"nowhere\" does not exist (3D000)";
        assert_eq!((error.to_string().as_str(), error.is_connection_lost()), (message, false));
    })
    .await;
    scope(async |s| {
        // Nobody listens at a port of a listener that is gone.
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!("postgres://postgres@{gone}/postgres").parse().unwrap();
        let pool = Pool::new(Postgres::new(config, s.spawner()), s.spawner());
        let error = transaction::<(), Error, _>(&pool, async |_| Ok(())).await.unwrap_err();
        assert!(error.to_string().contains("the server cannot be reached: "), "{error}");
        assert!(error.is_connection_lost());
    })
    .await;
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic))]
async fn a_server_is_reached_by_its_unix_socket() {
    let (Some(config), Ok(sockets)) = (config(), env::var("POSTGRES_SOCKETS")) else {
        eprintln!("skipped: POSTGRES_SOCKETS is not set");
        return;
    };
    let mut by_unix = tokio_postgres::Config::new();
    by_unix.host_path(sockets).port(config.get_ports()[0]).user("postgres").dbname("postgres");
    let is_unix = try_scope(async |s| {
        let pool = Pool::new(Postgres::new(by_unix, s.spawner()), s.spawner());
        transaction::<bool, Error, _>(&pool, async |tx| {
            Ok(tx.query_one("SELECT inet_client_addr() IS NULL", &[]).await?.get(0))
        })
        .await
    });
    assert!(is_unix.await.unwrap());
}
