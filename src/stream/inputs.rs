//! Takes streams that are consumed together: tuples, and whatever iterates over streams. It is
//! built like `future::inputs`.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::engine::Many;
use crate::future::tuples::*;

/// Several streams: a tuple of up to twelve, an array, a `Vec`, or anything else that iterates over
/// streams.
///
/// `Shape` is [`Many`] or [`Tuple`]. It is always inferred.
pub trait Streams<Shape>: Sized {
    /// The type of one stream. For a tuple it is an enum of all of them.
    type Member: Stream;
    /// One item of each stream: a tuple or a `Vec`.
    type Items;

    #[doc(hidden)]
    fn members(self) -> impl Iterator<Item = Self::Member>;

    #[doc(hidden)]
    fn items(items: Vec<<Self::Member as Stream>::Item>) -> Self::Items;
}

/// Several streams with items of one type: a tuple of up to twelve, an array, a `Vec`, or anything
/// else that iterates over streams.
///
/// `Shape` is inferred, as for [`Streams`].
pub trait AlikeStreams<Shape>: Sized {
    /// The type of the items.
    type Item;
    /// The type of one stream. For a tuple it is an enum of all of them.
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

macro_rules! streams {
    ($any:ident $projection:ident $n:literal: $($S:ident $T:ident $i:tt),+) => {
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
                $any::each(self)
            }

            fn items(items: Vec<<Self::Member as Stream>::Item>) -> Self::Items {
                let mut items = items.into_iter();
                $any::tuple(|_| items.next())
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
                $any::each(self).map(|member| Alike { member })
            }
        }
    };
}

for_each_tuple!(streams);
