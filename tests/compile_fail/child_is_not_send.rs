//! Children of a `Send` scope are `Send`; `foster::local` is for those that are not.

use std::rc::Rc;

fn main() {
    let shared = Rc::new(1);
    futures::executor::block_on(foster::scope(|s| async move {
        s.spawn(async move {
            foster::yield_now().await;
            *shared
        })
        .await
    }));
}
