//! What a scope shares with everybody who reaches it, in one allocation.
//!
//! A scope's handles know the type of its children, what those borrow, and the type of their
//! errors. Tasks, parallel children and the context know none of this, and may outlive what
//! children borrow. A [`Hub`] serves both: its lists hold items whose types are forgotten, and only
//! its [`Typed`] references put something in and take it out.
//!
//! Invariants, which the `SAFETY` comments name:
//!
//! - **one type a list** – what is in a hub's lists was put there by a `Typed` reference of that
//!   hub. All of these are clones of the first one, or made of it, so they agree on the types.
//! - **out in time** – an item leaves a list only through such a reference, whose types outlive it.
//!   What is in the lists when the hub is dropped is never dropped. That is so only after
//!   `mem::forget` of a scope's future, since a scope's end empties and closes its lists.

use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use super::cell::{Run, Runner};
use crate::engine::atomics::{AtomicU8, Ordering, ShortLock};
use crate::mailbox::{Bell, Call, Items, Lane};
use crate::name::Name;

/// How many items the inbox takes without an allocation.
const FIRST: usize = 4;

/// `P`, and beside it the lists of which only [`Typed`] references know the types.
pub(crate) struct Hub<P> {
    inbox: Lane<Hidden, FIRST>,
    /// The errors of a scope, each with the name of what failed, in the order in which they
    /// happened.
    errors: ShortLock<Vec<(Name, Hidden)>>,
    /// Whether there are errors, and whether there may be more, as flags. Most scopes end without
    /// an error, and need no look under the lock.
    failed: AtomicU8,
    parts: P,
}

/// There are errors, or somebody who has the lock is about to add one.
const SOME: u8 = 1;
/// There is no place for errors any more.
const CLOSED: u8 = 2;

impl<P> Deref for Hub<P> {
    type Target = P;

    #[inline]
    fn deref(&self) -> &P {
        &self.parts
    }
}

impl<P> DerefMut for Hub<P> {
    fn deref_mut(&mut self) -> &mut P {
        &mut self.parts
    }
}

/// A type whose values a list can hide.
///
/// # Safety
///
/// A value has one word or two. The first one is a pointer, and not null.
pub(crate) unsafe trait Hide {}

// SAFETY: it is one pointer, to something that is sized.
unsafe impl<E> Hide for Box<E> {}

// SAFETY: it is a pointer with its vtable. Whichever comes first, neither is null.
unsafe impl<R: ?Sized + Run> Hide for Runner<R> {}

/// A value whose type is forgotten. It is never dropped.
#[repr(C)]
struct Hidden {
    /// Not null, so that an `Option` of this is no larger.
    first: NonNull<()>,
    second: MaybeUninit<*mut ()>,
}

// SAFETY: nothing can be done with it but to reveal it, and by "one type a list" whoever does that
// is as free to have the value on its thread as whoever hid it: `Typed` is `Send` and `Sync` only
// if the types are `Send`.
unsafe impl Send for Hidden {}

impl Hidden {
    #[inline]
    fn new<T: Hide>(value: T) -> Self {
        const { assert!(size_of::<T>() <= size_of::<Hidden>() && align_of::<T>() == align_of::<Hidden>()) };
        let mut hidden = MaybeUninit::<Hidden>::uninit();
        // SAFETY: `hidden` has the size and the alignment, as was asserted. By `Hide` its first
        // word is a pointer that is not null then, and the second may be anything.
        unsafe {
            hidden.as_mut_ptr().cast::<T>().write(value);
            hidden.assume_init()
        }
    }

    /// # Safety
    ///
    /// The value is of this type, and the lifetimes in the type have not ended.
    #[inline]
    unsafe fn reveal<T: Hide>(self) -> T {
        // SAFETY: a `T` was written there, and is moved out once, since `self` is consumed.
        unsafe { (&raw const self).cast::<T>().read() }
    }
}

/// A reference to a hub that knows the types of what is in its lists: `T` in the inbox, and `E` in
/// the errors.
pub(crate) struct Typed<P, T, E> {
    hub: Arc<Hub<P>>,
    /// As if the lists lay in there with their types: this is invariant in both, and `Send` and
    /// `Sync` if both are `Send`.
    types: PhantomData<Arc<Mutex<(T, E)>>>,
}

impl<P, T, E> Clone for Typed<P, T, E> {
    #[inline]
    fn clone(&self) -> Self {
        Typed { hub: Arc::clone(&self.hub), types: PhantomData }
    }
}

impl<P, T: Hide, E> Typed<P, T, E> {
    /// Makes a hub, and the first reference to it.
    #[inline]
    pub(crate) fn new(parts: P) -> Self {
        let (inbox, errors) = (Lane::new(Call::Inbox), ShortLock::new(Vec::new()));
        Typed { hub: Arc::new(Hub { inbox, errors, failed: AtomicU8::new(0), parts }), types: PhantomData }
    }

    #[inline]
    pub(crate) fn hub(&self) -> &Arc<Hub<P>> {
        &self.hub
    }

    /// Returns a reference for errors alone.
    pub(crate) fn errors(&self) -> ErrorsOf<P, E> {
        ErrorsOf { hub: Arc::clone(&self.hub), types: PhantomData }
    }

    /// Puts `item` into the inbox, and rings for the poller.
    ///
    /// # Errors
    ///
    /// Returns the item if the inbox is closed.
    #[inline]
    pub(crate) fn push(&self, item: T, bell: &Bell) -> Result<(), T> {
        // SAFETY: what was put in is what comes back.
        self.hub.inbox.push(Hidden::new(item), bell).map_err(|refused| unsafe { refused.reveal() })
    }

    /// Returns how many items have ever been pushed.
    pub(crate) fn pushed(&self) -> usize {
        self.hub.inbox.pushed()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hub.inbox.is_empty()
    }

    /// Takes all items out of the inbox. The poller rouses itself before that, as for a [`Lane`].
    #[inline]
    pub(crate) fn take(&self) -> Revealed<T> {
        Revealed { items: self.hub.inbox.take(), types: PhantomData }
    }

    /// Closes the inbox, and returns what is still in it, if there is something.
    #[inline]
    pub(crate) fn close(&self) -> Option<Revealed<T>> {
        self.hub.inbox.close().map(|items| Revealed { items, types: PhantomData })
    }

    #[inline]
    pub(crate) fn has_errors(&self) -> bool {
        self.hub.failed.load(Ordering::Acquire) & SOME != 0
    }

    /// Takes the errors. From here on there is no place for errors, which are dropped.
    pub(crate) fn end_errors(&self) -> Vec<(Name, E)> {
        // Whoever adds an error from here on sees that there is no place. Whoever has not seen it
        // is done with the lock when this has it.
        if self.hub.failed.fetch_or(CLOSED, Ordering::AcqRel) & SOME == 0 {
            return Vec::new();
        }
        let list = mem::take(&mut *self.hub.errors.lock());
        // SAFETY: "one type a list": these are boxes of `E`, by `ErrorsOf::push`. "Out in time":
        // this reference knows `E`.
        list.into_iter().map(|(name, error)| (name, *unsafe { error.reveal::<Box<E>>() })).collect()
    }
}

/// What was in the inbox of a hub, in the order in which it came.
#[must_use = "items that nobody takes are leaked"]
pub(crate) struct Revealed<T> {
    items: Items<Hidden, FIRST>,
    types: PhantomData<T>,
}

impl<T: Hide> Revealed<T> {
    /// Calls `each` with the items. If that panics, those that are left are leaked.
    #[inline]
    pub(crate) fn for_each(self, mut each: impl FnMut(T)) {
        // SAFETY: "one type a list": it was put in by `Typed::push`. "Out in time": `self` was made
        // by a reference that knows `T`.
        self.items.for_each(|item| each(unsafe { item.reveal() }));
    }

    /// Calls `each` with the items, the last one first. Otherwise as [`for_each`](Self::for_each).
    pub(crate) fn for_each_rev(self, mut each: impl FnMut(T)) {
        // SAFETY: as in `for_each`.
        self.items.for_each_rev(|item| each(unsafe { item.reveal() }));
    }
}

/// A reference to a hub by which errors are put in.
pub(crate) struct ErrorsOf<P, E> {
    hub: Arc<Hub<P>>,
    /// As for [`Typed`].
    types: PhantomData<Arc<Mutex<E>>>,
}

impl<P, E> ErrorsOf<P, E> {
    /// Adds an error. It is dropped if the scope has ended without it.
    pub(crate) fn push(&self, name: Name, error: E) {
        // It is declared before the guard of the lock. So an error that comes too late is dropped
        // when the lock is free.
        let error = Box::new(error);
        let mut errors = self.hub.errors.lock();
        if self.hub.failed.fetch_or(SOME, Ordering::AcqRel) & CLOSED == 0 {
            errors.push((name, Hidden::new(error)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lists<'a> = Typed<(), Box<&'a str>, &'a str>;

    #[test]
    fn items_and_errors_come_out_as_they_were_put_in() {
        let (text, bell) = (String::from("borrowed"), Bell::new());
        let lists = Lists::new(());
        let other = lists.clone();
        for _ in 0..2 * FIRST {
            assert!(other.push(Box::new(text.as_str()), &bell).is_ok());
        }
        lists.errors().push(Name::from("one"), &text);
        assert!(lists.has_errors() && lists.pushed() == 2 * FIRST && !lists.is_empty());
        let mut seen = 0;
        lists.take().for_each(|item| seen += usize::from(*item == text));
        assert_eq!(seen, 2 * FIRST);
        assert_eq!(other.end_errors(), [(Name::from("one"), text.as_str())]);
        assert!(lists.end_errors().is_empty());
    }

    #[test]
    fn what_comes_after_the_end_is_handed_back_or_dropped() {
        let (counted, bell) = (Arc::new(()), Bell::new());
        let lists = Typed::<(), Box<Arc<()>>, Arc<()>>::new(());
        assert!(lists.push(Box::new(Arc::clone(&counted)), &bell).is_ok());
        lists.close().expect("there is an item").for_each_rev(drop);
        assert!(lists.end_errors().is_empty());
        assert!(lists.push(Box::new(Arc::clone(&counted)), &bell).is_err());
        lists.errors().push(Name::from("late"), Arc::clone(&counted));
        assert!(lists.end_errors().is_empty());
        assert_eq!(Arc::strong_count(&counted), 1, "something is kept");
    }
}
