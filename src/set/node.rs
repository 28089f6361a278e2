//! A future, and the place for what becomes of it, in one allocation.
//!
//! A node has two owners. The [`Runner`] polls the future to its end, or ends it before; the [`Reader`] waits for what
//! became of it. The `state` says whose the content is:
//!
//! | state | content | belongs to |
//! |---|---|---|
//! | `RUNNING` | the future | the runner |
//! | `UNSETTLED` | nothing: the future failed or panicked, and the runner has yet to say what that means | the runner |
//! | `SETTLED` | a value, or the reason why there is none | the reader |
//! | `TAKEN` | nothing: the reader has it | nobody |
//! | `ABANDONED` | nothing: there will be no value, and no reason is known | nobody |
//!
//! Invariants, which the `SAFETY` comments name:
//!
//! - **one runner, one reader**: a node has one of each, neither can be cloned, and what touches the content takes
//!   them by `&mut` or by value;
//! - **hand-over**: only the runner leaves `RUNNING` and `UNSETTLED`, by a release store after its last access; only the
//!   reader leaves `SETTLED`, after an acquire load that saw it;
//! - **future first**: a runner drops the future before it gives up its reference to the node, so whoever frees the
//!   node never meets the future, and may be on another thread, or outlive what the future borrows;
//! - **pinned**: a node lives in an `Arc` from which nothing is moved out while it is `RUNNING`.

use std::cell::UnsafeCell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::panic::{Payload, catch};

const RUNNING: u8 = 0;
const UNSETTLED: u8 = 1;
const SETTLED: u8 = 2;
const TAKEN: u8 = 3;
const ABANDONED: u8 = 4;

/// The future ended without a value, by an error that it reported elsewhere.
#[derive(Debug)]
pub(crate) struct Failed;

/// How a future ended.
pub(crate) enum Ended {
    /// With a value, which the reader has been told of.
    Value,
    /// Without. What the reader hears is up to the runner: [`Runner::refuse`].
    Failed,
    /// By a panic. Likewise.
    Panicked(Payload),
}

/// A future `F` with the value `T`, or else a reason `C`; besides, `M` for whoever holds either end, and `X` for whoever
/// knows the node's type.
pub(crate) struct Node<F, T, C, M, X = ()> {
    state: AtomicU8,
    meta: M,
    reader: AtomicWaker,
    extra: X,
    content: UnsafeCell<Content<F, T, C>>,
}

union Content<F, T, C> {
    running: ManuallyDrop<F>,
    settled: ManuallyDrop<Result<T, C>>,
    nothing: (),
}

// SAFETY: by "one runner, one reader" and "hand-over", the content is accessed by one thread at a time, which may be
// another each time; everything else is `Sync`.
#[allow(unsafe_code)]
unsafe impl<F: Send, T: Send, C: Send, M: Sync, X: Sync> Sync for Node<F, T, C, M, X> {}

impl<F, T, C, M, X> Node<F, T, C, M, X> {
    pub(crate) fn new(future: F, meta: M, extra: X) -> Self {
        Node {
            state: AtomicU8::new(RUNNING),
            meta,
            reader: AtomicWaker::new(),
            extra,
            content: UnsafeCell::new(Content { running: ManuallyDrop::new(future) }),
        }
    }

    pub(crate) fn meta(&self) -> &M {
        &self.meta
    }

    pub(crate) fn extra(&self) -> &X {
        &self.extra
    }

    fn publish(&self, state: u8) {
        self.state.store(state, Ordering::Release);
        self.reader.wake();
    }
}

impl<F, T, C, M, X> Drop for Node<F, T, C, M, X> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if *self.state.get_mut() == SETTLED {
            // SAFETY: "hand-over": SETTLED says that there is a result which nobody has taken; `&mut self` says that
            // nobody will. In every other state there is nothing to drop: RUNNING is excluded by "future first".
            unsafe { ManuallyDrop::drop(&mut self.content.get_mut().settled) }
        }
    }
}

/// What a runner does, whatever the future's type.
///
/// # Safety
///
/// The methods that are `unsafe` are for the node's one [`Runner`] alone, and never two at once.
#[allow(unsafe_code)]
pub(crate) unsafe trait Run {
    type Reason;
    type Meta;

    unsafe fn poll(&self, cx: &mut Context<'_>) -> Poll<Ended>;
    unsafe fn drop_future(&self) -> Result<(), Payload>;
    unsafe fn settle(&self, reason: Option<Self::Reason>);
    fn meta(&self) -> &Self::Meta;
    fn is_running(&self) -> bool;
    fn is_unsettled(&self) -> bool;
}

// SAFETY: nothing but the methods themselves touches the content while it is the runner's.
#[allow(unsafe_code)]
unsafe impl<F, T, C, M, X> Run for Node<F, T, C, M, X>
where
    F: Future<Output = Result<T, Failed>>,
{
    type Reason = C;
    type Meta = M;

    unsafe fn poll(&self, cx: &mut Context<'_>) -> Poll<Ended> {
        debug_assert!(self.is_running());
        // SAFETY: RUNNING, which the caller has checked, says that the content is the future, and that it is the
        // runner's; "pinned" says that it stays where it is until it is dropped.
        let future = unsafe { Pin::new_unchecked(&mut *(*self.content.get()).running) };
        let polled = match catch(|| future.poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(payload) => Err(payload),
        };
        // SAFETY: as above; the reference to the future is gone.
        let dropped = unsafe { self.drop_future() };
        Poll::Ready(match (polled, dropped) {
            (Ok(Ok(value)), Ok(())) => {
                // SAFETY: UNSETTLED, set by `drop_future`: there is nothing in the content, and it is the runner's.
                unsafe { (*self.content.get()).settled = ManuallyDrop::new(Ok(value)) };
                self.publish(SETTLED);
                Ended::Value
            }
            (Ok(Err(Failed)), Ok(())) => Ended::Failed,
            (Err(payload), _) => Ended::Panicked(payload),
            (Ok(value), Err(payload)) => {
                drop(catch(|| drop(value)));
                Ended::Panicked(payload)
            }
        })
    }

    unsafe fn drop_future(&self) -> Result<(), Payload> {
        if !self.is_running() {
            return Ok(());
        }
        // Before the drop, so that a panic in it does not drop the future twice.
        self.state.store(UNSETTLED, Ordering::Relaxed);
        // SAFETY: it was RUNNING, so the content is the future, and the runner's; from here on nobody takes it for one.
        catch(|| unsafe { ManuallyDrop::drop(&mut (*self.content.get()).running) })
    }

    unsafe fn settle(&self, reason: Option<C>) {
        debug_assert!(self.is_unsettled());
        let state = if reason.is_some() { SETTLED } else { ABANDONED };
        // SAFETY: UNSETTLED, which the caller has checked: there is nothing in the content, and it is the runner's.
        unsafe {
            *self.content.get() = match reason {
                Some(reason) => Content { settled: ManuallyDrop::new(Err(reason)) },
                None => Content { nothing: () },
            };
        }
        self.publish(state);
    }

    fn meta(&self) -> &M {
        &self.meta
    }

    fn is_running(&self) -> bool {
        // Only the runner leaves RUNNING, so it sees its own store.
        self.state.load(Ordering::Relaxed) == RUNNING
    }

    fn is_unsettled(&self) -> bool {
        // Likewise.
        self.state.load(Ordering::Relaxed) == UNSETTLED
    }
}

/// The end of a node that runs the future.
pub(crate) struct Runner<R: ?Sized + Run> {
    node: Arc<R>,
}

impl<R: ?Sized + Run> Runner<R> {
    /// Polls the future; a panic is an end like another. Not to be called again after that.
    #[allow(unsafe_code)]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if !self.node.is_running() {
            return Poll::Ready(Ended::Failed);
        }
        // SAFETY: "one runner": this is it, by `&mut`; it is RUNNING.
        unsafe { self.node.poll(cx) }
    }

    /// Ends the future, if it is not over, and tells the reader `reason`, if it has not heard.
    ///
    /// # Errors
    ///
    /// The panic of the future's destructor.
    #[allow(unsafe_code)]
    pub(crate) fn refuse(&mut self, reason: Option<R::Reason>) -> Result<(), Payload> {
        // SAFETY: "one runner": this is it, by `&mut`.
        let dropped = unsafe { self.node.drop_future() };
        if self.node.is_unsettled() {
            // SAFETY: as above; it is UNSETTLED.
            unsafe { self.node.settle(reason) };
        }
        dropped
    }

    pub(crate) fn meta(&self) -> &R::Meta {
        self.node.meta()
    }
}

impl<R: ?Sized + Run> Drop for Runner<R> {
    fn drop(&mut self) {
        // "Future first". A panic of the future's destructor has nowhere to go from here; `refuse` reports it.
        drop(self.refuse(None));
    }
}

/// What a reader does, whatever the future's type.
///
/// # Safety
///
/// `take` is for the node's one [`Reader`] alone, and never two at once.
#[allow(unsafe_code)]
unsafe trait Read<T, C, M> {
    fn state(&self) -> u8;
    fn waker(&self) -> &AtomicWaker;
    fn meta(&self) -> &M;
    unsafe fn take(&self) -> Result<T, C>;
}

// SAFETY: nothing but `take` touches the content while it is the reader's.
#[allow(unsafe_code)]
unsafe impl<F, T, C, M, X> Read<T, C, M> for Node<F, T, C, M, X> {
    fn state(&self) -> u8 {
        self.state.load(Ordering::Acquire)
    }

    fn waker(&self) -> &AtomicWaker {
        &self.reader
    }

    fn meta(&self) -> &M {
        &self.meta
    }

    unsafe fn take(&self) -> Result<T, C> {
        self.state.store(TAKEN, Ordering::Relaxed);
        // SAFETY: the caller saw SETTLED: the content is the result, and the reader's; TAKEN says that it is gone.
        unsafe { ManuallyDrop::take(&mut (*self.content.get()).settled) }
    }
}

/// The end of a node that waits for the value.
pub(crate) struct Reader<T, C, M> {
    /// The future's type, and what it borrows, are forgotten here.
    node: Arc<dyn Read<T, C, M>>,
}

// SAFETY: by "future first" all that a reader's thread can reach or drop is the result and the metadata, and by
// "hand-over" it reaches the result alone.
#[allow(unsafe_code)]
unsafe impl<T: Send, C: Send, M: Send + Sync> Send for Reader<T, C, M> {}

// SAFETY: through a shared reference there are only the state and the metadata.
#[allow(unsafe_code)]
unsafe impl<T: Send, C: Send, M: Send + Sync> Sync for Reader<T, C, M> {}

impl<T, C, M> Reader<T, C, M> {
    #[allow(unsafe_code)]
    fn new<'a, F, X>(node: Arc<Node<F, T, C, M, X>>) -> Self
    where
        F: 'a,
        T: 'a,
        C: 'a,
        M: 'a,
        X: 'a,
    {
        let node: Arc<dyn Read<T, C, M> + 'a> = node;
        // SAFETY: the two types differ in the lifetime that the future, `F`, may borrow for. A reader has no way to
        // reach a value of that type, and by "future first" never drops one. `T`, `C` and `M` keep their lifetimes.
        Reader { node: unsafe { std::mem::transmute::<Arc<dyn Read<T, C, M> + 'a>, Arc<dyn Read<T, C, M>>>(node) } }
    }

    /// Waits for what becomes of the future. `None`: nobody said why there is no value, or it was taken before.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, C>>> {
        if !self.is_ended() {
            self.node.waker().register(cx.waker());
            if !self.is_ended() {
                return Poll::Pending;
            }
        }
        Poll::Ready(self.try_take())
    }

    #[allow(unsafe_code)]
    fn try_take(&mut self) -> Option<Result<T, C>> {
        // SAFETY: "one reader": this is it, by `&mut`; it has just seen SETTLED.
        (self.node.state() == SETTLED).then(|| unsafe { self.node.take() })
    }

    /// Whether the future is over, and it is known what became of it.
    pub(crate) fn is_ended(&self) -> bool {
        self.node.state() >= SETTLED
    }

    pub(crate) fn meta(&self) -> &M {
        self.node.meta()
    }
}

type Shared<'a, C, M> = dyn Run<Reason = C, Meta = M> + Send + Sync + 'a;
type Local<'a, C, M> = dyn Run<Reason = C, Meta = M> + 'a;

impl<'a, C: 'a, M: 'a> Runner<Shared<'a, C, M>> {
    /// A new node and its two ends.
    pub(crate) fn shared<F, T>(future: F, meta: M) -> (Self, Reader<T, C, M>)
    where
        F: Future<Output = Result<T, Failed>> + Send + 'a,
        T: Send + 'a,
        C: Send,
        M: Send + Sync,
    {
        let node = Arc::new(Node::new(future, meta, ()));
        (Runner { node: Arc::clone(&node) as _ }, Reader::new(node))
    }
}

impl<'a, C: 'a, M: 'a> Runner<Local<'a, C, M>> {
    /// A new node and its two ends, neither of which leaves this thread with the future.
    pub(crate) fn local<F, T>(future: F, meta: M) -> (Self, Reader<T, C, M>)
    where
        F: Future<Output = Result<T, Failed>> + 'a,
        T: 'a,
    {
        #[allow(clippy::arc_with_non_send_sync)] // One kind of node serves both; the reader's end may be `Send`.
        let node = Arc::new(Node::new(future, meta, ()));
        (Runner { node: Arc::clone(&node) as _ }, Reader::new(node))
    }
}

impl<F, T, C, M, X> Runner<Node<F, T, C, M, X>>
where
    F: Future<Output = Result<T, Failed>>,
{
    /// A new node and its two ends, the runner's with the node's type known.
    pub(crate) fn sized(future: F, meta: M, extra: X) -> (Self, Reader<T, C, M>) {
        #[allow(clippy::arc_with_non_send_sync)] // It is `Sync` where its parts are `Send`.
        let node = Arc::new(Node::new(future, meta, extra));
        (Runner { node: Arc::clone(&node) }, Reader::new(node))
    }

    pub(crate) fn extra(&self) -> &X {
        self.node.extra()
    }
}
