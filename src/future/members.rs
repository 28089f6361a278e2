//! What can be waited for together: tuples, and whatever iterates over futures.
//!
//! All of it becomes one kind of thing, a number of members of one type, for the one engine. A tuple's members are of a
//! type that is any one of the tuple's; the values find back into their places at the end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::tuples::*;

/// Several futures: a tuple of up to twelve, an array, a `Vec`, or anything else that iterates over futures.
///
/// `Shape` is [`Many`] or [`Tuple`], and never has to be written.
///
/// Futures of several types that cannot be a tuple, as their number is not known, are boxed:
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
pub trait Futures<Shape>: Sized {
    /// One of them.
    type Member: Future;
    /// Their values: a tuple, or a `Vec`.
    type Values;

    #[doc(hidden)]
    fn members(self) -> impl Iterator<Item = Self::Member>;

    #[doc(hidden)]
    fn values(values: Vec<<Self::Member as Future>::Output>) -> Self::Values;
}

/// Several futures that may fail, with errors of one type. As [`Futures`].
pub trait TryFutures<Shape>: Sized {
    /// What one of them has.
    type Value;
    /// How they fail.
    type Error;
    /// One of them.
    type Member: Future<Output = Result<Self::Value, Self::Error>>;
    /// Their values: a tuple, or a `Vec`.
    type Values;

    #[doc(hidden)]
    fn members(self) -> impl Iterator<Item = Self::Member>;

    #[doc(hidden)]
    fn values(values: Vec<Self::Value>) -> Self::Values;
}

/// Several futures with values of one type. As [`Futures`].
pub trait AlikeFutures<Shape>: Sized {
    /// What each of them has.
    type Value;
    /// One of them.
    type Member: Future<Output = Self::Value>;

    #[doc(hidden)]
    fn members(self) -> impl Iterator<Item = Self::Member>;
}

impl<I> Futures<Many> for I
where
    I: IntoIterator,
    I::Item: Future,
{
    type Member = I::Item;
    type Values = Vec<<I::Item as Future>::Output>;

    fn members(self) -> impl Iterator<Item = I::Item> {
        self.into_iter()
    }

    fn values(values: Vec<<I::Item as Future>::Output>) -> Self::Values {
        values
    }
}

impl<I, T, E> TryFutures<Many> for I
where
    I: IntoIterator,
    I::Item: Future<Output = Result<T, E>>,
{
    type Value = T;
    type Error = E;
    type Member = I::Item;
    type Values = Vec<T>;

    fn members(self) -> impl Iterator<Item = I::Item> {
        self.into_iter()
    }

    fn values(values: Vec<T>) -> Vec<T> {
        values
    }
}

impl<I> AlikeFutures<Many> for I
where
    I: IntoIterator,
    I::Item: Future,
{
    type Value = <I::Item as Future>::Output;
    type Member = I::Item;

    fn members(self) -> impl Iterator<Item = I::Item> {
        self.into_iter()
    }
}

pin_project! {
    /// A member of a tuple whose futures fail alike.
    #[derive(Debug)]
    pub struct Fallible<M> {
        #[pin]
        member: M,
    }
}

macro_rules! futures {
    ($any:ident $projection:ident: $($F:ident $T:ident $i:tt),+) => {
        impl<$($F: Future),+> Future for $any<$($F),+> {
            type Output = $any<$($F::Output),+>;

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                match self.project() {
                    $($projection::$F { it } => it.poll(cx).map(|it| $any::$F { it })),+
                }
            }
        }

        impl<$($F: Future),+> Futures<Tuple> for ($($F,)+) {
            type Member = $any<$($F),+>;
            type Values = ($($F::Output,)+);

            fn members(self) -> impl Iterator<Item = Self::Member> {
                $any::each(self)
            }

            fn values(values: Vec<<Self::Member as Future>::Output>) -> Self::Values {
                $any::tuple(values)
            }
        }

        impl<$($F,)+ $($T,)+ Err> Future for Fallible<$any<$($F),+>>
        where
            $($F: Future<Output = Result<$T, Err>>),+
        {
            type Output = Result<$any<$($T),+>, Err>;

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
            type Member = Fallible<$any<$($F),+>>;
            type Values = ($($T,)+);

            fn members(self) -> impl Iterator<Item = Self::Member> {
                $any::each(self).map(|member| Fallible { member })
            }

            fn values(values: Vec<Self::Value>) -> Self::Values {
                $any::tuple(values)
            }
        }

        impl<$($F,)+ Value> Future for Alike<$any<$($F),+>>
        where
            $($F: Future<Output = Value>),+
        {
            type Output = Value;

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

            fn members(self) -> impl Iterator<Item = Self::Member> {
                $any::each(self).map(|member| Alike { member })
            }
        }
    };
}

for_each_tuple!(futures);
