//! Lists of what is in force at one place, the innermost one first.

use std::cell::Cell;
use std::sync::Arc;

use super::Ambient;

/// A list, which shares its end with those of the enclosing places.
pub(crate) type List<T> = Option<Arc<Node<T>>>;

/// A node of a [`List`].
pub(crate) struct Node<T> {
    pub(crate) item: T,
    pub(crate) next: List<T>,
}

/// Makes `node` one with `item`, in front of the `enclosing` list. A node that is right already is
/// kept, which is so unless the future that has it was moved.
pub(crate) fn renew<T>(node: &mut List<T>, enclosing: &Cell<List<T>>, item: impl FnOnce() -> T) {
    let place = |list: Option<&Arc<Node<T>>>| list.map(Arc::as_ptr);
    let renewed = Ambient::peek(enclosing, |enclosing| {
        let stale = node.as_ref().is_none_or(|node| place(node.next.as_ref()) != place(enclosing));
        stale.then(|| Arc::new(Node { item: item(), next: enclosing.cloned() }))
    });
    if renewed.is_some() {
        *node = renewed;
    }
}
