//! Where the members of a combinator are, and the values they have come to: inside it, or in a
//! [`Set`].
//!
//! A combinator is written once, for any [`Room`].

// Rust 1.85 does not count the bounds of the types of a public trait as reachable.
#![allow(unreachable_pub)]

use std::array;
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::inline::{Inline, Slot};
use super::{Answer, Set};

/// Marks what has any number of members: they are in blocks of their own, and polled when they were
/// woken.
#[derive(Debug)]
pub struct Many;

/// Marks what has `N` members, a dozen at most: they are inside the combinator, and polled
/// together.
#[derive(Debug)]
pub struct Few<const N: usize>;

/// A place for members, and one for their values.
pub trait Room {
    #[doc(hidden)]
    type Store<F>: Store<F>;
    #[doc(hidden)]
    type Slots<T>: Slots<T>;
}

/// Members that are polled together, each by its index.
pub trait Store<F> {
    /// How many there are that are not done.
    fn len(&self) -> usize;

    /// Whether all are done.
    fn is_empty(&self) -> bool;

    /// Polls members, drops those that are done, and returns when one has something to return.
    ///
    /// - `Ready(Some(..))`: call again. The pass is not over, and nobody has promised a wake-up.
    /// - `Ready(None)`: there are no members.
    /// - `Pending`: the pass is over, and the caller is woken when there is something to poll.
    fn poll_until<B>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        each: impl FnMut(usize, Pin<&mut F>, &mut Context<'_>) -> Poll<Option<B>>,
    ) -> Poll<Option<B>>;

    /// Drops the members that `keep` does not want, the newest first; as [`Set::retain`].
    fn retain(self: Pin<&mut Self>, keep: impl FnMut(Pin<&mut F>) -> bool);
}

/// Values by index, as they come.
pub trait Slots<T>: IntoIterator<Item = Option<T>> {
    /// Room for `n` values.
    fn new(n: usize) -> Self;

    /// Takes in the value of a member.
    fn put(&mut self, index: usize, value: T);

    /// Takes out the value of a member.
    fn take(&mut self, index: usize) -> Option<T>;
}

impl Room for Many {
    type Store<F> = Set<F>;
    type Slots<T> = Vec<Option<T>>;
}

impl<const N: usize> Room for Few<N> {
    type Store<F> = Inline<F, N>;
    type Slots<T> = [Option<T>; N];
}

impl<F> Store<F> for Set<F> {
    fn len(&self) -> usize {
        Set::len(self)
    }

    fn is_empty(&self) -> bool {
        Set::is_empty(self)
    }

    #[inline]
    fn poll_until<B>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut each: impl FnMut(usize, Pin<&mut F>, &mut Context<'_>) -> Poll<Option<B>>,
    ) -> Poll<Option<B>> {
        Set::poll_until(self.get_mut(), cx, |key, member, cx| {
            each(key.index(), member, cx).map(|value| value.map_or(Answer::Done, Answer::Last))
        })
    }

    fn retain(self: Pin<&mut Self>, keep: impl FnMut(Pin<&mut F>) -> bool) {
        Set::retain(self.get_mut(), keep);
    }
}

impl<T> Slots<T> for Vec<Option<T>> {
    fn new(n: usize) -> Self {
        iter::repeat_with(|| None).take(n).collect()
    }

    fn put(&mut self, index: usize, value: T) {
        match self.get_mut(index) {
            Some(place) => *place = Some(value),
            None => {
                // An iterator gave more members than it said it would.
                self.resize_with(index, || None);
                self.push(Some(value));
            }
        }
    }

    fn take(&mut self, index: usize) -> Option<T> {
        self.get_mut(index)?.take()
    }
}

impl<T, const N: usize> Slots<T> for [Option<T>; N] {
    #[inline]
    fn new(_: usize) -> Self {
        array::from_fn(|_| None)
    }

    #[inline]
    fn put(&mut self, index: usize, value: T) {
        self[index] = Some(value);
    }

    #[inline]
    fn take(&mut self, index: usize) -> Option<T> {
        self[index].take()
    }
}

/// The room of an array of `N`: inside up to a dozen, then a single block of a [`Set`].
pub trait Length<const N: usize> {
    #[doc(hidden)]
    type Room: Room;

    #[doc(hidden)]
    fn place<F, R>(futures: [F; N], wrap: impl Fn(F) -> R) -> <Self::Room as Room>::Store<R>;
}

macro_rules! lengths {
    ($room:ident: $($n:literal)*) => {
        $(impl Length<$n> for Few<$n> {
            type Room = lengths!(@room $room $n);

            #[inline]
            fn place<F, R>(futures: [F; $n], wrap: impl Fn(F) -> R) -> <Self::Room as Room>::Store<R> {
                lengths!(@place $room futures wrap)
            }
        })*
    };
    (@room Few $n:literal) => { Few<$n> };
    (@room Many $n:literal) => { Many };
    (@place Few $futures:ident $wrap:ident) => { Inline::full($futures.map(|future| Slot::with($wrap(future)))) };
    (@place Many $futures:ident $wrap:ident) => { Set::collect($futures.into_iter().map($wrap)) };
}

lengths! { Few: 0 1 2 3 4 5 6 7 8 9 10 11 12 }
lengths! { Many: 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 }
lengths! { Many: 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64 }
