// A `select!` has one arm at least, and twelve at most.
use std::future::ready;

async fn no_arms() {
    foster::select! {}
}

async fn too_many_arms() {
    foster::select! {
        _ = ready(1) => {} _ = ready(2) => {} _ = ready(3) => {} _ = ready(4) => {} _ = ready(5) => {}
        _ = ready(6) => {} _ = ready(7) => {} _ = ready(8) => {} _ = ready(9) => {} _ = ready(10) => {}
        _ = ready(11) => {} _ = ready(12) => {} _ = ready(13) => {}
    }
}

fn main() {
    drop((no_arms(), too_many_arms()));
}
