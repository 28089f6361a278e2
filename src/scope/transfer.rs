//! Transfers what a scope leaves behind, if it is dropped or its grace has passed, to the
//! enclosing scope.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::cancel::reason::Reason;
use crate::context;
use crate::engine::atomics::Ordering;
use crate::panic::FirstPanic;
use crate::scope::control::{Control, News};

/// Waits for the parallel children of a scope that no longer does: it was dropped, or its grace has
/// passed. They have been cancelled.
pub(crate) struct Orphans {
    /// The control of that scope.
    left: Arc<Control>,
    /// The scope that polls this. `None` if no scope was left, and a runtime that was found polls
    /// it.
    enclosing: Option<Arc<Control>>,
    /// The panics of the children, which resume when all of them have ended.
    panics: FirstPanic,
}

impl Orphans {
    pub(crate) fn new(left: Arc<Control>, enclosing: Option<Arc<Control>>) -> Self {
        Orphans { left, enclosing, panics: FirstPanic::default() }
    }
}

impl Future for Orphans {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            // It rouses itself before it looks at the count, so that a ring for the last end is not
            // mistaken for an earlier one.
            this.left.bell.rouse();
            let none_left = this.left.close_parallel();
            let news = if none_left { this.left.news().close() } else { Some(this.left.news().take()) };
            if let Some(news) = news {
                news.for_each(|item| forward(item, &this.left, this.enclosing.as_ref(), &mut this.panics));
            }
            if none_left {
                std::mem::take(&mut this.panics).resume();
                return Poll::Ready(());
            }
            if this.left.bell.sleep(cx.waker()) {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Orphans {
    fn drop(&mut self) {
        // Nobody listens any more, so what is sent from here on is refused.
        let Orphans { left, enclosing, panics } = &mut *self;
        if let Some(news) = left.news().close() {
            news.for_each(|item| forward(item, left, enclosing.as_ref(), panics));
        }
        self.left.bell.unhang();
        pass_up_panic(std::mem::take(&mut self.panics), self.enclosing.as_ref());
    }
}

/// Passes the first panic to the enclosing scope, or resumes it if there is none.
pub(crate) fn pass_up_panic(panics: FirstPanic, enclosing: Option<&Arc<Control>>) {
    let Some(payload) = panics.into_payload() else { return };
    let refused = match enclosing {
        Some(enclosing) => enclosing.pass_up(News::Panicked(payload)).err(),
        None => Some(News::Panicked(payload)),
    };
    if let Some(News::Panicked(payload)) = refused {
        FirstPanic::of(payload).resume();
    }
}

/// Deals with news for a scope, `left`, that no longer hears them itself.
pub(super) fn forward(item: News, left: &Control, enclosing: Option<&Arc<Control>>, panics: &mut FirstPanic) {
    match item {
        News::Adopt(future) => panics.run(|| context::adopt(enclosing, future)),
        News::Failed(mut runner, payload) => {
            if let Some(payload) = payload {
                panics.add(payload);
            }
            let reason = Arc::new(Reason::Failed(runner.name()));
            panics.run_result(context::outside(|| runner.refuse(Some(reason))));
            // The waker of the task may panic, too.
            panics.run(|| drop(runner));
        }
        News::Panicked(payload) => panics.add(payload),
        News::Spawn(future, _) => {
            left.uncounted.fetch_sub(1, Ordering::Relaxed);
            panics.run(|| context::outside(|| drop(future)));
        }
        News::CancelChild(_) | News::Stop(..) => {}
    }
}
