//! The floor: loops written by hand for one shape of work each, without what makes an engine out of
//! them.
//!
//! The children lie inline in one allocation. Each 64 of them share a word of ready bits, and all
//! of them one reference count, one parent's waker and one allocation for both. There is no growth,
//! no removal, no budget, no protection from panics; a wake-up makes the parent look at every word.

use std::future::{Future, poll_fn};
use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use futures::task::AtomicWaker;

/// The ready bits of 64 children. Aligned so that a child's number fits below its address.
#[repr(C, align(64))]
struct Chunk {
    ready: AtomicU64,
    shared: NonNull<Shared>,
}

struct Shared {
    /// Wakers, and one for the children's owner.
    references: AtomicUsize,
    woken: AtomicBool,
    parent: AtomicWaker,
    chunks: Box<[Chunk]>,
}

/// Children that are polled when they were woken.
struct Children<F> {
    slots: Box<[Option<F>]>,
    shared: NonNull<Shared>,
}

impl<F: Future> Children<F> {
    fn new(futures: impl Iterator<Item = F>) -> Self {
        let slots: Box<[_]> = futures.map(Some).collect();
        let shared = Box::new(Shared {
            references: AtomicUsize::new(1),
            woken: AtomicBool::new(true),
            parent: AtomicWaker::new(),
            chunks: Box::new([]),
        });
        let shared = NonNull::from(Box::leak(shared));
        let chunks = slots.chunks(64).map(|slots| {
            let ready = AtomicU64::new(u64::MAX >> (64 - slots.len()));
            Chunk { ready, shared }
        });
        // SAFETY: just made, and nobody else has it.
        unsafe { (*shared.as_ptr()).chunks = chunks.collect() };
        Children { slots, shared }
    }

    /// Polls those that were woken. `done` gets their values, and may give a future to take the
    /// place.
    fn poll(&mut self, cx: &mut Context<'_>, mut done: impl FnMut(usize, F::Output) -> Option<F>) {
        // SAFETY: the owner's reference keeps it.
        let shared = unsafe { self.shared.as_ref() };
        shared.parent.register(cx.waker());
        shared.woken.swap(false, Ordering::AcqRel);
        for (n, chunk) in shared.chunks.iter().enumerate() {
            let mut ready = chunk.ready.swap(0, Ordering::AcqRel);
            while ready != 0 {
                let i = ready.trailing_zeros() as usize;
                ready &= ready - 1;
                let slot = &mut self.slots[64 * n + i];
                let Some(future) = slot else { continue };
                let waker = lend(chunk, i);
                // SAFETY: a child never moves: its slot is boxed, and overwritten in place.
                let future = unsafe { Pin::new_unchecked(future) };
                if let Poll::Ready(value) = future.poll(&mut Context::from_waker(&waker)) {
                    *slot = done(64 * n + i, value);
                    ready |= u64::from(slot.is_some()) << i;
                }
            }
        }
    }
}

impl<F> Drop for Children<F> {
    fn drop(&mut self) {
        // SAFETY: this is the owner's reference, and is not used again.
        unsafe { release(self.shared) }
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: executors call them with the data of a live waker made by `lend`.
        let (chunk, _) = unsafe { parts(data) };
        // SAFETY: a live waker keeps what is shared.
        unsafe { chunk.shared.as_ref() }.references.fetch_add(1, Ordering::Relaxed);
        RawWaker::new(data, &VTABLE)
    },
    |data| {
        // SAFETY: as above; the second call takes the waker's reference.
        unsafe {
            wake(data);
            release(parts(data).0.shared);
        }
    },
    // SAFETY: as above.
    |data| unsafe { wake(data) },
    // SAFETY: as above; it takes the waker's reference.
    |data| unsafe { release(parts(data).0.shared) },
);

fn lend(chunk: &Chunk, i: usize) -> ManuallyDrop<Waker> {
    let data = std::ptr::from_ref(chunk).wrapping_byte_add(i).cast();
    // SAFETY: what the functions do is atomic, and `parts` finds the chunk again. It lives as long
    // as what is shared.
    ManuallyDrop::new(unsafe { Waker::new(data, &VTABLE) })
}

unsafe fn parts<'a>(data: *const ()) -> (&'a Chunk, usize) {
    let i = data.addr() % align_of::<Chunk>();
    // SAFETY: the address of a chunk is a multiple of its alignment, to which `lend` added a lesser
    // number.
    (unsafe { &*data.wrapping_byte_sub(i).cast::<Chunk>() }, i)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the caller's waker is live.
    let (chunk, i) = unsafe { parts(data) };
    // SAFETY: likewise.
    let shared = unsafe { chunk.shared.as_ref() };
    if chunk.ready.fetch_or(1 << i, Ordering::AcqRel) == 0 && !shared.woken.swap(true, Ordering::AcqRel) {
        shared.parent.wake();
    }
}

unsafe fn release(shared: NonNull<Shared>) {
    // SAFETY: the caller gives up a reference.
    if unsafe { shared.as_ref() }.references.fetch_sub(1, Ordering::AcqRel) == 1 {
        // SAFETY: it was the last one, and this came out of a box.
        drop(unsafe { Box::from_raw(shared.as_ptr()) });
    }
}

/// All values, in order.
pub(crate) fn gather<F: Future>(futures: impl ExactSizeIterator<Item = F>) -> impl Future<Output = Vec<F::Output>> {
    let mut left = futures.len();
    let mut values: Vec<Option<F::Output>> = (0..left).map(|_| None).collect();
    let mut children = Children::new(futures);
    poll_fn(move |cx| {
        children.poll(cx, |i, value| {
            values[i] = Some(value);
            left -= 1;
            None
        });
        match left {
            0 => Poll::Ready(in_order(mem::take(&mut values))),
            _ => Poll::Pending,
        }
    })
}

/// Unlike with `flatten`, the values stay in the allocation they are in.
#[allow(clippy::filter_map_identity)]
fn in_order<T>(values: Vec<Option<T>>) -> Vec<T> {
    values.into_iter().filter_map(|value| value).collect()
}

/// The first error, when the others have been dropped.
pub(crate) fn first_error<F, E>(futures: impl Iterator<Item = F>) -> impl Future<Output = E>
where
    F: Future<Output = Result<u64, E>>,
{
    let mut children = Some(Children::new(futures));
    poll_fn(move |cx| {
        let mut error = None;
        if let Some(children) = &mut children {
            children.poll(cx, |_, value| {
                error = error.take().or(value.err());
                None
            });
        }
        error.map_or(Poll::Pending, |error| {
            children = None;
            Poll::Ready(error)
        })
    })
}

/// The sum of all values, with `limit` futures at a time.
pub(crate) fn sum_by<F>(limit: usize, mut futures: impl Iterator<Item = F>) -> impl Future<Output = u64>
where
    F: Future<Output = u64>,
{
    let mut children = Children::new(futures.by_ref().take(limit));
    let mut left = children.slots.len();
    let mut sum = 0;
    poll_fn(move |cx| {
        children.poll(cx, |_, value| {
            sum += value;
            let next = futures.next();
            left -= usize::from(next.is_none());
            next
        });
        if left == 0 { Poll::Ready(sum) } else { Poll::Pending }
    })
}
