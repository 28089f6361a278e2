//! Makes one type of the elements of a tuple, which are of different types. Tuples have up to
//! twelve elements.

use pin_project_lite::pin_project;

/// Marks a tuple, as the `Shape` of several futures or streams.
#[derive(Debug)]
pub struct Tuple;

pin_project! {
    /// Wraps an element of a tuple whose futures have outputs of one type, or whose streams have
    /// items of one type.
    #[derive(Debug)]
    pub struct Alike<M> {
        #[pin]
        pub(crate) member: M,
    }
}

/// Calls a macro once for each length of a tuple.
///
/// The macro gets the enum of that length, the enum's projection, the length, and for each element
/// two type names and its index.
macro_rules! for_each_tuple {
    ($with:ident) => {
        $with! { Any1 Any1Projection 1: A TA 0 }
        $with! { Any2 Any2Projection 2: A TA 0, B TB 1 }
        $with! { Any3 Any3Projection 3: A TA 0, B TB 1, C TC 2 }
        $with! { Any4 Any4Projection 4: A TA 0, B TB 1, C TC 2, D TD 3 }
        $with! { Any5 Any5Projection 5: A TA 0, B TB 1, C TC 2, D TD 3, E TE 4 }
        $with! { Any6 Any6Projection 6: A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5 }
        $with! { Any7 Any7Projection 7: A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6 }
        $with! { Any8 Any8Projection 8: A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6, H TH 7 }
        $with! {
            Any9 Any9Projection 9:
            A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6, H TH 7,
            I TI 8
        }
        $with! {
            Any10 Any10Projection 10:
            A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6, H TH 7,
            I TI 8, J TJ 9
        }
        $with! {
            Any11 Any11Projection 11:
            A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6, H TH 7,
            I TI 8, J TJ 9, K TK 10
        }
        $with! {
            Any12 Any12Projection 12:
            A TA 0, B TB 1, C TC 2, D TD 3, E TE 4, F TF 5, G TG 6, H TH 7,
            I TI 8, J TJ 9, K TK 10, L TL 11
        }
    };
}

pub(crate) use for_each_tuple;

macro_rules! any {
    ($any:ident $projection:ident $n:literal: $($F:ident $T:ident $i:tt),+) => {
        pin_project! {
            /// Holds one element of a tuple, in the variant of its place.
            #[project = $projection]
            #[allow(missing_docs)]
            #[derive(Debug)]
            pub enum $any<$($F),+> {
                $($F { #[pin] it: $F }),+
            }
        }

        impl<$($F),+> $any<$($F),+> {
            /// Returns the elements one by one, in the order of the tuple.
            #[inline]
            pub(crate) fn each(tuple: ($($F,)+)) -> impl Iterator<Item = Self> {
                [$($any::$F { it: tuple.$i }),+].into_iter()
            }

            /// Returns the tuple whose elements `take` gives, each by its index, in their order.
            #[inline]
            pub(crate) fn tuple(mut take: impl FnMut(usize) -> Option<Self>) -> ($($F,)+) {
                ($(
                    match take($i) {
                        Some($any::$F { it }) => it,
                        _ => unreachable!("each element has come, and is in its place"),
                    },
                )+)
            }
        }
    };
}

for_each_tuple!(any);
