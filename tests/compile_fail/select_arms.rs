// What is wrong in an arm of `select!` is reported there.
use std::future::ready;

async fn arms_of_different_types() -> usize {
    foster::select! {
        n = ready(1) => n,
        text = ready("one") => text,
    }
}

async fn both_borrow_mutably() {
    let mut n = 0;
    foster::select! {
        () = async { n += 1 } => {}
        () = async { n += 2 } => {}
    }
}

fn main() {
    drop((arms_of_different_types(), both_borrow_mutably()));
}
