//! What is left of a scope that was dropped, or whose grace is over: the wait for its parallel children.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::context;
use crate::control::{Adopted, Control, News};
use crate::panic::FirstPanic;

/// Ends when the parallel children of the scope that `left` belonged to have ended. They have been cancelled.
pub(super) struct Orphans {
    left: Arc<Control>,
    /// `None` where a runtime polls this that was found where no scope was left.
    around: Option<Arc<Control>>,
    panics: FirstPanic,
}

impl Orphans {
    pub(super) fn new(left: Arc<Control>, around: Option<Arc<Control>>) -> Self {
        Orphans { left, around, panics: FirstPanic::default() }
    }
}

impl Future for Orphans {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            // Before the look at the count: a ring for its end must not be taken for one that came earlier.
            this.left.bell.rouse();
            let over = this.left.close_parallel();
            let news = if over { this.left.news().close() } else { this.left.news().take(Vec::new()).1 };
            for item in news {
                forward(item, this.around.as_ref(), &mut this.panics);
            }
            if over {
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
        // Nobody listens any more: what comes from here on is refused.
        for item in self.left.news().close() {
            forward(item, self.around.as_ref(), &mut self.panics);
        }
        self.left.bell.unhang();
        pass_on(std::mem::take(&mut self.panics), self.around.as_ref());
    }
}

/// Passes the first panic to the scope `around`, or to one that encloses it; where there is none, goes on with it.
pub(super) fn pass_on(panics: FirstPanic, around: Option<&Arc<Control>>) {
    let Some(payload) = panics.into_payload() else { return };
    let refused = match around {
        Some(around) => around.pass_up(News::Panicked(payload)).err(),
        None => Some(News::Panicked(payload)),
    };
    if let Some(News::Panicked(payload)) = refused {
        FirstPanic::of(payload).resume();
    }
}

/// Deals with news for a scope that is no more.
pub(super) fn forward(item: News, around: Option<&Arc<Control>>, panics: &mut FirstPanic) {
    match item {
        News::Adopt(future) => adopt(around, future, panics),
        News::Failed(mut runner, payload) => {
            if let Some(payload) = payload {
                panics.add(payload);
            }
            let name = runner.name();
            let reason = Arc::new(crate::token::Reason::Failed(name));
            panics.run_result(context::outside(|| runner.refuse(Some(reason))));
        }
        News::Panicked(payload) => panics.add(payload),
        News::Spawn(future, _) => panics.run(|| drop(future)),
        News::CancelChild(_) | News::Stop(..) => {}
    }
}

/// Gives `future` to `around`, or to the runtime that is found here, or drops it where nobody is left to run it.
pub(super) fn adopt(around: Option<&Arc<Control>>, future: Adopted, panics: &mut FirstPanic) {
    let refused = match around {
        Some(around) => around.adopt(future),
        None => Err(future),
    };
    if let Err(refused) = refused.or_else(context::finish) {
        panics.run(|| context::outside(|| drop(refused)));
    }
}
