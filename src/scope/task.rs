//! Defines the task: the handle to a child.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::cancel::reason::Reason;
use crate::context;
use crate::engine::Key;
use crate::name::Name;
use crate::scope::control::{Control, News};
use crate::task::cell::{FailureKind, Reader};
use crate::trace::tree;

/// Waits for the value of a child of a scope, and can cancel the child.
///
/// The scope owns the child. Dropping the task discards the child's value, and the child keeps
/// running. A task may outlive its scope, and then has the value, or says why there is none. The
/// counterpart of asyncio's `Task` and tokio's `JoinHandle`.
///
/// # Panics
///
/// Awaiting the task panics if the child was cancelled, or if it failed in a scope that keeps
/// going. The message has the child's name and the reason. [`outcome`](Task::outcome) returns an
/// error instead. In a scope that is itself being cancelled there is no panic: whoever waits for
/// the task stays pending, and is dropped with the scope. A finalizer or a shield of that scope
/// runs on, so there the task panics, and `outcome` is the form to use.
///
/// Panics if it is polled after it completed, and if a child awaits its own task.
///
/// # Cancellation
///
/// Dropping the task does not stop the child.
///
/// ```
/// # futures::executor::block_on(async {
/// foster::scope(async |s| {
///     let seven = s.spawn(async { 7 });
///     assert_eq!(seven.await, 7);
///
///     let endless = s.spawn(std::future::pending::<()>());
///     endless.cancel();
///     assert!(endless.outcome().await.is_err());
/// }).await;
/// # });
/// ```
pub struct Task<T> {
    reader: Reader<T, Arc<Reason>>,
    /// Gets the news that the child is cancelled. `None` for a parallel child, whose node passes it
    /// on.
    control: Option<Arc<Control>>,
    stage: TaskStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TaskStage {
    Waiting,
    /// The outcome was returned.
    Taken,
    /// There is no value, and the waiting code is about to be dropped.
    Doomed,
}

impl<T> Task<T> {
    pub(super) fn new(reader: Reader<T, Arc<Reason>>, control: Option<Arc<Control>>) -> Self {
        Task { reader, control, stage: TaskStage::Waiting }
    }

    /// Waits for the child's value, and returns an error instead of panicking if there is none.
    ///
    /// For children that may be cancelled, and for tasks that outlive their scope. The counterpart
    /// of awaiting tokio's `JoinHandle`, and of asyncio's `Task.exception`.
    ///
    /// # Errors
    ///
    /// Returns a [`TaskError`] if there is no value. It says which child it was, why there is none,
    /// and whether the child was cancelled, failed or panicked. The scope has the error or the
    /// panic itself. To have a panic here instead, use [`catch_panic`](crate::future::catch_panic).
    ///
    /// # Panics
    ///
    /// Panics if it is polled after it completed, and if a child awaits the outcome of its own
    /// task.
    ///
    /// # Cancellation
    ///
    /// Dropping the future does not stop the child.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// foster::scope(async |s| {
    ///     let task = s.named("tail").spawn(std::future::pending::<()>());
    ///     task.cancel();
    ///     let error = task.outcome().await.unwrap_err();
    ///     assert!(error.is_cancelled());
    ///     let text = "`tail` was cancelled: requested: its task was cancelled";
    ///     assert_eq!(error.to_string(), text);
    /// }).await;
    /// # });
    /// ```
    pub fn outcome(self) -> Outcome<T> {
        Outcome { task: self }
    }

    /// Cancels this child alone. Its siblings and the scope go on.
    ///
    /// The child is dropped where it is suspended. If something in it needs time to end, the scope
    /// polls the child on until that has ended. A child that has not begun, and is for another task
    /// to run, is dropped before this returns. A value that the child produces until then is
    /// delivered.
    ///
    /// This does not wait. To wait, await the [`outcome`](Task::outcome). It does nothing on a
    /// child that has ended, and on a second call. The counterpart of `Task.cancel()` and
    /// `JoinHandle::abort`. Unlike asyncio's child, this one cannot refuse.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// foster::scope(async |s| {
    ///     let (tail, head) = (s.spawn(std::future::pending::<()>()), s.spawn(async { 7 }));
    ///     tail.cancel();
    ///     assert_eq!(head.await, 7);   // its sibling, and the scope, go on
    /// }).await;
    /// # });
    /// ```
    pub fn cancel(&self) {
        if self.reader.has_ended() {
            return;
        }
        let Some(control) = &self.control else {
            self.reader.cancel();
            return;
        };
        if control.is_cancelled() {
            // All children are being cancelled, and end for that reason.
            return;
        }
        if let Some(place) = self.reader.cancel() {
            drop(control.send(News::CancelChild(Key::new(place))));
        }
    }

    /// Returns whether the child has ended, so that the task is ready.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// foster::scope(async |s| {
    ///     let task = s.spawn(async { 7 });
    ///     assert!(!task.is_finished());
    ///     foster::yield_now().await;
    ///     assert!(task.is_finished());
    ///     assert_eq!(task.await, 7);
    /// }).await;
    /// # });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.reader.has_ended()
    }

    /// Returns the child's name: the one that it was given, or the file and line of the call that
    /// spawned it.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// foster::scope(async |s| {
    ///     assert!(s.spawn(async {}).name().to_string().contains(".rs:"));
    ///     assert_eq!(s.named("fetch").spawn(async {}).name(), "fetch");
    /// }).await;
    /// # });
    /// ```
    pub fn name(&self) -> Name {
        self.reader.name()
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, TaskError>> {
        assert!(self.stage != TaskStage::Taken, "task `{}` was polled after it was ready", self.name());
        let Poll::Ready(result) = self.reader.poll(cx) else {
            let own = context::with(|ambient| ambient.child_id() == self.reader.id());
            assert!(!own, "task `{}` is awaited by its own child, which would wait for ever", self.name());
            tree::waiting(|| tree::quoted("task ", self.name()));
            return Poll::Pending;
        };
        self.stage = TaskStage::Taken;
        Poll::Ready(match result {
            Some(Ok(value)) => Ok(value),
            Some(Err(reason)) => Err(self.error(reason)),
            None => Err(self.error(Arc::new(Reason::Dropped))),
        })
    }

    fn error(&self, reason: Arc<Reason>) -> TaskError {
        TaskError { task: self.name(), failure: self.reader.failure(), reason }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if self.stage == TaskStage::Doomed {
            return Poll::Pending;
        }
        match ready!(self.poll_outcome(cx)) {
            Ok(value) => Poll::Ready(value),
            Err(_) if context::with(|ambient| ambient.is_tripped()) => {
                self.stage = TaskStage::Doomed;
                Poll::Pending
            }
            Err(error) => panic!("{error}; `outcome()` says so without a panic"),
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name()).field("finished", &self.is_finished()).finish()
    }
}

/// Waits for a child's value or its [`TaskError`]. [`Task::outcome`] returns this future.
#[must_use = "futures do nothing unless polled"]
pub struct Outcome<T> {
    task: Task<T>,
}

impl<T> Future for Outcome<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.task.poll_outcome(cx)
    }
}

impl<T> fmt::Debug for Outcome<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outcome").field(&self.task).finish()
    }
}

/// Reports why a child has no value. [`Task::outcome`] returns it.
///
/// ```
/// # futures::executor::block_on(async {
/// let errors = foster::try_scope(async |s| {
///     let fails = s.spawn(async { Err::<(), _>("no disk") });
///     assert!(fails.outcome().await.unwrap_err().is_failed());
///     Ok(())
/// }).keep_going().await;
/// assert_eq!(errors.unwrap_err().into_vec(), ["no disk"]);
/// # });
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TaskError {
    task: Name,
    failure: Option<FailureKind>,
    reason: Arc<Reason>,
}

impl TaskError {
    /// Returns whether the child was cancelled, or its runtime ended it.
    pub fn is_cancelled(&self) -> bool {
        self.failure.is_none()
    }

    /// Returns whether the child yielded an `Err`. The scope has that error.
    pub fn is_failed(&self) -> bool {
        self.failure == Some(FailureKind::Failed)
    }

    /// Returns whether the child panicked. The scope resumes that panic.
    pub fn is_panicked(&self) -> bool {
        self.failure == Some(FailureKind::Panicked)
    }

    /// Returns why there is no value.
    ///
    /// This is the reason of the cancellation, or [`Reason::Failed`] with the child's own name.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Returns the child's name.
    pub fn task(&self) -> &Name {
        &self.task
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskError").field("task", &self.task).field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failure {
            None => write!(f, "`{}` was cancelled: {}", self.task, self.reason),
            Some(FailureKind::Failed) => write!(f, "`{}` failed", self.task),
            Some(FailureKind::Panicked) => write!(f, "`{}` panicked", self.task),
        }
    }
}

impl std::error::Error for TaskError {}
