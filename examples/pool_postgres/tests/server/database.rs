//! A schema on the server that `DATABASE_URL` names, and what the server says about its
//! connections.

use std::env;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use foster::resource::{Pool, PoolOptions};
use foster::{scope, sleep};
use pool_postgres::{Bank, Error, Postgres, transaction};
use tokio_postgres::Config;
use tokio_postgres::types::ToSql;

/// How many connections a bank has at most.
pub(crate) const CONNECTIONS: usize = 4;

/// A schema, and another connection to the server.
pub(crate) struct Database {
    /// What the schema is called, and the connections that use it.
    pub(crate) name: String,
    /// How to connect to it.
    pub(crate) config: Config,
    server: Pool<Postgres>,
}

/// Runs a test with a bank in a schema of its own, and looks at what is left behind.
pub(crate) async fn with_bank(balances: Vec<i64>, test: impl AsyncFnOnce(&Database, &Bank)) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Some(mut config) = config() else { return };
    scope(async |s| {
        let server = PoolOptions::new().max_size(1).build(Postgres::new(config.clone(), s.spawner()), s.spawner());
        let name = format!("test_{}_{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        config.options(format!("-c search_path={name}")).application_name(&name);
        let database = Database { name, config, server };
        let name = &database.name;
        database.execute(&format!("CREATE SCHEMA {name}"), &[]).await;
        scope(async |s| {
            let options = PoolOptions::new().max_size(CONNECTIONS);
            let bank =
                Bank::open(options.build(Postgres::new(database.config.clone(), s.spawner()), s.spawner()), balances);
            let bank = bank.await.unwrap();
            test(&database, &bank).await;
            let statistics = bank.pool().statistics();
            assert_eq!((statistics.in_use(), statistics.waiting()), (0, 0));
            assert!(statistics.peak() <= CONNECTIONS);
            bank.pool().close().await;
            assert_eq!(bank.pool().statistics().size(), 0);
        })
        .await;
        // The server hears of it a moment later. Whoever is left makes the test hang.
        while database.connections().await > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        database.execute(&format!("DROP SCHEMA {name} CASCADE"), &[]).await;
    })
    .await;
}

/// Returns the address of the server, or says why there is no test.
pub(crate) fn config() -> Option<Config> {
    let Ok(url) = env::var("DATABASE_URL") else {
        eprintln!("skipped: DATABASE_URL is not set");
        return None;
    };
    Some(url.parse().unwrap())
}

impl Database {
    /// Executes a statement on the other connection.
    pub(crate) async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> u64 {
        transaction::<_, Error, _>(&self.server, async |tx| Ok(tx.execute(sql, params).await?)).await.unwrap()
    }

    /// Returns how many connections of the bank are open, by the server's word.
    pub(crate) async fn connections(&self) -> u64 {
        self.execute("SELECT FROM pg_stat_activity WHERE application_name = $1", &[&self.name]).await
    }

    /// Waits until a statement of the bank sleeps.
    pub(crate) async fn sleeping(&self) {
        let sleeping = "SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'";
        while self.execute(sleeping, &[&self.name]).await == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Waits until everything that a drop has left to the scope is done.
pub(crate) async fn at_rest(pool: &Pool<Postgres>) {
    loop {
        let statistics = pool.statistics();
        if statistics.idle() == statistics.size() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
}
