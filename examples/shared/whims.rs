//! Gives futures up at random, in each of the ways in which a program does.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use foster::{sleep, timeout};

/// What became of a future.
pub(crate) enum Fate<T> {
    Completed(T),
    /// It was cancelled, by a timeout or as a task.
    Cancelled,
    /// It was dropped, as by code that knows nothing of foster.
    Dropped,
}

/// Awaits a future, and gives up half of the time.
pub(crate) async fn at_random<F: Future<Output: Send> + Send>(random: &mut Rng, future: F) -> Fate<F::Output> {
    // From a microsecond to a quarter of a second, each magnitude as often as the others.
    let soon = Duration::from_micros(1 << random.u32(0..18));
    match random.u32(0..6) {
        0 => timeout(soon, future).await.map_or(Fate::Cancelled, Fate::Completed),
        1 => cancel_after(soon, future).await,
        2 => poll_times(random.u32(1..20), future).await,
        _ => Fate::Completed(future.await),
    }
}

/// Runs a future as a task, and cancels it.
async fn cancel_after<F: Future<Output: Send> + Send>(delay: Duration, future: F) -> Fate<F::Output> {
    foster::scope(async |s| {
        let task = s.spawn(future);
        sleep(delay).await;
        task.cancel();
        task.outcome().await.map_or(Fate::Cancelled, Fate::Completed)
    })
    .await
}

/// Drops a future after some polls.
async fn poll_times<F: Future>(polls: u32, future: F) -> Fate<F::Output> {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(Fate::Dropped);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Fate::Completed)
    })
    .await
}
