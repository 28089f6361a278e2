//! Money is neither lost nor made, whatever is cancelled and killed.

use std::time::Duration;

use foster::{scope, sleep};
use pool_postgres::Storm;

use crate::database::{at_rest, with_bank};

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic), timeout = "60s")]
async fn a_storm_of_cancellations_and_kills_loses_no_money() {
    with_bank(vec![1_000; 10], async |database, bank| {
        let tally = scope(async |s| {
            let killer = s.spawn(async {
                let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE application_name = $1 ORDER BY random() LIMIT 1";
                loop {
                    sleep(Duration::from_millis(20)).await;
                    database.execute(kill, &[&database.name]).await;
                }
            });
            let storm = Storm { tasks: 20, transfers: 20, accounts: 10, seed: 1 };
            let tally = bank.storm(storm).await.unwrap();
            killer.cancel();
            tally
        })
        .await;
        at_rest(bank.pool()).await;
        let audit = bank.audit().await.unwrap();
        assert_eq!((audit.total, audit.wrong), (10_000, 0));
        // Some were cancelled or lost while they were committed.
        let most = tally.made + tally.cancelled + tally.dropped + tally.lost;
        assert!((tally.made..=most).contains(&(audit.transfers as u64)), "{tally:?}, {audit:?}");
        assert!(tally.made > 50 && tally.cancelled > 5 && tally.dropped > 5, "{tally:?}");
    })
    .await;
}
