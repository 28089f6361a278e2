//! Money is neither lost nor made, whatever is cancelled.

use std::time::Duration;

use foster::resource::PoolOptions;
use foster::runtimes::Sim;
use foster::testing::Explore;
use foster::{scope, sleep};
use pool_sqlite::{Bank, Sqlite, Storm};

use crate::database::Database;

/// Lets a storm rage, audits the bank meanwhile and afterwards, and looks at the pool.
async fn survive(seed: u64) {
    let database = Database::new();
    scope(async |s| {
        let pool = PoolOptions::new().max_size(4).build(Sqlite::new(database.path()), s.spawner());
        let bank = Bank::open(pool.clone(), vec![1_000; 10]).await.unwrap();
        let tally = scope(async |s| {
            let auditor = s.spawn(async {
                loop {
                    let audit = bank.audit().await.unwrap();
                    assert_eq!((audit.total, audit.wrong), (10_000, 0));
                    sleep(Duration::from_millis(5)).await;
                }
            });
            let storm = Storm { tasks: 20, transfers: 30, accounts: 10, seed };
            let tally = bank.storm(storm).await.unwrap();
            auditor.cancel();
            tally
        })
        .await;
        let audit = bank.audit().await.unwrap();
        assert_eq!((audit.total, audit.wrong), (10_000, 0));
        // Some were cancelled while they were committed.
        let most = tally.made + tally.cancelled + tally.dropped;
        assert!((tally.made..=most).contains(&audit.transfers), "{tally:?}, {audit:?}");
        assert!(tally.made > 100 && tally.cancelled > 10 && tally.dropped > 10, "{tally:?}");
        let statistics = pool.statistics();
        assert_eq!((statistics.in_use(), statistics.waiting()), (0, 0));
        assert!(statistics.peak() <= 4);
        pool.close().await;
        assert_eq!(pool.statistics().size(), 0);
    })
    .await;
    database.books();
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic), timeout = "60s")]
async fn a_storm_of_cancellations_loses_no_money() {
    survive(1).await;
}

#[test]
fn a_storm_loses_no_money_in_any_schedule() {
    // Each step takes time, so that deadlines pass in the middle of transactions.
    let explore = Explore::new().seeds(0..3).step_time(Duration::from_micros(500));
    explore.check(|| survive(Sim::current().seed()));
}
