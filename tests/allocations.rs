//! What the pages promise under `# Cost`: how often each thing allocates.
//!
//! Allocations are counted on the thread of the test alone.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use foster::rate::RateLimiter;
use foster::resource::{Manager, PoolOptions};
use foster::retry::RetryBudget;
use foster::runtime::{Blocking, Clock, Job, RunError, Runtime, Timer};
use foster::sync::{Event, Mutex, OnceCell, RwLock, Semaphore};
use foster::{Elapsed, Handle, Instant, bracket, gather, queue, race, retry, scope, try_gather, yield_now};
use futures::FutureExt;
use futures::executor::block_on;
use futures::task::{FutureObj, Spawn, SpawnError};

/// Returns how often `f` allocates once it has been called before.
#[track_caller]
fn allocations(mut f: impl FnMut()) -> u64 {
    f();
    allocation_counter::measure(f).count_total
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nobody waits")
}

#[test]
fn locks_and_limits_allocate_nothing_while_nobody_waits() {
    let (semaphore, mutex, lock) = (Semaphore::new(3), Mutex::new(0), RwLock::new(0));
    assert_eq!(allocations(|| drop(now(semaphore.acquire(2)))), 0);
    assert_eq!(allocations(|| *now(mutex.lock()) += 1), 0);
    assert_eq!(allocations(|| *now(lock.write()) += 1), 0);
    assert_eq!(allocations(|| assert!(*now(lock.read()) > 0)), 0);
}

#[test]
fn a_cell_and_an_event_allocate_nothing_while_nobody_waits() {
    assert_eq!(allocations(|| assert_eq!(*now(OnceCell::new().get_or_init(async || 7)), 7)), 0);
    let event = Event::new();
    let set_and_wait = || {
        event.set();
        now(event.wait());
    };
    assert_eq!(allocations(set_and_wait), 0);
}

#[test]
fn the_place_of_a_waiter_is_used_again() {
    let mutex = Mutex::new(());
    let wait_and_leave = || {
        let held = mutex.try_lock().expect("nobody has it");
        let mut waiting = pin!(mutex.lock());
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(held);
    };
    assert_eq!(allocations(wait_and_leave), 0);
}

#[test]
fn a_queue_that_has_grown_allocates_nothing_for_an_item() {
    let (jobs, work) = queue::bounded(8);
    let pass_one = || {
        now(jobs.send(1)).expect("nobody has closed it");
        assert_eq!(now(work.recv()).map(|job| *job), Some(1));
    };
    assert_eq!(allocations(pass_one), 0);
}

#[test]
fn a_queue_that_somebody_waits_to_see_done_allocates_nothing_for_an_item() {
    let (jobs, work) = queue::unbounded();
    (0..9).for_each(|i| jobs.try_send(i).expect("it is open"));
    let mut join = pin!(jobs.join());
    assert!(join.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(allocations(|| drop(work.try_recv())), 0, "there are more");
    let mut long: Vec<_> = std::iter::from_fn(|| work.try_recv().ok()).collect();
    long.truncate(1);
    let pass_one = || {
        jobs.try_send(1).expect("it is open");
        assert!(work.try_recv().is_ok());
    };
    assert_eq!(allocations(pass_one), 0, "each is the last one, and one is not done");
}

#[test]
fn a_queue_whose_senders_wait_allocates_nothing_for_an_item() {
    let (jobs, work) = queue::bounded(1);
    let pass_two = || {
        jobs.try_send(1).expect("there is room");
        let mut waits = pin!(jobs.send(2));
        assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(work.try_recv());
        assert!(now(waits).is_ok() && work.try_recv().is_ok());
    };
    assert_eq!(allocations(pass_two), 0);
}

#[test]
fn a_queue_that_is_seen_done_again_and_again_keeps_no_memory_for_it() {
    let (jobs, work) = queue::bounded(1);
    let see_it_done = || {
        jobs.try_send(1).expect("there is room");
        let (item, mut join) = (work.try_recv(), pin!(jobs.join()));
        assert!(join.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(item);
        now(join);
    };
    see_it_done();
    assert_eq!(allocation_counter::measure(see_it_done).bytes_current, 0);
}

#[test]
fn a_batch_that_is_full_at_once_makes_no_timer() {
    let (jobs, work) = queue::bounded(2);
    let take_both = || {
        (0..2).for_each(|i| jobs.try_send(i).expect("there is room"));
        assert_eq!(now(work.recv_many_within(2, Duration::from_secs(3600))).len(), 2);
    };
    assert_eq!(allocations(take_both), 1, "the list");
}

// The work on what was received refers to its queue, and the queue to that work.
#[test]
fn a_queue_is_freed_whichever_of_its_ends_and_items_is_the_last() {
    for last in ["sender", "receiver", "item"] {
        let use_one = || {
            let (jobs, work) = queue::bounded(4);
            for i in 0..3 {
                jobs.try_send(i).expect("there is room");
            }
            drop(work.try_recv());
            let item = work.try_recv();
            let _last: Box<dyn std::any::Any> = match last {
                "sender" => Box::new(jobs),
                "receiver" => Box::new(work),
                _ => Box::new(item),
            };
        };
        use_one();
        assert_eq!(allocation_counter::measure(use_one).bytes_current, 0, "the last is the {last}");
    }
}

#[test]
fn a_few_futures_are_awaited_without_an_allocation() {
    let both = || {
        block_on(gather((yield_now(), yield_now())));
    };
    assert_eq!(allocations(both), 0);
    let first = || {
        block_on(race((yield_now(), std::future::pending())));
    };
    assert_eq!(allocations(first), 0);
    let all = || assert!(block_on(try_gather([1, 2].map(async |n| Ok::<_, ()>(n)))).is_ok());
    assert_eq!(allocations(all), 0);
}

/// A runtime that polls what is spawned once, at once, and keeps what is pending.
#[derive(Clone, Default)]
struct AtOnce {
    pending: Arc<std::sync::Mutex<Vec<FutureObj<'static, ()>>>>,
}

impl Spawn for AtOnce {
    fn spawn_obj(&self, mut future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        if Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.pending.lock().expect("nobody panicked").push(future);
        }
        Ok(())
    }
}

impl Clock for AtOnce {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, _: Instant) -> Timer {
        Timer::boxed(Box::pin(std::future::pending()))
    }
}

impl Blocking for AtOnce {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        job();
        Ok(())
    }
}

impl Runtime for AtOnce {
    fn name(&self) -> &'static str {
        "at once"
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        block_on(root);
        Ok(())
    }
}

// It takes a hold on the region around, which takes a token.
#[test]
fn a_scope_in_no_region_makes_no_token_for_its_finalizers() {
    let token = foster::Token::new();
    let work = || scope(async |s| s.defer(yield_now()));
    let outside = allocations(|| block_on(work()));
    let inside = allocations(|| assert!(block_on(token.run_until_cancelled(work())).is_ok()));
    assert!(outside + 3 <= inside, "{outside} allocations, and {inside} in a region");
}

// It kept a weak handle to each.
#[test]
fn a_scope_forgets_the_runtimes_of_parallel_children_that_have_ended() {
    let one_on_each = |runtimes: usize| {
        let run = || {
            block_on(scope(async |s| {
                for _ in 0..runtimes {
                    s.spawn_on(async {}, &Handle::new(AtOnce::default())).await;
                }
            }));
        };
        allocation_counter::measure(run).bytes_max
    };
    let (few, many) = (one_on_each(100), one_on_each(10_000));
    assert!(many < 2 * few, "{many} bytes, and {few} for one child in a hundred");
}

// It kept the nodes of all while one of them had not ended.
#[test]
fn a_scope_forgets_parallel_children_that_have_ended_beside_one_that_has_not() {
    let beside_one = |children: usize| {
        let runtime = AtOnce::default();
        let handle = Handle::new(runtime.clone());
        let run = || {
            block_on(scope(async |s| {
                s.spawn_on(std::future::pending::<()>(), &handle);
                for _ in 0..children {
                    s.spawn_on(async {}, &handle).await;
                }
                // The runtime throws the first one away.
                drop(std::mem::take(&mut *runtime.pending.lock().expect("nobody panicked")));
            }));
        };
        allocation_counter::measure(run).bytes_max
    };
    let (few, many) = (beside_one(100), beside_one(10_000));
    assert!(many < 2 * few, "{many} bytes, and {few} for one child in a hundred");
}

#[cfg(feature = "tokio")]
#[test]
fn timers_of_tokio_are_made_and_moved_without_an_allocation() {
    use foster::{sleep, timeout};
    use std::time::Duration;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let hour = Duration::from_secs(3600);
    runtime.block_on(async {
        let mut cx = Context::from_waker(Waker::noop());
        let guarded =
            || assert!(pin!(timeout(hour, yield_now())).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(allocations(guarded), 0);

        let mut idle = pin!(sleep(hour));
        let mut reset = || {
            idle.as_mut().reset(foster::now() + hour);
            assert!(idle.as_mut().poll(&mut cx).is_pending());
        };
        assert_eq!(allocations(&mut reset), 0);
    });
}

#[cfg(all(feature = "net", feature = "async-io"))]
#[test]
fn sockets_allocate_nothing_to_read_and_write() {
    use foster::net::{TcpListener, TcpStream, duplex};
    use futures::io::{AsyncReadExt, AsyncWriteExt};

    let (mut client, mut server) = block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let client = TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("it is there");
        (client, listener.accept().await.expect("the client is there").0)
    });
    let mut buffer = [0; 64];
    let echo = || {
        block_on(async {
            client.write_all(&[7; 64]).await.expect("it is open");
            server.read_exact(&mut buffer).await.expect("it is open");
        });
    };
    assert_eq!(allocations(echo), 0);
    let (mut client, mut server) = duplex(64);
    let pass = || {
        now(client.write_all(&[7; 64])).expect("it is open");
        now(server.read_exact(&mut buffer)).expect("it is open");
    };
    assert_eq!(allocations(pass), 0);
}

#[cfg(all(feature = "net", feature = "async-io", feature = "tokio"))]
#[test]
fn sockets_allocate_nothing_for_a_datagram() {
    use foster::net::UdpSocket;

    let pair = async || {
        let one = UdpSocket::bind("127.0.0.1:0").await.expect("a port is free");
        let other = UdpSocket::bind("127.0.0.1:0").await.expect("a port is free");
        one.connect(other.local_addr().expect("it is bound")).await.expect("it is there");
        (one, other)
    };
    let pass = async |(one, other): &(UdpSocket, UdpSocket)| {
        let mut buffer = [0; 64];
        let receive = async {
            let (length, from) = other.recv_from(&mut buffer).await.expect("it is bound");
            other.send_to(&buffer[..length], from).await.expect("the client is there");
        };
        let answer = &mut [0; 64];
        let ask = async {
            yield_now().await; // until the other one waits
            one.send(&[7; 64]).await.expect("it has a peer");
            one.recv(answer).await.expect("the server answers");
        };
        gather((receive, ask)).await;
    };
    let sockets = block_on(pair());
    assert_eq!(allocations(|| block_on(pass(&sockets))), 0);
    let tokio = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let sockets = tokio.block_on(pair());
    assert_eq!(allocations(|| tokio.block_on(pass(&sockets))), 0);
}

#[cfg(all(feature = "tokio", feature = "hyper"))]
#[test]
fn the_bridges_to_hyper_allocate_a_sleep_for_a_request_and_nothing_else() {
    use foster::net::duplex;
    use foster::net::hyper_io::{ForHyper, FromHyper, HyperTimer};
    use futures::io::{AsyncReadExt, AsyncWriteExt};
    use hyper::rt::Timer;
    use std::time::Duration;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let hour = Duration::from_secs(3600);
    // A timer of another clock is not kept. It holds what is the clock's.
    Handle::new(AtOnce::default()).run(async {
        assert_eq!(allocation_counter::measure(|| drop(HyperTimer.sleep(hour))).bytes_current, 0);
    });
    runtime.block_on(async {
        let mut cx = Context::from_waker(Waker::noop());
        let mut idle = HyperTimer.sleep(hour);
        let mut reset = || {
            HyperTimer.reset(&mut idle, HyperTimer.now() + hour);
            assert!(idle.as_mut().poll(&mut cx).is_pending());
        };
        assert_eq!(allocations(&mut reset), 0);
        let mut begin_anew = || {
            idle = HyperTimer.sleep_until(HyperTimer.now() + hour);
            assert!(idle.as_mut().poll(&mut cx).is_pending());
        };
        // The first one makes a timer while the sleep before it still has its own.
        begin_anew();
        assert_eq!(allocations(&mut begin_anew), 1, "the sleep is new, and its timer is not");
    });

    let (near, far) = duplex(64);
    let (mut near, mut far) = (FromHyper::new(ForHyper::new(near)), FromHyper::new(ForHyper::new(far)));
    let pass = || {
        now(near.write_all(&[7; 64])).expect("it is open");
        now(far.read_exact(&mut [0; 64])).expect("it is open");
    };
    assert_eq!(allocations(pass), 0);
}

#[test]
fn a_retry_around_a_success_allocates_nothing_and_none_of_its_settings_does() {
    let (wait, budget) = (Duration::from_secs(1), RetryBudget::new(100));
    assert_eq!(allocations(|| assert_eq!(now(retry([wait; 5], async || Ok::<_, Elapsed>(7))), Ok(7))), 0);
    let whole = || {
        let call = retry([wait; 5], async || Ok::<_, Elapsed>(7)).jitter().budget(&budget).attempt_timeout(wait);
        let call = call.when(|_| true).after(|_| None).notify(|_, _| ()).max_attempts(3).max_elapsed(wait);
        assert_eq!(now(call.outcome()).ok(), Some(7));
    };
    assert_eq!(allocations(whole), 0);
    // A failure allocates nothing either, but for the timer of a wait.
    let fails = || assert_eq!(now(retry([], async || Err::<(), _>(7)).budget(&budget)), Err(7));
    assert_eq!(allocations(fails), 0);
}

#[test]
fn a_rate_limiter_allocates_nothing_while_there_are_tokens() {
    let limiter = RateLimiter::new(u32::MAX, Duration::from_secs(1));
    assert_eq!(allocations(|| assert!(now(limiter.acquire(1)).is_ok())), 0);
    assert_eq!(allocations(|| assert!(limiter.try_acquire(1).is_ok())), 0);
}

#[test]
fn a_bracket_allocates_twice_and_a_managed_resource_once_besides_its_finalizer() {
    let bracketed = || {
        let used = bracket(ready(Ok::<_, ()>(7)), async |n| Ok(*n), async |_| Ok(()));
        assert_eq!(now(used).unwrap(), 7);
    };
    assert_eq!(allocations(bracketed), 2);
    let deferred = allocations(|| now(scope(async |s| s.defer(async {}))));
    let managed = allocations(|| {
        now(scope(async |s| {
            s.manage((), async |()| {});
        }))
    });
    assert_eq!(managed, deferred + 1);
}

#[test]
fn a_pool_allocates_nothing_for_a_resource_that_is_idle_or_passed_on() {
    struct Numbers;
    impl Manager for Numbers {
        type Resource = u32;
        type Error = Infallible;

        async fn create(&self) -> Result<u32, Infallible> {
            Ok(7)
        }
    }
    block_on(scope(async |s| {
        let pool = PoolOptions::new().max_size(1).build(Numbers, s.spawner());
        drop(pool.get().await.unwrap());
        assert_eq!(allocations(|| *now(pool.get()).unwrap() += 1), 0);
        assert_eq!(allocations(|| *pool.try_get().unwrap() += 1), 0);
        let pass_on = || {
            let held = now(pool.get()).unwrap();
            let mut waiting = pin!(pool.get());
            assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            drop(held);
            assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        };
        assert_eq!(allocations(pass_on), 0);
    }));
}
