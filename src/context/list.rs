//! Lists of what is in force at one place, the innermost one first.

use std::sync::Arc;

/// A list, which shares its end with those of the enclosing places.
pub(crate) type List<T> = Option<Arc<ListNode<T>>>;

/// A node of a [`List`].
pub(crate) struct ListNode<T> {
    pub(crate) item: T,
    pub(crate) next: List<T>,
}

impl<T> Drop for ListNode<T> {
    fn drop(&mut self) {
        // This is a loop and not a recursion, because a list may be as long as a chain of spawns.
        let mut next = self.next.take();
        while let Some(node) = next {
            next = Arc::into_inner(node).and_then(|mut node| node.next.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_dropped_without_recursion() {
        let mut list = None;
        (0..1_000_000).for_each(|item| list = Some(Arc::new(ListNode { item, next: list.take() })));
        drop(list);
    }
}
