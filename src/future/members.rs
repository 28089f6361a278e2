//! What can be waited for together: tuples, and whatever iterates over futures.
//!
//! All of it becomes one kind of thing, a number of members of one type, for the one engine. A tuple's members are of a
//! type that is any one of the tuple's; the values find back into their places at the end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// Marks what iterates over futures of one type: an array, a `Vec`, an iterator.
#[derive(Debug)]
pub struct Many;

/// Marks a tuple.
#[derive(Debug)]
pub struct Tuple;

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

pin_project! {
    /// A member of a tuple whose futures have values alike.
    #[derive(Debug)]
    pub struct Alike<M> {
        #[pin]
        member: M,
    }
}

macro_rules! tuple {
    ($any:ident $projection:ident: $($F:ident $T:ident $i:tt),+) => {
        pin_project! {
            /// Any one of a tuple's.
            #[project = $projection]
            #[allow(missing_docs)]
            #[derive(Debug)]
            pub enum $any<$($F),+> {
                $($F { #[pin] it: $F }),+
            }
        }

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
                [$($any::$F { it: self.$i }),+].into_iter()
            }

            fn values(values: Vec<<Self::Member as Future>::Output>) -> Self::Values {
                let mut values = values.into_iter();
                ($(
                    match values.next() {
                        Some($any::$F { it }) => it,
                        _ => unreachable!("values come in the members' order"),
                    },
                )+)
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
                [$(Fallible { member: $any::$F { it: self.$i } }),+].into_iter()
            }

            fn values(values: Vec<Self::Value>) -> Self::Values {
                let mut values = values.into_iter();
                ($(
                    match values.next() {
                        Some($any::$F { it }) => it,
                        _ => unreachable!("values come in the members' order"),
                    },
                )+)
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
                [$(Alike { member: $any::$F { it: self.$i } }),+].into_iter()
            }
        }
    };
}

tuple!(Any1 Any1Projection: A TA 0);
tuple!(Any2 Any2Projection: A TA 0, B TB 1);
tuple!(Any3 Any3Projection: A TA 0, B TB 1, C TC 2);
tuple!(Any4 Any4Projection: A TA 0, B TB 1, C TC 2, D TD 3);
tuple!(Any5 Any5Projection: A TA 0, B TB 1, C TC 2, D TD 3, E TE 4);
tuple!(Any6 Any6Projection: A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5);
tuple!(Any7 Any7Projection: A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6);
tuple!(Any8 Any8Projection: A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6, H TH 7);
tuple!(Any9 Any9Projection: A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6, H TH 7, I TI 8);
tuple!(Any10 Any10Projection: A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6, H TH 7, I TI 8, J TJ 9);
tuple!(Any11 Any11Projection: A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6, H TH 7, I TI 8, J TJ 9, K TK 10);
tuple!(Any12 Any12Projection: A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6, H TH 7, I TI 8, J TJ 9, K TK 10, L TL 11);
