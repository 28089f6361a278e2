//! What belongs to a loop in the body ends before the child does.

fn main() {
    futures::executor::block_on(async {
        let name = String::from("Ada");
        foster::scope(async |s| {
            for n in 0..3 {
                s.spawn(async { name.len() + n });
            }
        })
        .await;
    });
}
