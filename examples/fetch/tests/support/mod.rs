//! A session beside a server.

use fetch::server::{Log, Server};
use fetch::{Options, Session};
use foster::{Token, scope};

/// Runs `client` with the session, the address of the server, and what the server has seen. Then
/// all connections must be at home, and the server must have lost none in the middle of something.
pub(crate) async fn beside_server<T>(options: Options, client: impl AsyncFnOnce(&Session, &str, &Log) -> T) -> T {
    let (server, log, stop) = (Server::bind("127.0.0.1:0").await.unwrap(), Log::default(), Token::new());
    let url = server.url().unwrap();
    scope(async |s| {
        let serving = s.spawn(server.run(&log, &stop));
        let session = Session::new(options, s.spawner());
        let value = client(&session, &url, &log).await;
        let statistics = session.statistics();
        assert_eq!((statistics.in_use(), statistics.waiting()), (0, 0), "a connection is still in use");
        session.close().await;
        assert_eq!(session.statistics().size(), 0, "a connection is still open");
        stop.cancel("the client has ended");
        let served = serving.await;
        assert_eq!((served.cancelled(), served.errors()), (0, 0), "a connection has not ended by itself");
        value
    })
    .await
}

/// Returns the addresses of as many pages, each with these faults.
pub(crate) fn pages(url: &str, count: usize, faults: &str) -> Vec<String> {
    (0..count).map(|number| format!("{url}/pages/{number}?{faults}")).collect()
}
