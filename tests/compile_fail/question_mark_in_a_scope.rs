//! A scope whose body and children may fail is a `try_scope`.

fn main() {
    futures::executor::block_on(async {
        foster::scope(async |s| {
            let port: u16 = "80".parse()?;
            s.spawn(async move { port }).await
        })
        .await;
    });
}
