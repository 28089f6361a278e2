//! One child may borrow mutably what is around the scope. Two may not.

fn main() {
    futures::executor::block_on(async {
        let mut total = 0;
        foster::scope(async |s| {
            s.spawn(async { total += 1 });
            s.spawn(async { total += 2 });
        })
        .await;
    });
}
