//! `async move` takes all that it mentions, so the second child finds nothing left.

fn main() {
    futures::executor::block_on(async {
        let name = String::from("Ada");
        foster::scope(async |s| {
            for n in 0..3 {
                s.spawn(async move { name.len() + n });
            }
        })
        .await;
    });
}
