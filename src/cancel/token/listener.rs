//! Who hears of a token: a waker, and a region that is cancelled with it.

use std::sync::{Arc, Weak};
use std::task::Waker;

use super::{Token, TokenNode};

/// What a token keeps of a listener.
pub(super) struct Listening {
    /// `None` if it was woken, and has not listened since.
    pub(super) waker: Option<Waker>,
    /// The token of the region that is cancelled with this token, if there is one.
    pub(super) region: Weak<TokenNode>,
}

/// A place among a token's listeners. It is given up when this is dropped.
pub(crate) struct TokenListener {
    token: Token,
    /// There from the first [`listen`](TokenListener::listen) on.
    key: Option<usize>,
}

impl TokenListener {
    pub(crate) fn new(token: Token) -> Self {
        TokenListener { token, key: None }
    }

    pub(crate) fn token(&self) -> &Token {
        &self.token
    }

    /// Wakes `waker` when the token's level rises, or when it loses its last hold while it is wound
    /// down.
    ///
    /// Call this before you look at the level or the holds: a change between the two would be
    /// missed.
    pub(crate) fn listen(&mut self, waker: &Waker) {
        if let Some(key) = self.key {
            let state = self.token.inner.state.lock();
            if state.listeners[key].waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
                return;
            }
        }
        let waker = waker.clone();
        let mut state = self.token.inner.state.lock();
        let (key, before) = match self.key {
            Some(key) => (key, state.listeners[key].waker.replace(waker)),
            None => (state.listeners.insert(Listening { waker: Some(waker), region: Weak::new() }), None),
        };
        drop(state);
        drop(before);
        self.key = Some(key);
    }

    /// Cancels the region that has the token `region` as soon as the token is cancelled. If that is
    /// so already, the caller must do it.
    pub(crate) fn cancel_region(&self, region: &Token) {
        let Some(key) = self.key else { return };
        let known = &mut self.token.inner.state.lock().listeners[key].region;
        if known.as_ptr() != Arc::as_ptr(&region.inner) {
            *known = Arc::downgrade(&region.inner);
        }
    }

    /// Cancels no region any more, because it has ended. Whoever has cancelled the token before may
    /// still do so.
    pub(crate) fn cancel_no_region(&self) {
        let Some(key) = self.key else { return };
        self.token.inner.state.lock().listeners[key].region = Weak::new();
    }
}

impl Drop for TokenListener {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let listening = self.token.inner.state.lock().listeners.remove(key);
            drop(listening);
        }
    }
}
