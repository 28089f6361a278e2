//! Between two `?` that both convert, nothing says what the scope's error is.

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn port(text: &str) -> Result<u16, AnyError> {
    let port = foster::try_scope(async |s| {
        let port: u16 = text.parse()?;
        Ok(port)
    })
    .await?;
    Ok(port)
}

fn main() {
    _ = futures::executor::block_on(port("80"));
}
