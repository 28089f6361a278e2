//! What clients did, and when.

use std::fmt;
use std::sync::Mutex;

/// A request of a client.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) client: u64,
    pub(crate) key: &'static str,
    pub(crate) action: Action,
    /// When it was called.
    pub(crate) called: u64,
    /// When its answer came, and the answer. Without an answer, it may have happened or not, or
    /// happen later.
    pub(crate) returned: Option<(u64, Option<String>)>,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Returns the value.
    Get,
    /// Sets the value, and returns the one before.
    Put(String),
}

/// The operations of all clients. The instants are numbers that count what was recorded, so that
/// their order is that of real time.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<(u64, Vec<Operation>)>);

impl History {
    /// Records a call, and returns its number.
    pub(crate) fn call(&self, client: u64, key: &'static str, action: Action) -> usize {
        let (time, operations) = &mut *self.0.lock().unwrap();
        *time += 1;
        operations.push(Operation { client, key, action, called: *time, returned: None });
        operations.len() - 1
    }

    /// Records the answer to a call.
    pub(crate) fn answer(&self, number: usize, value: Option<String>) {
        let (time, operations) = &mut *self.0.lock().unwrap();
        *time += 1;
        operations[number].returned = Some((*time, value));
    }

    pub(crate) fn operations(&self) -> Vec<Operation> {
        self.0.lock().unwrap().1.clone()
    }

    /// Returns how many operations were answered.
    pub(crate) fn answered(&self) -> usize {
        self.operations().iter().filter(|operation| operation.returned.is_some()).count()
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operation { client, key, called, .. } = self;
        write!(f, "client {client}, from {called}")?;
        match &self.returned {
            Some((at, _)) => write!(f, " to {at}: ")?,
            None => write!(f, " on: ")?,
        }
        match &self.action {
            Action::Get => write!(f, "get {key}")?,
            Action::Put(value) => write!(f, "put {key} {value}")?,
        }
        match &self.returned {
            Some((_, Some(value))) => write!(f, " → {value}"),
            Some((_, None)) => write!(f, " → nothing"),
            None => write!(f, ", no answer"),
        }
    }
}
