//! A limit that threads move at the same time.

use super::{Arc, block_on, model, thread};
use crate::rate::AdaptiveLimit;

#[test]
fn as_many_are_let_through_as_the_limit_says_after_two_have_moved_it() {
    model(|| {
        let limit = Arc::new(AdaptiveLimit::new(1, 8));
        limit.try_acquire().unwrap().success();
        let other = limit.clone();
        let thread = thread::spawn(move || block_on(other.acquire()).overload());
        block_on(limit.acquire()).success();
        thread.join().unwrap();
        let permits: Vec<_> = std::iter::from_fn(|| limit.try_acquire().ok()).collect();
        assert_eq!(permits.len(), limit.limit());
    });
}
