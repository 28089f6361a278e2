//! Connections to PostgreSQL, which a child of the pool's scope drives.

use std::fmt;
use std::future::Future;
use std::io;

use foster::net::tokio_io::ForTokio;
use foster::net::{TcpStream, UnixStream};
use foster::resource::Manager;
use foster::scope::Spawner;
use foster::shield;
use futures_util::future::RemoteHandle;
use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use futures_util::task::SpawnExt;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

use crate::error::{ConnectError, Error};

/// The port of PostgreSQL where none is given.
const PORT: u16 = 5432;

/// Creates the connections of a pool.
///
/// Each is driven by a child of the pool's scope, until the pool closes the connection. So the
/// scope completes when the last handle to the pool is gone.
#[derive(Clone, Debug)]
pub struct Postgres {
    config: Config,
    spawner: Spawner,
}

impl Postgres {
    /// Names the server, the database and the user. `spawner` is that of the pool.
    ///
    /// Of several servers in `config`, the first one is used.
    pub fn new(config: Config, spawner: Spawner) -> Self {
        Postgres { config, spawner }
    }
}

impl Manager for Postgres {
    type Resource = Connection;
    type Error = ConnectError;

    async fn create(&self) -> Result<Connection, ConnectError> {
        let stream = open(&self.config).await.map_err(ConnectError::Unreachable)?;
        let (client, connection) = self.config.connect_raw(stream, NoTls).await.map_err(ConnectError::Refused)?;
        // Whoever uses the client is told of the errors, too.
        let driver = shield(async { _ = connection.await });
        // The shield lets those finish who roll back or commit while the scope is cancelled.
        let driver = self.spawner.spawn_with_handle(driver).map_err(|_| ConnectError::ScopeEnded)?;
        Ok(Connection { client, config: self.config.clone(), is_in_transaction: false, driver })
    }

    async fn check(&self, connection: &mut Connection) -> Result<(), ConnectError> {
        connection.client.check_connection().await.map_err(ConnectError::Refused)
    }

    /// Returns whether the connection was lost, as far as its driver has noticed.
    fn is_broken(&self, connection: &Connection) -> bool {
        connection.client.is_closed()
    }

    /// Rolls back what a transaction has left behind that was dropped while it began.
    fn reset(&self, connection: &mut Connection) -> Option<impl Future<Output = Result<(), ConnectError>> + Send> {
        connection.is_in_transaction.then_some(async { connection.rollback().await.map_err(ConnectError::Refused) })
    }

    /// Says goodbye to the server, and waits until the connection is closed.
    async fn close(&self, connection: Connection) {
        let Connection { client, driver, .. } = connection;
        drop(client);
        driver.await;
    }
}

/// Opens a socket to the server.
async fn open(config: &Config) -> io::Result<ForTokio<Box<dyn Stream>>> {
    let port = config.get_ports().first().copied().unwrap_or(PORT);
    let stream: Box<dyn Stream> = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => Box::new(TcpStream::connect((host.as_str(), port)).await?),
        #[cfg(unix)]
        Some(Host::Unix(directory)) => Box::new(UnixStream::connect(directory.join(format!(".s.PGSQL.{port}"))).await?),
        None => Box::new(TcpStream::connect(("localhost", port)).await?),
    };
    Ok(ForTokio::new(stream))
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection to PostgreSQL.
pub struct Connection {
    client: Client,
    /// For the connection that asks the server to interrupt a statement.
    config: Config,
    /// From before a transaction begins until after it has ended.
    is_in_transaction: bool,
    /// What drives the connection. It is stopped when this is dropped.
    driver: RemoteHandle<()>,
}

impl Connection {
    /// Returns the client, for what happens outside of transactions.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) async fn begin(&mut self) -> Result<(), tokio_postgres::Error> {
        self.is_in_transaction = true;
        self.client.batch_execute("BEGIN").await
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        // After a statement that has failed, `COMMIT` would roll back and succeed. `SELECT` fails.
        match self.client.batch_execute("SELECT; COMMIT").await {
            Ok(()) => {
                self.is_in_transaction = false;
                Ok(())
            }
            Err(error) if crate::error::is_lost(&error) => Err(Error::Unknown(error)),
            Err(error) => Err(Error::Postgres(error)),
        }
    }

    pub(crate) async fn rollback(&mut self) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute("ROLLBACK").await?;
        self.is_in_transaction = false;
        Ok(())
    }

    /// Asks the server to give up the statement that runs, if one does.
    ///
    /// When this returns, the server has done so. Otherwise the next statement might be hit
    /// instead.
    pub(crate) async fn interrupt(&self) {
        // If the server cannot be reached, there is nothing to interrupt either.
        let Ok(mut stream) = open(&self.config).await else { return };
        _ = self.client.cancel_token().cancel_query_raw(&mut stream, NoTls).await;
        // The server closes the connection without a word when it has sent the signal.
        _ = stream.into_inner().read(&mut [0]).await;
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_in_transaction", &self.is_in_transaction).finish_non_exhaustive()
    }
}
