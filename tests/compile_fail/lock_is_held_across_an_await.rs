//! A guard of `std` is not `Send`, so a child cannot keep it over an `await`.

fn main() {
    futures::executor::block_on(async {
        let count = std::sync::Mutex::new(7);
        foster::scope(async |s| {
            s.spawn(async {
                let mut count = count.lock().unwrap();
                foster::yield_now().await;
                *count += 1;
            });
        })
        .await;
    });
}
