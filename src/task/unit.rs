//! The value of a type that may turn out to be `()`.

use std::any::TypeId;
use std::marker::PhantomData;
use std::mem;

/// Returns the value of `T` where `T` is `()`: then there is no more to know of it.
pub(crate) fn unit<T>() -> Option<T> {
    let is_unit = type_id::<T>() == TypeId::of::<()>();
    // SAFETY: `T` is `()`, which has no lifetimes that its id could be blind to; nothing is read.
    is_unit.then(|| unsafe { mem::transmute_copy::<(), T>(&()) })
}

/// The id of `T`, which borrows whatever it may.
fn type_id<T>() -> TypeId {
    trait Identify {
        fn id(&self) -> TypeId
        where
            Self: 'static;
    }

    impl<T> Identify for PhantomData<T> {
        fn id(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<T>()
        }
    }

    let phantom = PhantomData::<T>;
    let object: &dyn Identify = &phantom;
    // SAFETY: `id` needs `'static` to be callable, and uses nothing that lives for it: the id of a
    // type does not depend on lifetimes.
    let object = unsafe { mem::transmute::<&dyn Identify, &(dyn Identify + 'static)>(object) };
    object.id()
}

#[cfg(test)]
mod tests {
    use super::unit;

    #[test]
    fn the_unit_alone_has_a_value() {
        fn of<T>(_: &T) -> bool {
            unit::<T>().is_some()
        }

        let borrowed = String::new();
        assert!(of(&()));
        assert!(!of(&((),)) && !of(&7) && !of(&borrowed.as_str()) && !of(&[(); 1]) && !of(&Ok::<(), ()>(())));
    }
}
