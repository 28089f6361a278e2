#[foster::test(seeds = 0)]
async fn no_seeds() {}

#[foster::test(seeds = "many")]
async fn many_seeds() {}

#[foster::test(seeds)]
async fn seeds_without_a_number() {}

#[foster::test(runtimes(tokio, toki))]
async fn unknown_runtime() {}

#[foster::test(runtimes())]
async fn no_runtime() {}

#[foster::test(runtimes = sim)]
async fn runtimes_without_parentheses() {}

#[foster::test(runtimes(sim, sim))]
async fn a_runtime_twice() {}

#[foster::test(runtimes(tokio, async-std))]
async fn a_runtime_by_the_name_of_its_feature() {}

#[foster::test(runtimes(tokio), seeds = 3)]
async fn seeds_without_sim() {}

#[foster::test(flavor = "multi_thread")]
async fn unknown_argument() {}

#[foster::test("5s")]
async fn no_argument_at_all() {}

#[foster::test(seeds = 1, seeds = 2)]
async fn an_argument_twice() {}

#[foster::test(timeout = "5 seconds")]
async fn malformed_timeout() {}

#[foster::test(timeout = 5)]
async fn timeout_without_unit() {}

#[foster::test(timeout = "0s")]
async fn no_time() {}

fn main() {}
