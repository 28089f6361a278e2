//! Runs the library in `shared` without a runtime, under an executor that has no timers.
//!
//! `cargo run --example neutral`

use std::io;
use std::time::Duration;

use foster::sleep;

mod shared;

use shared::fetch_many;

fn main() -> io::Result<()> {
    futures::executor::block_on(async {
        let all = fetch_many(&["/a", "/b", "/c", "/d"], 2, Duration::from_secs(5), fetch).await?;
        println!("in time: {all:?}");

        let some = fetch_many(&["/e", "/slow", "/f"], 2, Duration::from_millis(500), fetch).await?;
        println!("too late: {some:?}");
        Ok(())
    })
}

/// Makes up a page. There is no runtime whose timers could be used, so `sleep` uses those of
/// `futures-timer`.
async fn fetch(path: String) -> io::Result<String> {
    println!("fetching {path}");
    sleep(if path == "/slow" { Duration::from_secs(10) } else { Duration::from_millis(20) }).await;
    Ok(format!("the page at {path}"))
}
