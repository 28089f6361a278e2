//! A child may outlive the body, so it cannot borrow what is the body's own.

fn main() {
    futures::executor::block_on(foster::scope(|s| async move {
        let local = String::from("of the body");
        let borrowed = &local;
        s.spawn(async move { borrowed.len() }).await
    }));
}
