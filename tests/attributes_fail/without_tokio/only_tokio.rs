#[foster::test(runtimes(tokio, tokio_multi))]
async fn on_tokio_alone() {}

fn main() {}
