#[foster::main(tokio)]
async fn main() {}
