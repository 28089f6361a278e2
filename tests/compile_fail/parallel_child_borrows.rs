//! A child on a runtime may be dropped late by it, so it borrows nothing.

fn run(runtime: &foster::Handle) {
    let name = String::from("borrowed");
    let borrowed = &name;
    futures::executor::block_on(foster::scope(|s| async move {
        s.spawn_on(async move { borrowed.len() }, runtime).await
    }));
}

fn main() {
    _ = run;
}
