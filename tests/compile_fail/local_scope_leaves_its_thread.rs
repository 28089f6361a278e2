//! A local scope stays on the thread that polls it.

fn main() {
    let future = foster::local::scope(|s| async move {
        s.spawn(async {}).await;
    });
    std::thread::spawn(move || futures::executor::block_on(future));
}
