//! One value, for which several threads come at the same time.
//!
//! Loom does not see the accesses to the value. So each thread takes the lock first, for loom to
//! try who comes when.

use std::sync::Arc;

use super::{block_on, model, thread};
use crate::engine::atomics::{AtomicUsize, Ordering};
use crate::sync::OnceCell;

#[test]
fn one_thread_initialises_a_cell_and_all_get_its_value() {
    model(|| {
        let (cell, begun) = (Arc::new(OnceCell::new()), Arc::new(AtomicUsize::new(0)));
        let work = {
            let (cell, begun) = (cell.clone(), begun.clone());
            move || {
                cell.statistics();
                let value = *block_on(cell.get_or_init(async || begun.fetch_add(1, Ordering::Relaxed)));
                assert_eq!(value, 0);
            }
        };
        let threads = [thread::spawn(work.clone()), thread::spawn(work.clone())];
        work();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((begun.load(Ordering::Relaxed), cell.statistics().waiting()), (1, 0));
    });
}

#[test]
fn a_value_that_is_set_or_a_turn_that_is_left_is_noticed() {
    model(|| {
        let cell = Arc::new(OnceCell::new());
        let (setting, failing) = (cell.clone(), cell.clone());
        let setter = thread::spawn(move || setting.set(1).is_ok());
        let failer = thread::spawn(move || {
            failing.statistics();
            block_on(failing.get_or_try_init(async || Err(()))).is_ok()
        });
        cell.statistics();
        let value = *block_on(cell.get_or_init(async || 2));
        let (was_set, _) = (setter.join().unwrap(), failer.join().unwrap());
        assert_eq!(value, if was_set { 1 } else { 2 });
        assert_eq!((cell.get(), cell.statistics().in_use()), (Some(&value), 0));
    });
}
