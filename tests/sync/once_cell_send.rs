//! Futures of a once cell in code that is generic, boxed and spawned: this is to compile.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use foster::scope;
use foster::sync::OnceCell;
use futures::FutureExt as _;

trait Network: Send + Sync + 'static {
    fn look_up(&self, host: &str) -> impl Future<Output = Result<usize, String>> + Send;
}

struct Fake;

impl Network for Fake {
    async fn look_up(&self, host: &str) -> Result<usize, String> {
        foster::yield_now().await;
        Ok(host.len())
    }
}

struct Client<N> {
    network: N,
    host: String,
    address: OnceCell<usize>,
}

impl<N: Network> Client<N> {
    async fn boxed(&self) -> Result<&usize, String> {
        Box::pin(self.address.get_or_try_init(async || self.network.look_up(&self.host).await)).await
    }

    async fn boxed_as_send(&self) -> Result<&usize, String> {
        let future: Pin<Box<dyn Future<Output = Result<&usize, String>> + Send + '_>> =
            Box::pin(self.address.get_or_try_init(|| async { self.network.look_up(&self.host).await }));
        future.await
    }

    async fn boxed_by_futures(&self) -> Result<&usize, String> {
        self.address.get_or_try_init(|| self.network.look_up(&self.host)).boxed().await
    }

    async fn all(&self) -> Result<usize, String> {
        Ok(self.boxed().await? + self.boxed_as_send().await? + self.boxed_by_futures().await?)
    }
}

async fn generic<T, F>(cell: &OnceCell<T>, init: impl FnOnce() -> F + Send) -> Result<&T, String>
where
    T: Send + Sync + 'static,
    F: Future<Output = Result<T, String>> + Send,
{
    Box::pin(cell.get_or_try_init(async || init().await)).await
}

async fn of_any_network<N: Network>(client: Arc<Client<N>>) -> usize {
    let cell = OnceCell::new();
    let first = *generic(&cell, async || client.network.look_up("ab").await).await.unwrap();
    scope(async |s| s.spawn_parallel(async move { client.all().await }).await).await.unwrap() + first
}

matrix! {
    async fn an_initialiser_in_generic_code_is_send() {
        let client = Client { network: Fake, host: "host".into(), address: OnceCell::new() };
        assert_eq!(of_any_network(Arc::new(client)).await, 14);
    }
}

#[cfg(feature = "tokio")]
#[test]
fn an_initialiser_in_generic_code_can_be_spawned() {
    fn spawn<N: Network>(client: Client<N>) -> tokio::task::JoinHandle<usize> {
        tokio::spawn(of_any_network(Arc::new(client)))
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let client = Client { network: Fake, host: "host".into(), address: OnceCell::new() };
        assert_eq!(spawn(client).await.unwrap(), 14);
    });
}
