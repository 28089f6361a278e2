//! The adapters that foster brings along, in each of their flavours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use foster::runtimes::{AsyncStd, Basic, Sim, Smol, Tokio};
use foster::testing::conformance::{self, Conformance};
use tokio::runtime::Builder;

#[test]
fn tokio_on_the_current_thread() {
    Conformance::of(|| Tokio::current_thread().unwrap()).ends_with_last_handle().run();
}

#[test]
fn tokio_with_workers() {
    Conformance::of(|| Tokio::multi_thread(1).unwrap()).ends_with_last_handle().run();
    Conformance::of(|| Tokio::multi_thread(2).unwrap()).ends_with_last_handle().run();
}

/// The application's runtime, and what ends it.
fn tokio_of_the_application() -> (Tokio, impl FnOnce() + Send) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let entered = runtime.enter();
    let tokio = Tokio::current();
    drop(entered);
    (tokio, move || drop(runtime))
}

#[test]
fn tokio_of_an_application() {
    let (tokio, end) = tokio_of_the_application();
    Conformance::of(move || tokio.clone()).ended_by(tokio_of_the_application).run();
    end();
}

#[test]
fn smol_on_its_global_executor() {
    conformance::run(Smol::global);
}

/// An executor that another thread runs, and what ends it.
fn smol_on_an_executor() -> (Smol, impl FnOnce() + Send) {
    let executor = Arc::new(smol::Executor::new());
    let (running, ended) = (executor.clone(), Arc::new(AtomicBool::new(false)));
    let stop = ended.clone();
    let runner = thread::spawn(move || {
        while !stop.load(Ordering::SeqCst) {
            smol::block_on(running.tick());
        }
        drop(running);
    });
    let weak = Arc::downgrade(&executor);
    let smol = Smol::executor(move |task| {
        if let Some(executor) = weak.upgrade() {
            executor.spawn(task).detach();
        }
    });
    let end = move || {
        ended.store(true, Ordering::SeqCst);
        executor.spawn(async {}).detach();
        drop(executor);
        runner.join().unwrap();
    };
    (smol, end)
}

#[test]
fn smol_on_an_executor_of_ones_own() {
    let (smol, end) = smol_on_an_executor();
    Conformance::of(move || smol.clone()).run();
    end();
}

#[test]
fn async_std_on_its_global_executor() {
    conformance::run(AsyncStd::global);
}

#[test]
fn basic_on_the_current_thread() {
    Conformance::of(Basic::current_thread).ends_with_last_handle().run();
}

#[test]
fn basic_with_threads() {
    Conformance::of(|| Basic::thread_pool(1).unwrap()).ends_with_last_handle().run();
    Conformance::of(|| Basic::thread_pool(2).unwrap()).ends_with_last_handle().run();
}

#[test]
fn the_simulation_under_many_seeds() {
    for seed in 0..20 {
        Conformance::of(move || Sim::new(seed)).isolated().ends_with_last_handle().run();
    }
}

#[test]
fn the_networks() {
    conformance::network(|| Tokio::current_thread().unwrap());
    conformance::network(|| Tokio::multi_thread(2).unwrap());
    conformance::network(Smol::global);
    conformance::network(AsyncStd::global);
    conformance::network(Basic::current_thread);
    conformance::network(|| Basic::thread_pool(2).unwrap());
}
