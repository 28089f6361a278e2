//! A server in memory, whose connections are counted.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::resource::Manager;
use foster::{remaining, shield, sleep};

/// What one of the manager's methods does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Succeed,
    Fail,
    Panic,
    Hang,
    /// It does not end when it is cancelled, either.
    HangShielded,
    /// It hangs, and its destructor panics.
    HangAndPanic,
    SucceedAfter(Duration),
    FailAfter(Duration),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Down;

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the server is down")
    }
}

impl std::error::Error for Down {}

impl Does {
    async fn act(self) -> Result<(), Down> {
        match self {
            Does::Succeed => Ok(()),
            Does::Fail => Err(Down),
            Does::Panic => panic!("a method of the manager"),
            Does::Hang => std::future::pending().await,
            Does::HangShielded => shield(std::future::pending()).await,
            Does::HangAndPanic => {
                let _panics = PanicsWhenDropped;
                std::future::pending().await
            }
            Does::SucceedAfter(time) => {
                sleep(time).await;
                Ok(())
            }
            Does::FailAfter(time) => {
                sleep(time).await;
                Err(Down)
            }
        }
    }
}

/// Which connections say that they are broken.
#[derive(Clone, Copy, Default)]
pub(crate) enum Broken {
    #[default]
    No,
    All,
    Number(usize),
    Panics,
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("a destructor of the manager's");
    }
}

/// The manager, of which the tests keep a clone.
#[derive(Clone)]
pub(crate) struct Server(Arc<Log>);

#[derive(Default)]
struct Log {
    create: Setting,
    check: Setting,
    /// `None` says that there is nothing to reset.
    reset: Mutex<Option<Does>>,
    close: Setting,
    is_broken: Mutex<Broken>,
    /// Attempts, those among them that have little time, connections that were made, those that
    /// exist, and those that were closed properly.
    attempts: AtomicUsize,
    hurried: AtomicUsize,
    created: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    checks: AtomicUsize,
    resets: AtomicUsize,
    closed: AtomicUsize,
}

struct Setting(Mutex<Does>);

impl Default for Setting {
    fn default() -> Self {
        Setting(Mutex::new(Does::Succeed))
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        Server(Arc::default())
    }

    pub(crate) fn create_does(&self, does: Does) -> &Self {
        *self.0.create.0.lock().unwrap() = does;
        self
    }

    pub(crate) fn check_does(&self, does: Does) -> &Self {
        *self.0.check.0.lock().unwrap() = does;
        self
    }

    pub(crate) fn reset_does(&self, does: Does) -> &Self {
        *self.0.reset.lock().unwrap() = Some(does);
        self
    }

    pub(crate) fn close_does(&self, does: Does) -> &Self {
        *self.0.close.0.lock().unwrap() = does;
        self
    }

    pub(crate) fn set_broken(&self, broken: Broken) -> &Self {
        *self.0.is_broken.lock().unwrap() = broken;
        self
    }

    pub(crate) fn attempts(&self) -> usize {
        self.0.attempts.load(SeqCst)
    }

    /// How many attempts had less time than the pool gives them.
    pub(crate) fn hurried(&self) -> usize {
        self.0.hurried.load(SeqCst)
    }

    pub(crate) fn created(&self) -> usize {
        self.0.created.load(SeqCst)
    }

    /// How many connections exist.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(SeqCst)
    }

    pub(crate) fn most_open(&self) -> usize {
        self.0.most_open.load(SeqCst)
    }

    pub(crate) fn checks(&self) -> usize {
        self.0.checks.load(SeqCst)
    }

    pub(crate) fn resets(&self) -> usize {
        self.0.resets.load(SeqCst)
    }

    /// How many connections were closed by the manager, and not only dropped.
    pub(crate) fn closed(&self) -> usize {
        self.0.closed.load(SeqCst)
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: usize,
    /// Questions that were asked, and whose answers were not read.
    pub(crate) unanswered: Vec<u32>,
    server: Behind,
}

#[derive(Clone)]
struct Behind(Arc<Log>);

impl std::fmt::Debug for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a server")
    }
}

impl Connection {
    /// Asks for the double of a number, which the server sends late. What is read is the answer to
    /// the first question that was not answered.
    pub(crate) async fn double(&mut self, number: u32, late: Duration) -> u32 {
        foster::yield_now().await;
        self.unanswered.push(number);
        sleep(late).await;
        2 * self.unanswered.remove(0)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.0.open.fetch_sub(1, SeqCst);
    }
}

impl Manager for Server {
    type Resource = Connection;
    type Error = Down;

    async fn create(&self) -> Result<Connection, Down> {
        self.0.attempts.fetch_add(1, SeqCst);
        self.0.hurried.fetch_add(usize::from(remaining().is_some_and(|left| left < Duration::from_secs(20))), SeqCst);
        let does = *self.0.create.0.lock().unwrap();
        does.act().await?;
        let open = self.0.open.fetch_add(1, SeqCst) + 1;
        self.0.most_open.fetch_max(open, SeqCst);
        let id = self.0.created.fetch_add(1, SeqCst);
        Ok(Connection { id, unanswered: Vec::new(), server: Behind(self.0.clone()) })
    }

    async fn check(&self, _: &mut Connection) -> Result<(), Down> {
        self.0.checks.fetch_add(1, SeqCst);
        let does = *self.0.check.0.lock().unwrap();
        does.act().await
    }

    fn reset(&self, _: &mut Connection) -> Option<impl Future<Output = Result<(), Down>> + Send> {
        let does = (*self.0.reset.lock().unwrap())?;
        Some(async move {
            self.0.resets.fetch_add(1, SeqCst);
            does.act().await
        })
    }

    fn is_broken(&self, connection: &Connection) -> bool {
        let broken = *self.0.is_broken.lock().unwrap();
        match broken {
            Broken::No => false,
            Broken::All => true,
            Broken::Number(id) => connection.id == id,
            Broken::Panics => panic!("the manager looks for what is broken"),
        }
    }

    async fn close(&self, connection: Connection) {
        let does = *self.0.close.0.lock().unwrap();
        _ = does.act().await;
        self.0.closed.fetch_add(1, SeqCst);
        drop(connection);
    }
}
