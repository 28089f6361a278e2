//! Lists of what is in force at one place, the innermost one first.

use std::sync::Arc;

/// A list, which shares its end with those of the enclosing places.
pub(crate) type List<T> = Option<Arc<Node<T>>>;

/// A node of a [`List`].
pub(crate) struct Node<T> {
    pub(crate) item: T,
    pub(crate) next: List<T>,
}
