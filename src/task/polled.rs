//! The name of the child that is being polled on this thread.
//!
//! Only a child that was given a name notes it here, for the length of each poll, and while a
//! simulation watches all of them do. So what is held can tell by whom, and nobody else pays for
//! that.

use std::cell::Cell;
use std::ptr;

use crate::name::Name;

thread_local! {
    /// The name that the innermost call of [`polling`] has borrowed, or null.
    static NAME: Cell<*const Name> = const { Cell::new(ptr::null()) };
}

/// Calls `poll`, which polls the one of this name.
#[inline]
pub(crate) fn polling<R>(name: &Name, poll: impl FnOnce() -> R) -> R {
    /// Puts the former name back, also after a panic.
    struct Back(*const Name);
    impl Drop for Back {
        #[inline]
        fn drop(&mut self) {
            NAME.set(self.0);
        }
    }
    let _back = Back(NAME.replace(name));
    poll()
}

/// Returns the name of the innermost child that is being polled here and has noted it.
#[inline]
pub(crate) fn name() -> Option<Name> {
    let name = NAME.get();
    // SAFETY: it is null, or what the innermost call of `polling` on this thread borrows, which has
    // not returned: calls end in the reverse of their order, and each puts back what it has found.
    // The clone ends the use of it here, and runs no code that could poll.
    unsafe { name.as_ref() }.cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panic::catch;

    #[test]
    fn the_innermost_name_counts_and_the_former_one_comes_back_also_after_a_panic() {
        let [outer, inner] = ["outer", "inner"].map(Name::from);
        assert_eq!(name(), None);
        polling(&outer, || {
            assert_eq!(name().unwrap(), "outer");
            let panicked: Result<(), _> = catch(|| {
                polling(&inner, || {
                    assert_eq!(name().unwrap(), "inner");
                    panic!("in a poll");
                })
            });
            assert!(panicked.is_err());
            assert_eq!(name().unwrap(), "outer");
        });
        assert_eq!(name(), None);
    }
}
