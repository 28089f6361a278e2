//! A server that is stopped and started. Only where it may be: `.ci/postgres` sets `POSTGRES_CTL`.

#[path = "server/database.rs"]
mod database;

use std::env;
use std::process::Command;
use std::time::Duration;

use foster::{Handle, blocking, scope, timeout};
use pool_postgres::{Error, Transfer, transaction};

use crate::database::{at_rest, with_bank};

const SECOND: Duration = Duration::from_secs(1);

/// The runtimes take turns, because they have the server to themselves.
#[test]
fn a_bank_goes_on_when_its_server_has_started_again() {
    let Ok(ctl) = env::var("POSTGRES_CTL") else {
        eprintln!("skipped: POSTGRES_CTL is not set");
        return;
    };
    let runtimes: &[fn() -> Handle] = &[
        #[cfg(feature = "tokio")]
        || foster::runtimes::Tokio::multi_thread(2).unwrap().into(),
        #[cfg(feature = "smol")]
        || foster::runtimes::Smol::global().into(),
        #[cfg(feature = "async-std")]
        || foster::runtimes::AsyncStd::global().into(),
        #[cfg(feature = "basic")]
        || foster::runtimes::Basic::thread_pool(2).unwrap().into(),
    ];
    for runtime in runtimes {
        runtime().run(outlive_a_restart(ctl.clone()));
    }
}

async fn outlive_a_restart(ctl: String) {
    let control = async |arguments: &'static [&'static str]| {
        let mut command = Command::new(&ctl);
        let status = blocking(move || command.args(arguments).status()).await.unwrap();
        assert!(status.success());
    };
    with_bank(vec![100; 10], async |database, bank| {
        let transfer = |number| Transfer { number, source: number as i32, target: 0, amount: 10 };
        scope(async |s| {
            for number in 1..5 {
                let paid = s.spawn(bank.pay(transfer(number)));
                paid.await.unwrap();
            }
            let sleeper = s.spawn(transaction(bank.pool(), async |tx| {
                tx.execute("UPDATE account SET balance = 0", &[]).await?;
                Ok::<_, Error>(tx.execute("SELECT pg_sleep(3600)", &[]).await?)
            }));
            database.sleeping().await;
            control(&["stop", "--mode=fast"]).await;
            assert!(sleeper.await.unwrap_err().is_connection_lost());

            let late = timeout(10 * SECOND, bank.pay(transfer(9))).await.expect("it waits for nothing after that");
            let error = late.unwrap_err();
            assert!(error.is_connection_lost());
            assert!(error.to_string().contains("the server cannot be reached"), "{error}");

            let waiting: Vec<_> = (5..9).map(|number| s.spawn(bank.pay(transfer(number)))).collect();
            control(&["start"]).await;
            for paid in waiting {
                paid.await.unwrap();
            }
        })
        .await;
        at_rest(bank.pool()).await;
        let audit = bank.audit().await.unwrap();
        assert_eq!((audit.total, audit.transfers, audit.wrong), (1_000, 8, 0));
    })
    .await;
}
