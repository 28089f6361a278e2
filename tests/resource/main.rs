//! Resources, and their release.
//!
//! A test is written once, inside `matrix!`, for every runtime. `tests/support/harness.rs` says
//! more.

#[macro_use]
#[path = "../support/harness.rs"]
mod harness;
#[path = "../support/probes.rs"]
mod probes;

mod bracket;
mod foreign;
mod managed;

use foster::{sleep, yield_now};

use crate::harness::T;
use crate::probes::Log;

/// A connection that notes what becomes of it. To open and to close it takes time.
struct Connection {
    name: &'static str,
    log: Log,
}

impl Connection {
    async fn open(name: &'static str, log: &Log) -> Result<Connection, &'static str> {
        yield_now().await;
        log.note(format!("{name} open"));
        Ok(Connection { name, log: log.clone() })
    }

    fn query(&mut self) {
        self.log.note(format!("{} used", self.name));
    }

    async fn close(self) -> Result<(), &'static str> {
        sleep(T).await;
        self.log.note(format!("{} closed", self.name));
        Ok(())
    }

    /// Closes it, and fails.
    async fn abort(self) -> Result<(), &'static str> {
        self.close().await?;
        Err("close failed")
    }
}
