//! Waits for the first of several futures with outputs of different types: `select!`.

use std::cell::Cell;
use std::future::Future;

use super::race::Race;
use crate::cancel::{Region, Regions};
use crate::engine::{Few, Inline};

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
/// There are up to twelve arms, separated by commas. The comma may be left out after a block. The
/// futures may have outputs of different types. The expressions have one type, which is that of the
/// whole `select!`. All futures are polled in the current task, and may borrow from the enclosing
/// function.
///
/// An expression runs when the other futures are gone. So it may use what they borrowed, even
/// mutably, and it may contain `.await`, `?`, `return`, `break` and `continue`.
///
/// An arm whose `if` condition is false takes no part, and its future is not made. All conditions
/// are evaluated before the first future is made. If no arm takes part, `else` runs.
///
/// If several futures are ready in one poll, one of them wins. Each `select!` begins its polls at
/// another arm, so in a loop no arm always wins.
///
/// This is the counterpart of `tokio::select!`, `futures::select!` and
/// `asyncio.wait(FIRST_COMPLETED)`. They differ in the losers. Those macros drop them, and asyncio
/// lets them run on. foster [winds them down](crate::cancel), so their cleanup is done when the arm
/// runs. For futures with outputs of one type and no arms, use [`race`](crate::race).
///
/// # Cancellation
///
/// Losers that need no time to end are dropped, the newest first, and the rest is waited for. What
/// a loser has received and not returned is lost with it, as in any race. To keep a future for the
/// next round of a loop, make it outside, pin it, and pass `&mut future`. Then only the borrow is
/// dropped.
///
/// # Panics
///
/// Panics if no arm takes part and there is no `else`.
///
/// # Cost
///
/// No allocation. All pending futures are polled when one is woken, as in
/// [`gather`](crate::gather).
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
/// Arms may come and go in a loop:
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
/// Two futures cannot borrow the same value mutably, since they live at the same time:
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

/// Takes one arm after the other.
///
/// `[$any]` is the enum for as many arms as there have been. The next list has the variants and
/// enums for the arms to come. The last list has the arms so far.
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
    // The race is dropped at the end of the `let`, before an arm runs, so that the arm may use what
    // the futures borrowed.
    (@run $any:ident
        [$(($arm:ident [$name:pat] [$future:expr] [$($condition:expr)?] [$body:expr]))+] $otherwise:expr) => {{
        // All conditions come before the futures, which may borrow what they look at.
        let mut conditions = ::core::iter::IntoIterator::into_iter([
            $($crate::__select! { @condition [$($condition)?] }),+
        ]);
        let first = match $crate::__private::select([
            $($crate::__select! {
                @member conditions [$($condition)?]
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
                #[allow(unused_parens)]
                let ($name) = first;
                $body
            })+
            ::core::option::Option::None => $otherwise,
        }
    }};
    (@condition []) => {
        true
    };
    (@condition [$condition:expr]) => {
        $condition
    };
    (@member $conditions:ident [] $member:expr) => {{
        let _ = ::core::iter::Iterator::next(&mut $conditions);
        ::core::option::Option::Some($member)
    }};
    (@member $conditions:ident [$condition:expr] $member:expr) => {
        if ::core::iter::Iterator::next(&mut $conditions) == ::core::option::Option::Some(true) {
            ::core::option::Option::Some($member)
        } else {
            ::core::option::Option::None
        }
    };
}

/// Makes a member of the race of a `select!`.
#[inline]
pub fn member<M: Future>(member: M) -> Region<M> {
    Region::new(member)
}

/// Makes a race of the members that take part. Returns `None` if none does.
#[inline]
pub fn select<M: Future, const N: usize>(members: [Option<Region<M>>; N]) -> Option<Race<Few<N>, M>> {
    Race::of(Regions::of(Inline::some(members, begin_below(N))))
}

/// Returns the number, below `n`, of the arm at which a `select!` begins.
///
/// A loop may run several of them in turn. So a plain counter could give each of them the same
/// number again and again.
fn begin_below(n: usize) -> usize {
    thread_local! {
        static COUNT: Cell<u32> = const { Cell::new(0) };
    }
    let count = COUNT.get().wrapping_add(0x9e37_79b9);
    COUNT.set(count);
    // Two rounds of a 32-bit mixer (Wellons, "hash-prospector").
    let mut mixed = (count ^ count >> 16).wrapping_mul(0x21f0_aaad);
    mixed = (mixed ^ mixed >> 15).wrapping_mul(0x735a_2d97);
    ((u64::from(mixed) * n as u64) >> 32) as usize
}
