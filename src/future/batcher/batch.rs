//! One batch: what is in it, who waits for it, and how its results come to them.

use std::collections::HashMap;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::SharedBatcher;
use super::error::{BatchCause, BatchError};
use crate::runtime::Instant;
use crate::sync::Event;
use crate::sync::wait_list::{Line, WaitList};
use crate::sync::waiters::Waiters;
use crate::sync::wakes::Wakes;
use crate::time::{timeout_at, yield_now};

/// One batch, as its callers see it.
pub(super) struct Batch<K, V, E> {
    waits: Waits,
    /// Set when it is not to wait any more.
    pub(super) goes: Event,
    pub(super) list: WaitList<State<K, V, E>>,
}

/// How long a batch waits for more items.
enum Waits {
    /// Until all have had their turn and nobody has come who still waits.
    Quiet,
    Until(Instant),
    /// Until it is told to go.
    Told,
}

/// What is under the lock of a batch.
pub(super) struct State<K, V, E> {
    progress: Progress<K, V, E>,
    /// How many items there are.
    pub(super) count: usize,
    /// How many callers wait for an item.
    callers: usize,
    /// Which of the items each caller waits for, by its place. `None` if it has left.
    places: Vec<Option<usize>>,
    /// Which items callers may share, by their hashes. What has its place there is not hashed
    /// again, so that a `Hash` that panics changes nothing.
    shared: HashMap<u64, Vec<usize>>,
    /// Clones a result that callers share.
    clone: Option<fn(&V) -> V>,
    waiters: Waiters<(), ()>,
}

enum Progress<K, V, E> {
    Gathering {
        items: Vec<BatchItem<K>>,
    },
    UnderWay,
    /// The results by the places of the callers. They are fetched once each.
    Ended(Result<Vec<Option<V>>, BatchError<E>>),
}

struct BatchItem<K> {
    /// `None` if all who wait for it have left.
    item: Option<K>,
    callers: usize,
}

const GATHERING: &str = "the open batch is being gathered";

/// Whose the results of a batch are.
pub(super) struct Shares<V> {
    /// How many callers wait for each item.
    callers: Vec<usize>,
    /// Which of these items each caller waits for, by its place. `None` if it has left.
    places: Vec<Option<usize>>,
    clone: Option<fn(&V) -> V>,
}

impl<K, V, E> Batch<K, V, E> {
    /// Creates one that waits for `delay` from `now`, if there is one.
    pub(super) fn new(delay: Option<Duration>, now: Instant) -> Self {
        let until = |delay| now.checked_add(delay).map_or(Waits::Told, Waits::Until);
        let waits = delay.map_or(Waits::Quiet, until);
        let state = State {
            progress: Progress::Gathering { items: Vec::new() },
            count: 0,
            callers: 0,
            places: Vec::new(),
            shared: HashMap::new(),
            clone: None,
            waiters: Waiters::new(),
        };
        Batch { waits, goes: Event::new(), list: WaitList::new(state) }
    }

    /// Whether it may wait for items up to `deadline` or longer.
    pub(super) fn waits_until(&self, deadline: Instant) -> bool {
        match self.waits {
            Waits::Quiet => false,
            Waits::Until(due) => due >= deadline,
            Waits::Told => true,
        }
    }

    /// Waits until the batch is to begin.
    pub(super) async fn gather(&self) {
        match self.waits {
            Waits::Until(due) => _ = timeout_at(due, self.goes.wait()).await,
            Waits::Told => self.goes.wait().await,
            Waits::Quiet => {
                let mut before = self.list.with(|state| state.places.len());
                while !self.goes.is_set() {
                    yield_now().await;
                    let (now, has_come) = self.list.with(|state| {
                        let come = &state.places[before..];
                        (state.places.len(), come.iter().any(Option::is_some))
                    });
                    if !has_come {
                        return;
                    }
                    before = now;
                }
            }
        }
    }

    /// Takes the items out, for the worker. From now on none is added or taken out.
    pub(super) fn begin(&self) -> (Vec<K>, Shares<V>) {
        self.list.with(|state| {
            let Progress::Gathering { items } = mem::replace(&mut state.progress, Progress::UnderWay) else {
                unreachable!("it begins once");
            };
            let mut shares = Shares { callers: Vec::new(), places: Vec::new(), clone: state.clone };
            let (mut taken, mut indices) = (Vec::new(), Vec::with_capacity(items.len()));
            for BatchItem { item, callers } in items {
                indices.push(taken.len());
                if let Some(item) = item {
                    taken.push(item);
                    shares.callers.push(callers);
                }
            }
            shares.places = state.places.iter().map(|item| item.map(|item| indices[item])).collect();
            (taken, shares)
        })
    }

    /// Whether nobody waits for an item, and it would wait to be told for ever.
    pub(super) fn is_deserted(&self) -> bool {
        matches!(self.waits, Waits::Told) && self.list.with(|state| state.callers == 0)
    }

    pub(super) fn end(&self, outcome: Result<Vec<Option<V>>, BatchError<E>>) {
        // What was in its place is dropped when the lock has been released.
        let _before = self.list.change(|state, wakes| {
            state.waiters.answer_where(wakes, |()| Some(()));
            mem::replace(&mut state.progress, Progress::Ended(outcome))
        });
    }

    pub(super) fn has_ended(&self) -> bool {
        self.list.with(|state| matches!(state.progress, Progress::Ended(_)))
    }
}

impl<K, V, E> State<K, V, E> {
    /// Adds an item. Returns the place of its caller.
    pub(super) fn add(&mut self, item: K) -> usize {
        let items = self.items();
        items.push(BatchItem { item: Some(item), callers: 0 });
        let index = items.len() - 1;
        self.count += 1;
        self.seat(index)
    }

    /// Adds an item, whose hash is given, or a caller to one that is equal. An item that is not
    /// needed stays where it is, so that it is not dropped under the lock, also if `Eq` panics.
    pub(super) fn add_shared(&mut self, hash: u64, item: &mut Option<K>) -> usize
    where
        K: Eq,
        V: Clone,
    {
        let indices = self.shared.get(&hash).map_or(&[][..], |indices| indices);
        let Progress::Gathering { items } = &self.progress else { unreachable!("{GATHERING}") };
        let equal = indices.iter().copied().find(|&index| items[index].item == *item);
        // All who asked for what was in its place have left.
        let vacant = || indices.iter().copied().find(|&index| items[index].item.is_none());
        let index = equal.or_else(vacant).unwrap_or(items.len());
        self.clone = Some(V::clone);
        if equal.is_some() {
            return self.seat(index);
        }
        let items = self.items();
        match items.get_mut(index) {
            Some(vacant) => vacant.item = item.take(),
            None => {
                items.push(BatchItem { item: item.take(), callers: 0 });
                self.shared.entry(hash).or_default().push(index);
            }
        }
        self.count += 1;
        self.seat(index)
    }

    fn items(&mut self) -> &mut Vec<BatchItem<K>> {
        match &mut self.progress {
            Progress::Gathering { items } => items,
            Progress::UnderWay | Progress::Ended(_) => unreachable!("{GATHERING}"),
        }
    }

    /// Adds a caller of an item. Returns its place.
    fn seat(&mut self, index: usize) -> usize {
        self.items()[index].callers += 1;
        self.callers += 1;
        self.places.push(Some(index));
        self.places.len() - 1
    }

    /// Lets a caller leave. Returns its item if nobody else waits for it, and whether nobody waits
    /// for any.
    fn leave(&mut self, place: usize) -> (Option<K>, bool) {
        let Progress::Gathering { items } = &mut self.progress else { return (None, false) };
        let Some(index) = self.places[place].take() else { return (None, false) };
        self.callers -= 1;
        let item = &mut items[index];
        item.callers -= 1;
        if item.callers > 0 {
            return (None, false);
        }
        self.count -= 1;
        (item.item.take(), self.callers == 0)
    }
}

impl<V> Shares<V> {
    /// Gives the results of the items to the callers, by their places.
    ///
    /// # Errors
    ///
    /// Returns an error if there are not as many results as items.
    pub(super) fn deal<E>(mut self, results: Vec<V>) -> Result<Vec<Option<V>>, BatchError<E>> {
        let (items, mut results) = (self.callers.len(), results.into_iter().map(Some).collect::<Vec<_>>());
        if results.len() != items {
            return Err(BatchError::new(BatchCause::Miscounted { items, results: results.len() }));
        }
        let mut deal = |item: usize| {
            self.callers[item] -= 1;
            let result = &mut results[item];
            match (self.clone, self.callers[item]) {
                (_, 0) => result.take(),
                (Some(clone), _) => result.as_ref().map(clone),
                (None, _) => unreachable!("callers share no item without a way to clone its result"),
            }
        };
        Ok(self.places.into_iter().map(|item| deal(item?)).collect())
    }
}

/// The place of a caller in a batch.
pub(super) struct BatchSeat<K, V, E> {
    pub(super) board: Arc<SharedBatcher<K, V, E>>,
    pub(super) batch: Arc<Batch<K, V, E>>,
    pub(super) place: usize,
}

impl<K, V, E> BatchSeat<K, V, E> {
    /// Fetches the result, of a batch that has ended.
    pub(super) fn fetch(&self) -> Result<V, BatchError<E>> {
        self.batch.list.with(|state| match &mut state.progress {
            Progress::Ended(Ok(values)) => Ok(values[self.place].take().expect("it is fetched once")),
            Progress::Ended(Err(error)) => Err(error.clone()),
            Progress::Gathering { .. } | Progress::UnderWay => unreachable!("it has ended"),
        })
    }
}

impl<K, V, E> Deref for BatchSeat<K, V, E> {
    type Target = Batch<K, V, E>;

    fn deref(&self) -> &Batch<K, V, E> {
        &self.batch
    }
}

impl<K, V, E> Drop for BatchSeat<K, V, E> {
    fn drop(&mut self) {
        // The item is dropped last, when no lock is held.
        let (_item, is_last) = self.batch.list.with(|state| state.leave(self.place));
        if is_last {
            self.board.desert(&self.batch);
        }
    }
}

impl<K, V, E> Line for Batch<K, V, E> {
    type State = State<K, V, E>;
    type Ask = ();
    type Answer = ();

    fn list(&self) -> &WaitList<State<K, V, E>> {
        &self.list
    }

    fn waiters<'s>(&self, state: &'s mut State<K, V, E>) -> &'s mut Waiters<(), ()> {
        &mut state.waiters
    }

    fn join(&self, state: &mut State<K, V, E>, (): (), _: &mut Wakes) -> Result<(), ()> {
        if matches!(state.progress, Progress::Ended(_)) { Ok(()) } else { Err(()) }
    }

    fn leave(&self, _: &mut State<K, V, E>, (): (), _: Option<()>, _: &mut Wakes) {}

    fn describe(&self) -> String {
        "batch".into()
    }
}
