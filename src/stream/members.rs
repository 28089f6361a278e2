//! Streams that are consumed together: tuples, and whatever iterates over streams. As `future::members`.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::future::{Many, Tuple};

/// Several streams: a tuple of up to twelve, an array, a `Vec`, or anything else that iterates over streams.
///
/// `Shape` is [`Many`] or [`Tuple`], and never has to be written.
pub trait Streams<Shape>: Sized {
    /// One of them.
    type Member: Stream;
    /// One item of each: a tuple, or a `Vec`.
    type Items;

    #[doc(hidden)]
    fn members(self) -> impl Iterator<Item = Self::Member>;

    #[doc(hidden)]
    fn items(items: Vec<<Self::Member as Stream>::Item>) -> Self::Items;
}

/// Several streams with items of one type. As [`Streams`].
pub trait AlikeStreams<Shape>: Sized {
    /// What each of them streams.
    type Item;
    /// One of them.
    type Member: Stream<Item = Self::Item>;

    #[doc(hidden)]
    fn members(self) -> impl Iterator<Item = Self::Member>;
}

impl<I> Streams<Many> for I
where
    I: IntoIterator,
    I::Item: Stream,
{
    type Member = I::Item;
    type Items = Vec<<I::Item as Stream>::Item>;

    fn members(self) -> impl Iterator<Item = I::Item> {
        self.into_iter()
    }

    fn items(items: Vec<<I::Item as Stream>::Item>) -> Self::Items {
        items
    }
}

impl<I> AlikeStreams<Many> for I
where
    I: IntoIterator,
    I::Item: Stream,
{
    type Item = <I::Item as Stream>::Item;
    type Member = I::Item;

    fn members(self) -> impl Iterator<Item = I::Item> {
        self.into_iter()
    }
}

pin_project! {
    /// A member of a tuple whose streams have items alike.
    #[derive(Debug)]
    pub struct Alike<M> {
        #[pin]
        member: M,
    }
}

macro_rules! tuple {
    ($any:ident $projection:ident: $($S:ident $i:tt),+) => {
        pin_project! {
            /// Any one of a tuple's.
            #[project = $projection]
            #[allow(missing_docs)]
            #[derive(Debug)]
            pub enum $any<$($S),+> {
                $($S { #[pin] it: $S }),+
            }
        }

        impl<$($S: Stream),+> Stream for $any<$($S),+> {
            type Item = $any<$($S::Item),+>;

            fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
                match self.project() {
                    $($projection::$S { it } => it.poll_next(cx).map(|item| item.map(|it| $any::$S { it }))),+
                }
            }
        }

        impl<$($S: Stream),+> Streams<Tuple> for ($($S,)+) {
            type Member = $any<$($S),+>;
            type Items = ($($S::Item,)+);

            fn members(self) -> impl Iterator<Item = Self::Member> {
                [$($any::$S { it: self.$i }),+].into_iter()
            }

            fn items(items: Vec<<Self::Member as Stream>::Item>) -> Self::Items {
                let mut items = items.into_iter();
                ($(
                    match items.next() {
                        Some($any::$S { it }) => it,
                        _ => unreachable!("items come in the members' order"),
                    },
                )+)
            }
        }

        impl<$($S,)+ Item> Stream for Alike<$any<$($S),+>>
        where
            $($S: Stream<Item = Item>),+
        {
            type Item = Item;

            fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
                self.project().member.poll_next(cx).map(|item| item.map(|any| match any {
                    $($any::$S { it } => it),+
                }))
            }
        }

        impl<$($S,)+ Item> AlikeStreams<Tuple> for ($($S,)+)
        where
            $($S: Stream<Item = Item>),+
        {
            type Item = Item;
            type Member = Alike<$any<$($S),+>>;

            fn members(self) -> impl Iterator<Item = Self::Member> {
                [$(Alike { member: $any::$S { it: self.$i } }),+].into_iter()
            }
        }
    };
}

tuple!(Any1 Any1Projection: A 0);
tuple!(Any2 Any2Projection: A 0, B 1);
tuple!(Any3 Any3Projection: A 0, B 1, C 2);
tuple!(Any4 Any4Projection: A 0, B 1, C 2, D 3);
tuple!(Any5 Any5Projection: A 0, B 1, C 2, D 3, E 4);
tuple!(Any6 Any6Projection: A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(Any7 Any7Projection: A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(Any8 Any8Projection: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
tuple!(Any9 Any9Projection: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
tuple!(Any10 Any10Projection: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
tuple!(Any11 Any11Projection: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
tuple!(Any12 Any12Projection: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
