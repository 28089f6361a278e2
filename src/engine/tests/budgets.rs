use super::*;

#[test]
fn a_pass_ends_when_its_budget_is_used_up_and_the_next_goes_on_there() {
    let (parent, waker) = Parent::new();
    let mut set = Set::with_capacity(150);
    set.extend(0..150);
    let mut seen = Vec::new();
    for (polls, wakes) in [(61, 1), (61, 1), (28, 0)] {
        let before = seen.len();
        drive(&mut set, &waker, |key, _, _| {
            seen.push(key.index());
            Poll::<()>::Pending
        });
        assert_eq!((seen.len() - before, parent.woken()), (polls, wakes));
    }
    assert_eq!(seen, (0..150).collect::<Vec<_>>());
}

#[test]
fn members_that_are_always_ready_let_the_executor_run() {
    let (parent, waker) = Parent::new();
    let mut set = Set::new();
    set.insert(());
    let mut results = 0;
    let mut cx = Context::from_waker(&waker);
    while set.poll_next(&mut cx, |_, _, _| Poll::Ready(())).is_ready() {
        results += 1;
        set.insert(());
    }
    assert_eq!((results, parent.woken()), (BUDGET as usize, 1));
}

#[test]
fn members_that_always_wake_themselves_do_not_starve_the_others() {
    let (_, waker) = Parent::new();
    let mut set = Set::with_capacity(200);
    set.extend(0..200);
    let mut polls = [0_usize; 200];
    for _ in 0..100 {
        drive(&mut set, &waker, |key, _, cx| {
            polls[key.index()] += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
    }
    let (least, most) = (polls.iter().min().unwrap(), polls.iter().max().unwrap());
    assert!(*least > 0 && most - least <= 1, "{polls:?}");
}

/// A set as a future: done when all of its members are.
struct All<F>(Set<F>);

impl<F: Future<Output = ()>> Future for All<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.0.poll_next(cx, |_, member, cx| member.poll(cx)) {
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn all<F>(members: impl IntoIterator<Item = F>) -> All<F> {
    let mut set = Set::new();
    set.extend(members);
    All(set)
}

#[test]
fn nested_sets_share_the_budget_of_the_outermost() {
    let polls = Rc::new(Cell::new(0));
    let leaf = |_| {
        let polls = polls.clone();
        async move { polls.set(polls.get() + 1) }
    };
    let mut outer = all((0..10).map(|_| all((0..100).map(leaf))));
    let (parent, waker) = Parent::new();
    let mut passes = 0;
    while Pin::new(&mut outer).poll(&mut Context::from_waker(&waker)).is_pending() {
        let leaves = polls.replace(0);
        assert!(leaves <= BUDGET as usize, "{leaves} leaves in one poll");
        assert_eq!(parent.woken(), 1);
        passes += 1;
        assert!(passes < 1000, "1,000 leaves are not done after {passes} polls");
    }
    assert!((1000 / 61..30).contains(&passes), "{passes}");
}

#[test]
fn a_poll_that_is_lent_to_a_set_that_polls_nobody_is_lent_to_the_next() {
    let (_, waker) = Parent::new();
    let mut cx = Context::from_waker(&waker);
    let mut idle = all([std::future::pending::<()>()]);
    assert!(Pin::new(&mut idle).poll(&mut cx).is_pending());
    let polls = Cell::new(0);
    let mut busy = all((0..100).map(|_| {
        std::future::poll_fn(|_| {
            polls.set(polls.get() + 1);
            Poll::<()>::Pending
        })
    }));
    let mut set = Set::new();
    set.insert(());
    drive(&mut set, &waker, |_, _, cx| {
        assert!(Pin::new(&mut idle).poll(cx).is_pending());
        Pin::new(&mut busy).poll(cx)
    });
    assert_eq!(polls.get(), BUDGET as usize, "as many as in one set");
}

#[test]
fn a_set_that_finds_the_budget_used_up_polls_one_member() {
    let (_, waker) = Parent::new();
    let polls = [Cell::new(0), Cell::new(0)];
    let [mut first, mut second] = [0, 1].map(|i| {
        let polls = &polls[i];
        all((0..100).map(move |_| {
            std::future::poll_fn(move |_| {
                polls.set(polls.get() + 1);
                Poll::<()>::Pending
            })
        }))
    });
    let mut set = Set::new();
    set.insert(());
    drive(&mut set, &waker, |_, _, cx| {
        assert!(Pin::new(&mut first).poll(cx).is_pending());
        Pin::new(&mut second).poll(cx)
    });
    assert_eq!((polls[0].get(), polls[1].get()), (BUDGET as usize, 1));
}

#[test]
fn deep_nesting_gets_on() {
    fn nest(depth: usize, polls: &Rc<Cell<usize>>) -> Pin<Box<dyn Future<Output = ()>>> {
        let polls = polls.clone();
        match depth {
            0 => Box::pin(async move { polls.set(polls.get() + 1) }),
            _ => Box::pin(all((0..2).map(|_| nest(depth - 1, &polls)).chain([nest(0, &polls)]))),
        }
    }
    let polls = Rc::default();
    let mut deep = Box::pin(all([nest(9, &polls)]));
    let (parent, waker) = Parent::new();
    let mut passes = 0;
    while deep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        assert_eq!(parent.woken(), 1);
        passes += 1;
        assert!(passes < 10_000, "a tree of 1,023 leaves makes no progress: {} have been polled", polls.get());
    }
    assert_eq!(polls.get(), 1023);

    let mut chain: Pin<Box<dyn Future<Output = ()>>> = nest(0, &polls);
    for _ in 0..200 {
        chain = Box::pin(all([chain]));
    }
    let mut passes = 0;
    while chain.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        assert_eq!(parent.woken(), 1);
        passes += 1;
        assert!(passes < 10_000, "a chain of 200 sets never comes to its innermost member");
    }
    assert_eq!(polls.get(), 1024);
}
