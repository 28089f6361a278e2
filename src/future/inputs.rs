//! Takes futures that are waited for together: tuples, arrays, collections and iterators.
//!
//! All of these become a number of members of one type in a [`Room`]. The members of a tuple have
//! an enum as their type, with a variant for each place. The values go back into their places at
//! the end.

use std::array;
use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::tuples::*;
use crate::engine::{Few, Inline, Length, Many, Room, Set, Slot, Slots};

/// Marks an array, as the `Shape` of several futures.
#[derive(Debug)]
pub struct Array;

/// Marks a `Vec`, a `VecDeque` or a boxed slice, as the `Shape` of several futures.
#[derive(Debug)]
pub struct Collection;

/// Several futures: a tuple of up to twelve, an array of up to 64, a `Vec`, or an iterator.
///
/// `Shape` is [`Tuple`], [`Array`], [`Collection`] or [`Many`]. It is always inferred.
///
/// If the futures have several types and their number is not known, box them:
///
/// ```
/// use futures::FutureExt;
///
/// # futures::executor::block_on(async {
/// let mut futures = vec![async { 1 }.boxed()];
/// for n in [2, 3] {
///     futures.push(async move { n }.boxed());
/// }
/// assert_eq!(foster::gather(futures).await, [1, 2, 3]);
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not several futures",
    note = "give a tuple of up to 12 futures, an array of up to 64, a `Vec`, or an iterator over futures"
)]
pub trait Futures<Shape>: Sized {
    /// The type of one future. For a tuple it is an enum of all of them.
    type Member: Future;
    /// Where the futures are while they run: [`Few`] inside the combinator, [`Many`] in blocks of
    /// their own.
    type Room: Room;
    /// The values of all futures: a tuple, an array or a `Vec`.
    type Values;

    #[doc(hidden)]
    fn place<R>(self, wrap: impl Fn(Self::Member) -> R) -> Placed<Self::Room, R>;

    #[doc(hidden)]
    fn values(values: &mut Values<Self::Room, <Self::Member as Future>::Output>) -> Self::Values;
}

/// Several futures that may fail, with errors of one type. Otherwise the same as [`Futures`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not several futures that fail with errors of one type",
    note = "their outputs must be `Result`s with the same error type: convert errors with `map_err`",
    note = "to wait for futures that cannot fail, use `gather`"
)]
pub trait TryFutures<Shape>: Sized {
    /// The value of one future. For a tuple it is an enum of all of them.
    type Value;
    /// The type of the errors.
    type Error;
    /// The type of one future. For a tuple it is an enum of all of them.
    type Member: Future<Output = Result<Self::Value, Self::Error>>;
    /// Where the futures are while they run, as in [`Futures::Room`].
    type Room: Room;
    /// The values of all futures: a tuple, an array or a `Vec`.
    type Values;

    #[doc(hidden)]
    fn place<R>(self, wrap: impl Fn(Self::Member) -> R) -> Placed<Self::Room, R>;

    #[doc(hidden)]
    fn values(values: &mut Values<Self::Room, Self::Value>) -> Self::Values;
}

/// Several futures with outputs of one type. Otherwise the same as [`Futures`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not several futures with outputs of one type",
    note = "to race futures with outputs of different types, use `foster::select!`, which has an arm for each",
    note = "or convert the outputs to one type, such as an enum, with `futures::FutureExt::map`"
)]
pub trait AlikeFutures<Shape>: Sized {
    /// The type of the outputs.
    type Value;
    /// The type of one future. For a tuple it is an enum of all of them.
    type Member: Future<Output = Self::Value>;
    /// Where the futures are while they run, as in [`Futures::Room`].
    type Room: Room;

    #[doc(hidden)]
    fn members(self) -> impl Iterator<Item = Self::Member>;

    #[doc(hidden)]
    fn place<R>(self, wrap: impl Fn(Self::Member) -> R) -> Placed<Self::Room, R>;
}

/// The members in a room.
type Placed<K, R> = <K as Room>::Store<R>;

/// The values in a room.
type Values<K, T> = <K as Room>::Slots<T>;

macro_rules! iterable {
    ($shape:ident: $(<$F:ident $(: $bound:ident)?> $type:ty => $item:ty),+) => {
        $(
            impl<$F $(: $bound)?> Futures<$shape> for $type
            where
                $item: Future,
            {
                type Member = $item;
                type Room = Many;
                type Values = Vec<<$item as Future>::Output>;

                fn place<R>(self, wrap: impl Fn($item) -> R) -> Set<R> {
                    Set::collect(self.into_iter().map(wrap))
                }

                fn values(values: &mut Values<Many, <$item as Future>::Output>) -> Self::Values {
                    in_order(mem::take(values))
                }
            }

            impl<$F $(: $bound)?, T, E> TryFutures<$shape> for $type
            where
                $item: Future<Output = Result<T, E>>,
            {
                type Value = T;
                type Error = E;
                type Member = $item;
                type Room = Many;
                type Values = Vec<T>;

                fn place<R>(self, wrap: impl Fn($item) -> R) -> Set<R> {
                    Set::collect(self.into_iter().map(wrap))
                }

                fn values(values: &mut Values<Many, T>) -> Vec<T> {
                    in_order(mem::take(values))
                }
            }

            impl<$F $(: $bound)?> AlikeFutures<$shape> for $type
            where
                $item: Future,
            {
                type Value = <$item as Future>::Output;
                type Member = $item;
                type Room = Many;

                fn members(self) -> impl Iterator<Item = $item> {
                    self.into_iter()
                }

                fn place<R>(self, wrap: impl Fn($item) -> R) -> Set<R> {
                    Set::collect(self.into_iter().map(wrap))
                }
            }
        )+
    };
}

iterable! { Many: <I: Iterator> I => I::Item }
iterable! { Collection: <F> Vec<F> => F, <F> VecDeque<F> => F, <F> Box<[F]> => F }

/// Returns the values that have come. Unlike `flatten`, this keeps them in the allocation that they
/// are in.
#[allow(clippy::filter_map_identity)]
pub(super) fn in_order<T>(values: impl IntoIterator<Item = Option<T>>) -> Vec<T> {
    values.into_iter().filter_map(|value| value).collect()
}

impl<F: Future, const N: usize> Futures<Array> for [F; N]
where
    Few<N>: Length<N>,
{
    type Member = F;
    type Room = <Few<N> as Length<N>>::Room;
    type Values = [F::Output; N];

    #[inline]
    fn place<R>(self, wrap: impl Fn(F) -> R) -> Placed<Self::Room, R> {
        <Few<N> as Length<N>>::place(self, wrap)
    }

    #[inline]
    fn values(values: &mut Values<Self::Room, F::Output>) -> [F::Output; N] {
        array(values)
    }
}

impl<F, T, E, const N: usize> TryFutures<Array> for [F; N]
where
    F: Future<Output = Result<T, E>>,
    Few<N>: Length<N>,
{
    type Value = T;
    type Error = E;
    type Member = F;
    type Room = <Few<N> as Length<N>>::Room;
    type Values = [T; N];

    #[inline]
    fn place<R>(self, wrap: impl Fn(F) -> R) -> Placed<Self::Room, R> {
        <Few<N> as Length<N>>::place(self, wrap)
    }

    #[inline]
    fn values(values: &mut Values<Self::Room, T>) -> [T; N] {
        array(values)
    }
}

impl<F: Future, const N: usize> AlikeFutures<Array> for [F; N]
where
    Few<N>: Length<N>,
{
    type Value = F::Output;
    type Member = F;
    type Room = <Few<N> as Length<N>>::Room;

    fn members(self) -> impl Iterator<Item = F> {
        self.into_iter()
    }

    #[inline]
    fn place<R>(self, wrap: impl Fn(F) -> R) -> Placed<Self::Room, R> {
        <Few<N> as Length<N>>::place(self, wrap)
    }
}

/// Takes out the values of all futures of an array.
#[inline]
fn array<T, const N: usize>(values: &mut impl Slots<T>) -> [T; N] {
    array::from_fn(|index| values.take(index).expect("every member has given its value"))
}

pin_project! {
    /// Wraps an element of a tuple whose futures fail with errors of one type.
    #[derive(Debug)]
    pub struct FallibleMember<M> {
        #[pin]
        member: M,
    }
}

macro_rules! futures {
    ($any:ident $projection:ident $n:literal: $($F:ident $T:ident $i:tt),+) => {
        impl<$($F: Future),+> Future for $any<$($F),+> {
            type Output = $any<$($F::Output),+>;

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                match self.project() {
                    $($projection::$F { it } => it.poll(cx).map(|it| $any::$F { it })),+
                }
            }
        }

        impl<$($F: Future),+> Futures<Tuple> for ($($F,)+) {
            type Member = $any<$($F),+>;
            type Room = Few<$n>;
            type Values = ($($F::Output,)+);

            #[inline]
            fn place<R>(self, wrap: impl Fn(Self::Member) -> R) -> Inline<R, $n> {
                Inline::full([$(Slot::with(wrap($any::$F { it: self.$i }))),+])
            }

            #[inline]
            fn values(values: &mut Values<Few<$n>, <Self::Member as Future>::Output>) -> Self::Values {
                $any::tuple(|index| values.take(index))
            }
        }

        impl<$($F,)+ $($T,)+ Err> Future for FallibleMember<$any<$($F),+>>
        where
            $($F: Future<Output = Result<$T, Err>>),+
        {
            type Output = Result<$any<$($T),+>, Err>;

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                self.project().member.poll(cx).map(|any| match any {
                    $($any::$F { it } => it.map(|it| $any::$F { it })),+
                })
            }
        }

        impl<$($F,)+ $($T,)+ Err> TryFutures<Tuple> for ($($F,)+)
        where
            $($F: Future<Output = Result<$T, Err>>),+
        {
            type Value = $any<$($T),+>;
            type Error = Err;
            type Member = FallibleMember<$any<$($F),+>>;
            type Room = Few<$n>;
            type Values = ($($T,)+);

            #[inline]
            fn place<R>(self, wrap: impl Fn(Self::Member) -> R) -> Inline<R, $n> {
                Inline::full([$(Slot::with(wrap(FallibleMember { member: $any::$F { it: self.$i } }))),+])
            }

            #[inline]
            fn values(values: &mut Values<Few<$n>, Self::Value>) -> Self::Values {
                $any::tuple(|index| values.take(index))
            }
        }

        impl<$($F,)+ Value> Future for Alike<$any<$($F),+>>
        where
            $($F: Future<Output = Value>),+
        {
            type Output = Value;

            #[inline]
            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Value> {
                self.project().member.poll(cx).map(|any| match any {
                    $($any::$F { it } => it),+
                })
            }
        }

        impl<$($F,)+ Value> AlikeFutures<Tuple> for ($($F,)+)
        where
            $($F: Future<Output = Value>),+
        {
            type Value = Value;
            type Member = Alike<$any<$($F),+>>;
            type Room = Few<$n>;

            fn members(self) -> impl Iterator<Item = Self::Member> {
                $any::each(self).map(|member| Alike { member })
            }

            #[inline]
            fn place<R>(self, wrap: impl Fn(Self::Member) -> R) -> Inline<R, $n> {
                Inline::full([$(Slot::with(wrap(Alike { member: $any::$F { it: self.$i } }))),+])
            }
        }
    };
}

for_each_tuple!(futures);
