//! `select!`: the first of several futures with outputs of different types.

use std::cell::Cell;
use std::future::Future;

use super::race::Race;
use crate::cancel::{Region, Regions};
use crate::set::{Few, Inline};

/// Waits for the first of several futures, winds the others down, and runs the arm of the first.
///
/// ```text
/// select! {
///     name = future => expression,
///     name = future, if condition => expression,
///     else => expression,
/// }
/// ```
///
/// There are up to twelve arms, separated by commas, which may be left out after a block. The futures may
/// have outputs of different types; the expressions have one type, that of the whole. Each future is polled
/// in the current task, and the arms before `=>` may borrow whatever lies around.
///
/// An expression runs when the other futures are gone. So it may use what they borrowed, even mutably, and it
/// may contain `.await`, `?`, `return`, `break` and `continue`.
///
/// An arm whose `if` condition is false takes no part, and its future is not even made. When that goes for
/// all arms, `else` runs.
///
/// Where several futures are ready in one poll, one of them wins, and in a loop none of them always does: each
/// `select!` begins its polls at another arm.
///
/// The counterpart of `tokio::select!`, `futures::select!` and `asyncio.wait(FIRST_COMPLETED)`. The difference
/// is in the losers: these drop them (asyncio lets them run on), and foster
/// [winds them down](crate::cancel), so that what they clean up is done when the arm runs. Futures with
/// outputs of one type and no arms: [`race`](crate::race).
///
/// # Cancellation
///
/// Losers that need no time to end are dropped, the newest first, and the rest is waited for. What a loser
/// had received and not yet returned is lost with it, as in any race. To keep a future for the next round of a loop, make it
/// outside, pin it, and give `&mut future`: then only the borrow is dropped.
///
/// # Panics
///
/// If no arm takes part and there is no `else`.
///
/// # Cost
///
/// No allocation.
///
/// ```
/// use foster::{select, sleep};
/// use std::time::Duration;
///
/// # futures::executor::block_on(async {
/// let mut log = Vec::new();
/// let answer = select! {
///     text = async { log.push("asked"); "seven" } => {
///         log.push("answered");
///         text.len()
///     }
///     () = sleep(Duration::from_secs(10)) => 0,
/// };
/// assert_eq!((answer, log), (5, vec!["asked", "answered"]));
/// # });
/// ```
///
/// In a loop, with arms that come and go:
///
/// ```
/// use foster::select;
/// use futures::{StreamExt, stream};
///
/// # futures::executor::block_on(async {
/// let (mut numbers, mut words) = (stream::iter([1, 2]), stream::iter(["a"]));
/// let (mut more_numbers, mut more_words, mut seen) = (true, true, Vec::new());
/// loop {
///     select! {
///         number = numbers.next(), if more_numbers => match number {
///             Some(number) => seen.push(number.to_string()),
///             None => more_numbers = false,
///         },
///         word = words.next(), if more_words => match word {
///             Some(word) => seen.push(word.to_string()),
///             None => more_words = false,
///         },
///         else => break,
///     }
/// }
/// seen.sort();
/// assert_eq!(seen, ["1", "2", "a"]);
/// # });
/// ```
///
/// Two arms cannot both borrow the same thing mutably, since their futures live at the same time:
///
/// ```compile_fail,E0499
/// # futures::executor::block_on(async {
/// let mut n = 0;
/// foster::select! {
///     () = async { n += 1 } => {}
///     () = async { n += 2 } => {}
/// }
/// # });
/// ```
#[macro_export]
macro_rules! select {
    () => {
        ::core::compile_error!("`select!` needs at least one arm: `name = future => expression`")
    };
    ($($arms:tt)+) => {
        $crate::__select! {
            @arm [] [
                A Any1, B Any2, C Any3, D Any4, E Any5, F Any6,
                G Any7, H Any8, I Any9, J Any10, K Any11, L Any12
            ] [] $($arms)+
        }
    };
}

/// Takes one arm after the other. `[$any]` is the type that is any one of as many as there have been, the next
/// list the variants and types for those to come, and the last one the arms so far.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    (@arm [$any:ident] [$($more:tt)*] [$($arms:tt)+] else => $otherwise:expr $(,)?) => {
        $crate::__select! { @run $any [$($arms)+] $otherwise }
    };
    (@arm [$any:ident] [$($more:tt)*] [$($arms:tt)+]) => {
        $crate::__select! {
            @run $any [$($arms)+]
            ::core::panic!("every arm of a `select!` is switched off by its `if`, and there is no `else`")
        }
    };
    (@arm [$($any:ident)?] [] [$($arms:tt)*] $($rest:tt)+) => {
        ::core::compile_error!("`select!` has at most 12 arms: put some of them into a `select!` of their own")
    };
    (@arm [$($any:ident)?] [$arm:ident $next:ident $(, $($more:tt)*)?] [$($arms:tt)*]
        $name:pat = $future:expr, if $condition:expr => $body:block $(, $($rest:tt)*)?) => {
        $crate::__select! {
            @arm [$next] [$($($more)*)?] [$($arms)* ($arm [$name] [$future] [$condition] [$body])] $($($rest)*)?
        }
    };
    (@arm [$($any:ident)?] [$arm:ident $next:ident $(, $($more:tt)*)?] [$($arms:tt)*]
        $name:pat = $future:expr, if $condition:expr => $body:block $($rest:tt)*) => {
        $crate::__select! {
            @arm [$next] [$($($more)*)?] [$($arms)* ($arm [$name] [$future] [$condition] [$body])] $($rest)*
        }
    };
    (@arm [$($any:ident)?] [$arm:ident $next:ident $(, $($more:tt)*)?] [$($arms:tt)*]
        $name:pat = $future:expr, if $condition:expr => $body:expr $(, $($rest:tt)*)?) => {
        $crate::__select! {
            @arm [$next] [$($($more)*)?] [$($arms)* ($arm [$name] [$future] [$condition] [$body])] $($($rest)*)?
        }
    };
    (@arm [$($any:ident)?] [$arm:ident $next:ident $(, $($more:tt)*)?] [$($arms:tt)*]
        $name:pat = $future:expr => $body:block $(, $($rest:tt)*)?) => {
        $crate::__select! {
            @arm [$next] [$($($more)*)?] [$($arms)* ($arm [$name] [$future] [] [$body])] $($($rest)*)?
        }
    };
    (@arm [$($any:ident)?] [$arm:ident $next:ident $(, $($more:tt)*)?] [$($arms:tt)*]
        $name:pat = $future:expr => $body:block $($rest:tt)*) => {
        $crate::__select! {
            @arm [$next] [$($($more)*)?] [$($arms)* ($arm [$name] [$future] [] [$body])] $($rest)*
        }
    };
    (@arm [$($any:ident)?] [$arm:ident $next:ident $(, $($more:tt)*)?] [$($arms:tt)*]
        $name:pat = $future:expr => $body:expr $(, $($rest:tt)*)?) => {
        $crate::__select! {
            @arm [$next] [$($($more)*)?] [$($arms)* ($arm [$name] [$future] [] [$body])] $($($rest)*)?
        }
    };
    // The race ends with the `let`, so that the arms may use what its futures borrowed.
    (@run $any:ident [$(($arm:ident [$name:pat] [$future:expr] [$($condition:expr)?] [$body:expr]))+] $otherwise:expr) => {{
        let first = match $crate::__private::select([
            $($crate::__select! {
                @member [$($condition)?]
                $crate::__private::member($crate::__private::$any::$arm {
                    it: ::core::future::IntoFuture::into_future($future)
                })
            }),+
        ]) {
            ::core::option::Option::Some(race) => ::core::option::Option::Some(race.await),
            ::core::option::Option::None => ::core::option::Option::None,
        };
        match first {
            $(::core::option::Option::Some($crate::__private::$any::$arm { it: first }) => {
                let $name = first;
                $body
            })+
            ::core::option::Option::None => $otherwise,
        }
    }};
    (@member [] $member:expr) => {
        ::core::option::Option::Some($member)
    };
    (@member [$condition:expr] $member:expr) => {
        if $condition { ::core::option::Option::Some($member) } else { ::core::option::Option::None }
    };
}

/// A member of the race.
#[inline]
pub fn member<M: Future>(member: M) -> Region<M> {
    Region::new(member)
}

/// A race of the members that take part; `None` if none does.
#[inline]
pub fn select<M: Future, const N: usize>(members: [Option<Region<M>>; N]) -> Option<Race<Few<N>, M>> {
    Race::of(Regions::of(Inline::new(members, begin_below(N))))
}

/// A number below `n`: where a `select!` begins.
///
/// A loop may run several of them in turn, so a mere counter could give each the same number again and again.
fn begin_below(n: usize) -> usize {
    thread_local! {
        static COUNT: Cell<u32> = const { Cell::new(0) };
    }
    let count = COUNT.get().wrapping_add(0x9e37_79b9);
    COUNT.set(count);
    // The two rounds of a 32-bit mixer (Wellons, "hash-prospector").
    let mut mixed = (count ^ count >> 16).wrapping_mul(0x21f0_aaad);
    mixed = (mixed ^ mixed >> 15).wrapping_mul(0x735a_2d97);
    ((u64::from(mixed) * n as u64) >> 32) as usize
}
