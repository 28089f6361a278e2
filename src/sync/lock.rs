//! What a mutex and a read-write lock have in common.

/// Makes a lock a [`Line`](super::wait_list::Line): who waits for it waits for permits of its
/// semaphore, `turn`. The text is its name in the report on a stuck simulation.
macro_rules! waits_for_permits {
    ($Lock:ident, $name:literal) => {
        impl<T: ?Sized> Line for $Lock<T> {
            type State = semaphore::State;
            type Ask = usize;
            type Answer = <Semaphore as Line>::Answer;

            fn list(&self) -> &WaitList<Self::State> {
                self.turn.list()
            }

            fn waiters<'s>(&self, state: &'s mut Self::State) -> &'s mut Waiters<usize, Self::Answer> {
                self.turn.waiters(state)
            }

            #[inline]
            fn pass(&self, count: &usize) -> Option<Self::Answer> {
                self.turn.pass(count)
            }

            fn take_free(&self, count: &usize) -> Option<Self::Answer> {
                self.turn.take_free(count)
            }

            fn join(&self, state: &mut Self::State, count: usize, wakes: &mut Wakes) -> Result<Self::Answer, usize> {
                self.turn.join(state, count, wakes)
            }

            fn leave(&self, state: &mut Self::State, count: usize, answer: Option<Self::Answer>, wakes: &mut Wakes) {
                self.turn.leave(state, count, answer, wakes);
            }

            fn describe(&self) -> String {
                format!("{}{}", $name, HeldBy(self.turn.holders()))
            }
        }
    };
}
pub(super) use waits_for_permits;

/// Lets the guard of a lock be narrowed, given up, and used as what it guards. With `mut`, it gives
/// access to change that.
macro_rules! guards {
    ($(#[$map:meta])* $Guard:ident, $Lock:ident $(, $mut:tt)?) => {
        impl<P: Deref<Target = $Lock<T>>, T: ?Sized, U: ?Sized> $Guard<P, T, U> {
            /// Narrows the guard to a part of the value.
            ///
            $(#[$map])*
            pub fn map<V: ?Sized>(guard: Self, part: impl FnOnce(&$($mut)? U) -> &$($mut)? V) -> $Guard<P, T, V> {
                $Guard { access: guard.access.map(part) }
            }

            /// Narrows the guard to a part of the value, if there is such a part.
            ///
            /// # Errors
            ///
            /// Returns the guard if `part` returns `None`.
            pub fn filter_map<V: ?Sized>(
                guard: Self,
                part: impl FnOnce(&$($mut)? U) -> Option<&$($mut)? V>,
            ) -> Result<$Guard<P, T, V>, Self> {
                match guard.access.filter_map(part) {
                    Ok(access) => Ok($Guard { access }),
                    Err(access) => Err($Guard { access }),
                }
            }

            /// Unlocks, and returns the lock, by reference or in its [`Arc`].
            pub fn unlock(guard: Self) -> P {
                guard.access.end()
            }
        }

        impl<P: Deref<Target = $Lock<T>>, T: ?Sized, U: ?Sized> Deref for $Guard<P, T, U> {
            type Target = U;

            #[inline]
            fn deref(&self) -> &U {
                &self.access
            }
        }

        $(impl<P: Deref<Target = $Lock<T>>, T: ?Sized, U: ?Sized> DerefMut for $Guard<P, T, U> {
            #[inline]
            fn deref_mut(&mut self) -> &$mut U {
                &$mut self.access
            }
        })?

        impl<P: Deref<Target = $Lock<T>>, T: ?Sized, U: ?Sized + fmt::Debug> fmt::Debug for $Guard<P, T, U> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<P: Deref<Target = $Lock<T>>, T: ?Sized, U: ?Sized + fmt::Display> fmt::Display for $Guard<P, T, U> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}
pub(super) use guards;
