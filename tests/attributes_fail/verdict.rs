use foster::testing::harness::{Test, sim};

async fn returns_a_number() -> u32 {
    7
}

fn main() {
    Test::new(1_000, false).run(sim, returns_a_number);
}
