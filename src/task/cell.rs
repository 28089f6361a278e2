//! A future, and the place for what becomes of it, in one allocation.
//!
//! A node has two owners. The [`Runner`] polls the future to its end, or ends it before; the
//! [`Reader`] waits for what became of it. The `state` says whose the content is:
//!
//! | state | content | belongs to |
//! |---|---|---|
//! | `RUNNING` | the future | the runner |
//! | `UNSETTLED` | nothing: the future failed or panicked, and the runner has yet to say what that means | the runner |
//! | `DECIDED` | a value, or the reason why there is none | the runner, which has yet to hand it over |
//! | `SETTLED` | the same | the reader |
//! | `TAKEN` | nothing: the reader has it | nobody |
//! | `ABANDONED` | nothing: there will be no value, and no reason is known | nobody |
//!
//! Invariants, which the `SAFETY` comments name:
//!
//! - **one runner, one reader**: a node has one of each, neither can be cloned, and what touches
//!   the content takes them by `&mut` or by value;
//! - **hand-over**: only the runner leaves the states that are its own, at last by a release store
//!   after its last access, when it is dropped; only the reader leaves `SETTLED`, after an acquire
//!   load that saw it;
//! - **future first**: a runner drops the future before it gives up its reference to the node, so
//!   whoever frees the node never meets the future, and may be on another thread, or outlive what
//!   the future borrows;
//! - **pinned**: a node lives behind an [`Owner`], which never moves it.

use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomPinned;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll};

use super::header::{DECIDED, RUNNING, SETTLED, TAKEN, UNSETTLED};
pub(crate) use super::header::{FailureKind, Header};
use super::mark::{Lending, Loan, Marked};
pub(crate) use super::pair::Memory;
use super::pair::Owner;
use super::polled::polling;
use super::remote::{Lasting, NextRemote, Reach};
use crate::engine::atomics::{Ordering, UnsafeCell, fence};
use crate::name::Name;
use crate::panic::{Payload, catch, discard};

/// The future ended without a value, by an error that it reported elsewhere.
#[derive(Debug)]
pub(crate) struct Failed;

/// How a future ended.
pub(crate) enum Ended {
    /// With a value, which the reader has when the runner is dropped.
    Value,
    /// Without. What the reader hears is up to the runner: [`Runner::refuse`].
    Failed,
    /// By a panic. Likewise.
    Panicked(Payload),
}

/// Publishes the places that were set. A cancellation from here on finds the place, and one that
/// came before has left its mark, which the next poll of the future sees.
pub(crate) fn publish_places() {
    fence(Ordering::SeqCst);
}

/// What a node carries besides: a name, where it was given one.
pub(crate) trait Extra {
    fn name(&self) -> Option<&Name>;

    /// Has the future end, if it is for this to do. Why it is to end has been said before.
    fn tell(&self) {}
}

// SAFETY: this uses nothing of the node but what it carries besides, which is `Lasting`.
#[allow(unsafe_code)]
unsafe impl<F, T, C, X: Lasting> Reach for Node<F, T, C, X> {
    fn tell(&self) {
        self.extra.tell();
    }

    fn has_ended(&self) -> bool {
        self.extra.has_ended()
    }

    fn next(&self) -> &NextRemote {
        self.extra.next()
    }
}

impl Extra for () {
    fn name(&self) -> Option<&Name> {
        None
    }
}

impl Extra for Name {
    fn name(&self) -> Option<&Name> {
        Some(self)
    }
}

/// A future `F` with the value `T`, or else a reason `C`; besides, `X` for whoever knows the node's
/// type.
#[repr(C)]
pub(crate) struct Node<F, T, C, X = ()> {
    /// The first, as [`Headed`] says.
    header: Header,
    extra: X,
    content: UnsafeCell<Content<F, T, C>>,
    /// A [`Mark`](super::mark::Mark) looks at the header while the node is dropped, by `&mut`. So
    /// no pointer to it is an exclusive one.
    _pinned: PhantomPinned,
}

union Content<F, T, C> {
    running: ManuallyDrop<F>,
    settled: ManuallyDrop<Result<T, C>>,
}

// SAFETY: by "one runner, one reader" and "hand-over", the content is accessed by one thread at a
// time, which may be another each time; everything else is `Sync`.
#[allow(unsafe_code)]
unsafe impl<F: Send, T: Send, C: Send, X: Sync> Sync for Node<F, T, C, X> {}

impl<F, T, C, X> Node<F, T, C, X> {
    fn new(future: F, header: Header, extra: X) -> Self {
        let content = UnsafeCell::new(Content { running: ManuallyDrop::new(future) });
        Node { header, extra, content, _pinned: PhantomPinned }
    }

    /// What the node carries besides.
    pub(crate) fn extra(&self) -> &X {
        &self.extra
    }
}

/// A node, whatever its type: [`header`] finds its header without a call through a vtable.
///
/// # Safety
///
/// What implements this begins with its [`Header`].
#[allow(unsafe_code)]
pub(super) unsafe trait Headed {}

// SAFETY: it is `repr(C)`, and the header its first field.
#[allow(unsafe_code)]
unsafe impl<F, T, C, X> Headed for Node<F, T, C, X> {}

#[inline]
#[allow(unsafe_code)]
pub(super) fn header<N: ?Sized + Headed>(node: &N) -> &Header {
    // SAFETY: `Headed`.
    unsafe { &*ptr::from_ref(node).cast() }
}

impl<F, T, C, X> Drop for Node<F, T, C, X> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // Relaxed: `&mut self`.
        if self.header.state.load(Ordering::Relaxed) == SETTLED {
            // SAFETY: "hand-over": SETTLED says that there is a result which nobody has taken;
            // `&mut self` says that nobody will. In every other state there is nothing to drop:
            // RUNNING is excluded by "future first".
            self.content.with_mut(|content| unsafe { ManuallyDrop::drop(&mut (*content).settled) })
        }
    }
}

/// What a runner does, whatever the future's type.
///
/// # Safety
///
/// The methods that are `unsafe` are for the node's one [`Runner`] alone, and never two at once.
#[allow(unsafe_code)]
#[allow(private_bounds)]
pub(crate) unsafe trait Run: Headed {
    type Reason;

    unsafe fn poll(&self, cx: &mut Context<'_>) -> Poll<Ended>;
    unsafe fn drop_future(&self) -> Result<(), Payload>;
    unsafe fn decide(&self, reason: Self::Reason);
    fn name(&self) -> Name;
}

// SAFETY: nothing but the methods themselves touches the content while it is the runner's.
#[allow(unsafe_code)]
unsafe impl<F, T, C, X> Run for Node<F, T, C, X>
where
    F: Future<Output = Result<T, Failed>>,
    X: Extra,
{
    type Reason = C;

    unsafe fn poll(&self, cx: &mut Context<'_>) -> Poll<Ended> {
        debug_assert!(self.header.is(RUNNING));
        // SAFETY: RUNNING, which the caller has checked, says that the content is the future, and
        // that it is the runner's; "pinned" says that it stays where it is until it is dropped.
        let poll = |content: *mut Content<F, T, C>| unsafe { Pin::new_unchecked(&mut *(*content).running) }.poll(cx);
        let polled = match catch(|| match self.extra.name() {
            Some(name) => polling(name, || self.content.with_mut(poll)),
            None => self.content.with_mut(poll),
        }) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(payload) => Err(payload),
        };
        // SAFETY: as above; the reference to the future is gone.
        let dropped = unsafe { self.drop_future() };
        Poll::Ready(match (polled, dropped) {
            (Ok(Ok(value)), Ok(())) => {
                // SAFETY: UNSETTLED, set by `drop_future`: there is nothing in the content, and it
                // is the runner's.
                self.content.with_mut(|content| unsafe { (*content).settled = ManuallyDrop::new(Ok(value)) });
                self.header.set(DECIDED);
                Ended::Value
            }
            (Ok(Err(Failed)), Ok(())) => {
                self.header.fail(FailureKind::Failed);
                Ended::Failed
            }
            (Err(payload), dropped) => {
                discard(dropped);
                self.header.fail(FailureKind::Panicked);
                Ended::Panicked(payload)
            }
            (Ok(value), Err(payload)) => {
                discard(value);
                self.header.fail(FailureKind::Panicked);
                Ended::Panicked(payload)
            }
        })
    }

    unsafe fn drop_future(&self) -> Result<(), Payload> {
        if !self.header.is(RUNNING) {
            return Ok(());
        }
        // Before the drop, so that a panic in it does not drop the future twice.
        self.header.set(UNSETTLED);
        // SAFETY: it was RUNNING, so the content is the future, and the runner's; from here on
        // nobody takes it for one.
        catch(|| self.content.with_mut(|content| unsafe { ManuallyDrop::drop(&mut (*content).running) }))
    }

    unsafe fn decide(&self, reason: C) {
        debug_assert!(self.header.is(UNSETTLED));
        // SAFETY: UNSETTLED, which the caller has checked: there is nothing in the content, and it
        // is the runner's.
        self.content.with_mut(|content| unsafe { (*content).settled = ManuallyDrop::new(Err(reason)) });
        self.header.set(DECIDED);
    }

    fn name(&self) -> Name {
        Name::given_or_at(self.extra.name(), self.header.at)
    }
}

/// The end of a node that runs the future. What became of the future is told to the reader when
/// this is dropped.
pub(crate) struct Runner<R: ?Sized + Run> {
    node: ManuallyDrop<Owner<R>>,
}

impl<R: ?Sized + Run> Runner<R> {
    /// Polls the future, which is in `place` meanwhile; a panic is an end like another. Not to be
    /// called again after that.
    #[allow(unsafe_code)]
    pub(crate) fn poll(&mut self, place: &Cell<Option<Marked>>, cx: &mut Context<'_>) -> Poll<Ended> {
        if !self.header().is(RUNNING) {
            return Poll::Ready(Ended::Failed);
        }
        // SAFETY: the runner, and with it the owner, is borrowed until after the lending.
        let loan = unsafe { Loan::new(&*self.node) };
        let _lending = Lending::new(place, &loan);
        // SAFETY: "one runner": this is it, by `&mut`; it is RUNNING.
        unsafe { self.node.poll(cx) }
    }

    /// Ends the future, if it has not ended, and leaves `reason` to the reader, if nothing has been
    /// left to it yet. The reader hears of it when this is dropped.
    ///
    /// # Errors
    ///
    /// The panic of the future's destructor.
    #[allow(unsafe_code)]
    pub(crate) fn refuse(&mut self, reason: Option<R::Reason>) -> Result<(), Payload> {
        // SAFETY: "one runner": this is it, by `&mut`.
        let dropped = unsafe { self.node.drop_future() };
        if let (true, Some(reason)) = (self.header().is(UNSETTLED), reason) {
            // SAFETY: as above; it is UNSETTLED.
            unsafe { self.node.decide(reason) };
        }
        dropped
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        header(&**self.node)
    }

    pub(crate) fn name(&self) -> Name {
        self.node.name()
    }

    /// As [`Reader::id`].
    #[cfg(feature = "sim")]
    fn id(&self) -> usize {
        ptr::from_ref(self.header()).addr()
    }

    /// Puts this on the list of those that are alive, until it is dropped.
    #[cfg(feature = "sim")]
    pub(crate) fn watch(&self) {
        self.header().watched.store(true, Ordering::Relaxed);
        crate::trace::living::born(self.id(), self.name());
    }
}

impl<R: ?Sized + Run> Drop for Runner<R> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if self.header().is(RUNNING) {
            // "Future first". A panic of the future's destructor has nowhere to go from here;
            // `refuse` reports it.
            discard(self.refuse(None));
        }
        self.header().hand_over();
        #[cfg(feature = "sim")]
        if self.header().watched.load(Ordering::Relaxed) {
            crate::trace::living::ended(self.id());
        }
        // SAFETY: it is not used after this.
        let node = unsafe { ManuallyDrop::take(&mut self.node) };
        // Either the reader has left a waker, or it finds the runner gone when it wants to, and
        // sees what was handed over.
        node.leave();
    }
}

/// What a reader does, whatever the future's type.
///
/// # Safety
///
/// `take` is for the node's one [`Reader`] alone, and never two at once.
#[allow(unsafe_code)]
unsafe trait Read<T, C>: Headed {
    fn name(&self) -> Name;
    fn tell(&self);
    unsafe fn take(&self) -> Result<T, C>;
}

// SAFETY: nothing but `take` touches the content while it is the reader's.
#[allow(unsafe_code)]
unsafe impl<F, T, C, X: Extra> Read<T, C> for Node<F, T, C, X> {
    fn name(&self) -> Name {
        Name::given_or_at(self.extra.name(), self.header.at)
    }

    fn tell(&self) {
        self.extra.tell();
    }

    unsafe fn take(&self) -> Result<T, C> {
        self.header.set(TAKEN);
        // SAFETY: the caller saw SETTLED: the content is the result, and the reader's; TAKEN says
        // that it is gone.
        self.content.with_mut(|content| unsafe { ManuallyDrop::take(&mut (*content).settled) })
    }
}

/// The end of a node that waits for the value.
pub(crate) struct Reader<T, C> {
    /// The future's type, and what it borrows, are forgotten here.
    node: Owner<dyn Read<T, C>>,
}

// SAFETY: by "future first" all that a reader's thread can reach or drop is the result and the
// metadata, and by "hand-over" it reaches the result alone.
#[allow(unsafe_code)]
unsafe impl<T: Send, C: Send> Send for Reader<T, C> {}

// SAFETY: through a shared reference there are only the state and the metadata.
#[allow(unsafe_code)]
unsafe impl<T: Send, C: Send> Sync for Reader<T, C> {}

impl<T, C> Reader<T, C> {
    #[allow(unsafe_code)]
    fn new<'a, F, X>(node: Owner<Node<F, T, C, X>>) -> Self
    where
        F: 'a,
        T: 'a,
        C: 'a,
        X: Extra + 'a,
    {
        let node: Owner<dyn Read<T, C> + 'a> = node.forget_type(|node| node);
        // SAFETY: the two types differ in the lifetime that the future, `F`, may borrow for. A
        // reader has no way to reach a value of that type, and by "future first" never drops one.
        // `T` and `C` keep their lifetimes.
        Reader { node: unsafe { std::mem::transmute::<Owner<dyn Read<T, C> + 'a>, Owner<dyn Read<T, C>>>(node) } }
    }

    /// Waits for what becomes of the future. `None`: nobody said why there is no value, or it was
    /// taken before.
    #[allow(unsafe_code)]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, C>>> {
        // SAFETY: "one reader": the runner never waits, and lets go by `leave`.
        if !self.has_ended() && unsafe { self.node.wait(cx.waker()) } {
            return Poll::Pending;
        }
        Poll::Ready(self.try_take())
    }

    #[allow(unsafe_code)]
    fn try_take(&mut self) -> Option<Result<T, C>> {
        let settled = self.header().state.load(Ordering::Acquire) == SETTLED;
        // SAFETY: "one reader": this is it, by `&mut`; it has just seen SETTLED.
        settled.then(|| unsafe { self.node.take() })
    }

    /// Whether the future has ended, and it is known what became of it.
    pub(crate) fn has_ended(&self) -> bool {
        // Acquire: "hand-over".
        self.header().state.load(Ordering::Acquire) >= SETTLED
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        header(&*self.node)
    }

    /// How the future ended by itself without a value, once it [has ended](Self::has_ended).
    pub(crate) fn failure(&self) -> Option<FailureKind> {
        self.header().failure()
    }

    pub(crate) fn name(&self) -> Name {
        self.node.name()
    }

    /// Marks the future as one that is to end, and returns its place.
    ///
    /// Without a place, the runner's side sees the mark before it polls the future for the first
    /// time.
    pub(crate) fn cancel(&self) -> Option<u32> {
        self.header().cancel();
        // Pairs with the one in `publish_places`: that side sees the mark, or this sees the place.
        fence(Ordering::SeqCst);
        self.node.tell();
        self.header().place()
    }

    /// What the node's two ends have in common, and no other node has while they live. Never 0.
    pub(crate) fn id(&self) -> usize {
        ptr::from_ref(self.header()).addr()
    }
}

/// A node whose future may be polled by any thread, its type forgotten.
pub(crate) type SharedNode<'a, C> = dyn Run<Reason = C> + Send + Sync + 'a;

/// A node whose future stays on one thread, its type forgotten.
pub(crate) type LocalNode<'a, C> = dyn Run<Reason = C> + 'a;

impl<F, T, C, X> Runner<Node<F, T, C, X>>
where
    F: Future<Output = Result<T, Failed>>,
    X: Extra,
{
    /// A new node, and its two ends.
    pub(crate) fn new(future: F, at: &'static Location<'static>, extra: X) -> (Self, Reader<T, C>) {
        Self::with_header(future, Header::new(at, false), extra)
    }

    /// A new node, its two ends, and who keeps its memory beside them.
    #[allow(clippy::type_complexity)]
    pub(crate) fn with_memories<const N: usize>(
        future: F,
        at: &'static Location<'static>,
        extra: X,
    ) -> (Self, Reader<T, C>, [Memory<Node<F, T, C, X>>; N]) {
        let (runner, reader, memories) = Owner::pair_and_memories(Node::new(future, Header::new(at, false), extra));
        (Runner { node: ManuallyDrop::new(runner) }, Reader::new(reader), memories)
    }

    fn with_header(future: F, header: Header, extra: X) -> (Self, Reader<T, C>) {
        let (runner, reader) = Owner::pair(Node::new(future, header, extra));
        (Runner { node: ManuallyDrop::new(runner) }, Reader::new(reader))
    }

    /// A new node that nobody reads.
    pub(crate) fn finalizer(future: F, at: &'static Location<'static>, extra: X) -> Self {
        Self::with_header(future, Header::new(at, true), extra).0
    }

    /// Forgets the node's type.
    pub(crate) fn shared<'a>(self) -> Runner<SharedNode<'a, C>>
    where
        F: Send + 'a,
        T: Send + 'a,
        C: Send + 'a,
        X: Send + Sync + 'a,
    {
        Runner { node: ManuallyDrop::new(self.into_node().forget_type(|node| node)) }
    }

    /// Forgets the node's type.
    pub(crate) fn local<'a>(self) -> Runner<LocalNode<'a, C>>
    where
        F: 'a,
        T: 'a,
        C: 'a,
        X: 'a,
    {
        Runner { node: ManuallyDrop::new(self.into_node().forget_type(|node| node)) }
    }

    #[allow(unsafe_code)]
    fn into_node(self) -> Owner<Node<F, T, C, X>> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped and not used again, so the owner is moved out of it.
        unsafe { ManuallyDrop::take(&mut this.node) }
    }
}
