//! What a child borrows must outlive the scope.

fn main() {
    let future = {
        let name = String::from("short-lived");
        let borrowed = &name;
        foster::scope(|s| async move {
            s.spawn(async move { borrowed.len() }).await;
        })
    };
    futures::executor::block_on(future);
}
