use super::*;

/// A small generator of pseudo-random numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Random calls against the plainest set there could be: a map, and the set of those who have to be
/// polled.
#[test]
fn it_does_what_a_simple_model_does() {
    for seed in 1..=300 {
        let mut random = Random(seed << 32 | seed);
        let drops = Cell::new(0);
        let (parent, waker) = Parent::new();
        let mut set = match random.below(2) {
            0 => Set::new(),
            _ => Set::with_capacity(random.below(200)),
        };
        let (mut members, mut ready) = (BTreeSet::new(), BTreeSet::new());
        let mut wakers: BTreeMap<usize, Waker> = BTreeMap::new();
        let (mut inserted, mut asleep) = (0, false);
        for _ in 0..400 {
            match random.below(10) {
                0..=3 => {
                    let key = set.insert(CountDrop(&drops)).index();
                    inserted += 1;
                    asleep = false;
                    assert!(members.insert(key));
                    ready.insert(key);
                }
                4 => {
                    let key = random.below(200);
                    assert_eq!(set.remove(Key(key as u32)), members.remove(&key));
                    ready.remove(&key);
                }
                5..=7 if !wakers.is_empty() => {
                    let nth = random.below(wakers.len());
                    let (&key, waker) = wakers.iter().nth(nth).unwrap();
                    waker.wake_by_ref();
                    if members.contains(&key) {
                        ready.insert(key);
                        assert!(!asleep || parent.woken() > 0);
                        asleep = false;
                    }
                    if random.below(4) == 0 {
                        wakers.remove(&key);
                    }
                }
                8 => {
                    set.wake(Key(random.below(100) as u32));
                    // Whether there is such a member or not, the model finds out by what is polled.
                    ready = members.clone();
                    members.iter().for_each(|&key| set.wake(Key(key as u32)));
                    asleep = false;
                }
                _ => {
                    let mut polled = BTreeSet::new();
                    loop {
                        let step = set.poll_next(&mut Context::from_waker(&waker), |key, _, cx| {
                            let key = key.index();
                            polled.insert(key);
                            wakers.insert(key, cx.waker().clone());
                            match random.below(3) {
                                0 => Poll::Ready(key),
                                _ => Poll::Pending,
                            }
                        });
                        match step {
                            Poll::Ready(Some((key, same))) => {
                                assert_eq!(key.index(), same);
                                assert!(members.remove(&same));
                            }
                            Poll::Ready(None) => break,
                            Poll::Pending if parent.woken() == 0 => break,
                            Poll::Pending => {}
                        }
                    }
                    // A slot's stale wake-up may poll its next member once too often, but nobody is
                    // forgotten.
                    assert!(polled.is_superset(&ready), "seed {seed}");
                    ready.clear();
                    asleep = !members.is_empty();
                }
            }
            assert_eq!(set.keys().map(Key::index).collect::<Vec<_>>(), members.iter().copied().collect::<Vec<_>>());
            assert_eq!((set.len(), drops.get()), (members.len(), inserted - members.len()));
        }
        drop(set);
        assert_eq!(drops.get(), inserted);
    }
}

/// What members do while they are polled, and what is done between the results of a pass. Whoever
/// is to be polled is polled before the set sleeps.
#[test]
fn it_forgets_nobody_whatever_members_and_callers_do() {
    for seed in 1..=300 {
        let mut random = Random(seed << 32 | seed);
        let (parent, waker) = Parent::new();
        let mut cx = Context::from_waker(&waker);
        let mut set = match random.below(2) {
            0 => Set::new(),
            _ => Set::with_capacity(random.below(200)),
        };
        // How many keep their wakers, in tenths: without one, a block is the set's alone.
        let (clones, most) = (random.below(3), [3, 20, 150][random.below(3)]);
        let (mut members, mut due) = (BTreeSet::new(), BTreeSet::new());
        let mut wakers: BTreeMap<usize, Waker> = BTreeMap::new();
        let mut asleep = false;
        for left in (0..500).rev() {
            // At last it is polled alone, until it comes to rest.
            let act = if left < 100 { usize::MAX } else { random.below(16) };
            match act {
                0..=3 if set.len() < most => {
                    let key = set.insert(()).index();
                    assert!(members.insert(key) && due.insert(key));
                    asleep = false;
                }
                4 => {
                    let key = random.below(most);
                    assert_eq!(set.remove(Key(key as u32)), members.remove(&key));
                }
                5 => {
                    let key = random.below(most);
                    set.wake(Key(key as u32));
                    due.insert(key);
                    asleep = false;
                }
                6 if random.below(8) == 0 => {
                    set.retain(|_| random.below(3) > 0);
                    members = set.keys().map(Key::index).collect();
                }
                7 | 8 if !wakers.is_empty() => {
                    let nth = random.below(wakers.len());
                    let (&key, waker) = wakers.iter().nth(nth).unwrap();
                    waker.wake_by_ref();
                    due.insert(key);
                    assert!(!asleep || !members.contains(&key) || parent.woken() > 0, "seed {seed}");
                    asleep &= !members.contains(&key);
                    if random.below(3) == 0 {
                        wakers.remove(&key);
                    }
                }
                _ => {
                    let polled = set.poll_until(&mut cx, |key, _, cx| {
                        let key = key.index();
                        assert!(members.contains(&key), "seed {seed}: {key} is no member");
                        due.remove(&key);
                        if act == usize::MAX {
                            return Poll::Pending;
                        }
                        if random.below(10) < clones {
                            wakers.insert(key, cx.waker().clone());
                        }
                        if random.below(3) == 0 {
                            cx.waker().wake_by_ref();
                            due.insert(key);
                        }
                        if !wakers.is_empty() && random.below(4) == 0 {
                            let nth = random.below(wakers.len());
                            let (&other, waker) = wakers.iter().nth(nth).unwrap();
                            waker.wake_by_ref();
                            due.insert(other);
                        }
                        let answer = match random.below(12) {
                            0 | 1 => Answer::Done,
                            2 => Answer::Last(()),
                            3 => {
                                due.insert(key);
                                return Poll::Ready(Answer::Item(()));
                            }
                            _ => return Poll::Pending,
                        };
                        members.remove(&key);
                        Poll::Ready(answer)
                    });
                    due.retain(|key| members.contains(key));
                    asleep = polled.is_pending() && parent.woken() == 0;
                    assert!(!asleep || due.is_empty(), "seed {seed}: {due:?} are forgotten");
                    assert!(polled != Poll::Ready(None) || members.is_empty(), "seed {seed}");
                }
            }
            due.retain(|key| members.contains(key));
            assert_eq!(set.len(), members.len());
        }
        assert!(asleep || members.is_empty(), "seed {seed}: it does not come to rest");
    }
}
