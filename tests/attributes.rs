//! `#[foster::test]` and `#[foster::main]`: what they make of a function.

#![deny(unused, nonstandard_style)]

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use foster::testing::harness::{self, Test};
use foster::{scope, sleep, yield_now};

/// The names of the tests of this program that begin with `prefix::`.
fn tests_of(prefix: &str) -> Vec<String> {
    listed(&[prefix])
        .iter()
        .filter_map(|name| Some(name.strip_prefix(prefix)?.strip_prefix("::")?.to_string()))
        .collect()
}

fn listed(arguments: &[&str]) -> Vec<String> {
    let output = Command::new(env::current_exe().unwrap()).arg("--list").args(arguments).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    output.lines().filter_map(|line| line.strip_suffix(": test")).map(String::from).collect()
}

/// What the panic of `run` says.
fn complaint(run: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("it should have panicked");
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| text.to_string())).expect("a panic with a text")
}

fn features(all: &[(bool, &'static str)]) -> Vec<&'static str> {
    all.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect()
}

#[foster::test]
async fn everywhere() {
    let sum = scope(async |s| {
        let task = s.spawn_parallel(async { 1 });
        sleep(Duration::from_millis(1)).await;
        task.await + 1
    });
    assert_eq!(sum.await, 2);
}

#[test]
fn there_is_one_test_for_each_runtime_whose_feature_is_on() {
    let expected = features(&[
        (cfg!(feature = "async-std"), "async_std"),
        (cfg!(feature = "basic"), "basic"),
        (true, "sim"),
        (cfg!(feature = "smol"), "smol"),
        (cfg!(feature = "tokio"), "tokio"),
        (cfg!(feature = "tokio"), "tokio_multi"),
    ]);
    assert_eq!(tests_of("everywhere"), expected);
}

#[foster::test(runtimes(tokio, sim, smol))]
async fn on_some() {
    yield_now().await;
}

#[test]
fn the_runtimes_can_be_chosen() {
    let expected = features(&[(true, "sim"), (cfg!(feature = "smol"), "smol"), (cfg!(feature = "tokio"), "tokio")]);
    assert_eq!(tests_of("on_some"), expected);
}

#[foster::test(runtimes(none, sim))]
async fn without_a_runtime() -> Result<(), String> {
    let before = std::thread::current().id();
    let child = scope(async |s| {
        sleep(Duration::from_millis(1)).await;
        s.spawn_parallel(async { std::thread::current().id() }).await
    });
    if child.await == before { Ok(()) } else { Err("there are no other threads".into()) }
}

#[test]
fn a_test_runs_without_a_runtime_where_that_is_asked_for() {
    assert_eq!(tests_of("without_a_runtime"), ["none", "sim"]);
    Test::new(30_000, false).run_without_runtime(async || {
        assert!(foster::runtimes::Sim::try_current().is_none());
    });
    let failing = async || Err::<(), _>("without a runtime");
    let said = complaint(|| Test::new(30_000, false).run_without_runtime(failing));
    assert_eq!(said, "the test returned an error: \"without a runtime\"");
    let hangs = complaint(|| Test::new(10, false).run_without_runtime(std::future::pending::<()>));
    assert!(hangs.contains("it hangs"), "{hangs}");
}

#[foster::test]
async fn runs_on_the_runtime_of_its_name() {
    let name = std::thread::current().name().unwrap().to_string();
    let clock = foster::now();
    sleep(Duration::from_secs(if name.ends_with("::sim") { 450 } else { 0 })).await;
    if name.ends_with("::sim") {
        assert_eq!(foster::now() - clock, Duration::from_secs(450));
    }
    #[cfg(feature = "tokio")]
    assert_eq!(foster::runtimes::Tokio::try_current().is_some(), name.contains("::tokio"));
}

#[foster::test(runtimes(sim), seeds = 40)]
async fn says_that_it_runs() {
    yield_now().await;
    println!("it runs");
}

#[test]
fn there_is_a_run_for_each_seed() {
    let mut command = Command::new(env::current_exe().unwrap());
    let output = command.args(["--exact", "says_that_it_runs::sim", "--nocapture"]).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.matches("it runs").count(), 40, "{output}");
}

#[test]
fn the_seeds_make_different_schedules() {
    static FIRST: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];
    Test::new(30_000, false).explore(40, || async {
        let first = std::sync::Arc::new(Mutex::new(None));
        scope(|s| {
            let first = first.clone();
            async move {
                for n in 0..4 {
                    let first = first.clone();
                    s.spawn_parallel(async move { _ = first.lock().unwrap().get_or_insert(n) });
                }
            }
        })
        .await;
        let first = first.lock().unwrap().expect("one was first");
        FIRST[first].fetch_add(1, Ordering::Relaxed);
    });
    assert!(FIRST.iter().all(|count| count.load(Ordering::Relaxed) > 0), "{FIRST:?}");
    assert_eq!(FIRST.iter().map(|count| count.load(Ordering::Relaxed)).sum::<usize>(), 40);
}

#[foster::test]
async fn may_return_a_result() -> Result<(), std::num::ParseIntError> {
    assert_eq!("7".parse::<i32>()?, 7);
    Ok(())
}

#[test]
fn an_error_fails_the_test() {
    let failing = || async { Err::<(), _>("7 apples".parse::<i32>().unwrap_err()) };
    let said = complaint(|| Test::new(30_000, false).run(harness::sim, failing));
    assert_eq!(said, "the test returned an error: ParseIntError { kind: InvalidDigit }");
    let explored = complaint(|| Test::new(30_000, false).explore(3, failing));
    assert!(explored.starts_with(&format!("schedule 1 failed, with seed 0: {said}\n")), "{explored}");
}

/// Set in the environment of a run of these tests that is to fail.
const FAIL: &str = "FOSTER_TESTS_FAIL";

/// Fails where the fourth child is the first to run.
#[foster::test(runtimes(sim), seeds = 200)]
async fn fails_if_it_is_told_to() {
    let first = Mutex::new(None);
    let seen = &first;
    scope(async |s| {
        for n in 0..8 {
            s.spawn(async move { _ = seen.lock().unwrap().get_or_insert(n) });
        }
    })
    .await;
    let first = first.into_inner().unwrap();
    assert!(first != Some(3) || env::var_os(FAIL).is_none(), "the fourth was the first");
}

/// What `fails_if_it_is_told_to` says from the seed on, with this seed alone if there is one.
fn failure(seed: Option<&str>) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "fails_if_it_is_told_to::sim"]).env(FAIL, "1").env_remove("FOSTER_SEED");
    if let Some(seed) = seed {
        command.env("FOSTER_SEED", seed);
    }
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let (_, failure) = output.split_once(" failed, with seed ").expect("a seed");
    let (failure, _) = failure.split_once(" cargo test fails_if_it_is_told_to::sim").expect("a line to replay it with");
    failure.to_string()
}

#[test]
fn a_failure_names_its_seed_and_the_seed_replays_it() {
    let failed = failure(None);
    let (seed, rest) = failed.split_once(": ").unwrap();
    assert!(rest.starts_with("the fourth was the first\nits steps were:\n"), "{failed}");
    assert!(failed.ends_with(&format!("to run exactly this one: FOSTER_SEED={seed}")), "{failed}");
    assert_ne!(seed, "0", "the first seed would be run in any case");
    assert_eq!(failure(Some(seed)), failed);
}

#[test]
fn what_a_test_leaves_behind_fails_it() {
    let leaves = || async {
        let mut left = Box::pin(scope(async |s| s.spawn_parallel(std::future::pending::<()>()).await));
        assert!(foster::testing::poll_once(&mut left).await.is_pending());
        std::mem::forget(left);
    };
    let said = complaint(|| Test::new(30_000, false).explore(3, leaves));
    assert!(said.starts_with("schedule 1 failed, with seed 0: ") && said.contains("tests/attributes.rs:"), "{said}");
}

#[foster::test]
#[should_panic]
async fn may_panic_where_it_should() {
    yield_now().await;
    panic!("on purpose");
}

#[should_panic(expected = "on purpose")]
#[foster::test]
async fn may_panic_with_an_expected_text() {
    scope(async |s| s.spawn(async { panic!("it fell, on purpose") }).await).await
}

#[test]
fn a_panic_is_that_of_the_test() {
    async fn panics() {
        panic!("a text")
    }
    let said = complaint(|| Test::new(30_000, false).run(harness::sim, panics));
    assert_eq!(said, "a text");
}

#[foster::test(runtimes(sim))]
#[ignore = "shows that it is"]
async fn can_be_ignored() {}

#[test]
fn ignoring_holds_for_each_test() {
    assert_eq!(listed(&["--ignored"]), ["can_be_ignored::sim", "is_ignored_in_a_macro::sim"]);
}

#[foster::test]
#[cfg(any())]
async fn is_not_here() {
    nor_does_this_exist()
}

/// With a visibility, a documentation, an odd name and an odd way to get its attributes.
#[foster::test(runtimes(sim))]
#[allow(non_snake_case)]
#[cfg_attr(all(), should_panic(expected = "odd"))]
pub(crate) async fn Odd() {
    panic!("odd");
}

mod inner {
    /// Its body sees what it would see without the attribute.
    #[foster::test(runtimes(sim))]
    async fn sees_its_surroundings() {
        assert_eq!(self::helper() + super::helper(), 3);
        let odd = super::Odd();
        drop(odd);
    }

    fn helper() -> u32 {
        1
    }
}

fn helper() -> u32 {
    2
}

macro_rules! by_example {
    ($visibility:vis $name:ident $output:ty, $body:block) => {
        #[foster::test(runtimes(sim))]
        $visibility async fn $name() -> $output $body
    };
}

by_example!(pub(crate) made_by_a_macro Result<(), String>, { Ok(()) });
by_example!(r#match(), {});

macro_rules! with_fragments {
    ($(#[$meta:meta])* $seeds:literal $timeout:literal $foster:path, $name:ident $body:block) => {
        #[foster::test(runtimes(sim), seeds = $seeds, timeout = $timeout, crate = $foster)]
        $(#[$meta])*
        async fn $name() $body
    };
}

with_fragments!(#[should_panic(expected = "as it should")] 7 "5s" ::foster, fails_in_a_macro { panic!("as it should") });
with_fragments!(#[ignore = "it would fail"] 1 "5s" ::foster, is_ignored_in_a_macro { panic!("it is ignored") });

#[foster::test]
async fn tokio() {}

#[foster::test]
async fn sim() {}

#[test]
fn odd_ones_are_tests_as_well() {
    let names = ["Odd", "inner::sees_its_surroundings", "made_by_a_macro", "r#match", "sim"];
    for name in names {
        assert!(tests_of(name).contains(&"sim".to_string()), "{name}: {:?}", tests_of(name));
    }
}

#[foster::test(runtimes(sim))]
async fn need_not_be_send() {
    let here = std::rc::Rc::new(());
    yield_now().await;
    drop(here);
}

#[foster::test(runtimes(sim))]
async fn has_a_big_stack() {
    fn deep(level: usize) -> usize {
        let here = std::hint::black_box([level; 128]);
        if level == 0 { 0 } else { deep(level - 1) + here[7] / level }
    }
    assert_eq!(deep(20_000), 20_000);
}

async fn hangs_in_a_scope() {
    scope(async |s| {
        s.named("never woken").spawn(std::future::pending::<()>());
        sleep(Duration::from_secs(3600)).await;
        loop {
            sleep(Duration::from_secs(3600)).await;
        }
    })
    .await
}

#[test]
fn a_test_that_hangs_fails_and_shows_who_waits() {
    let said = complaint(|| Test::new(100, false).run(harness::sim, hangs_in_a_scope));
    assert!(said.starts_with("the test has been running for 100ms: it hangs; "), "{said}");
    assert!(said.contains("\n  main\n    scope `tests/attributes.rs:") && said.contains("`never woken`"), "{said}");
}

#[test]
fn all_seeds_together_have_the_time_of_the_test() {
    let said = complaint(|| Test::new(100, false).explore(u64::MAX, || sleep(Duration::from_secs(3600))));
    assert!(said.contains("it hangs; in poll ") && said.contains(" of run "), "{said}");
}

#[test]
fn a_round_that_hangs_or_fails_is_told_by_its_number() {
    static ROUNDS: AtomicUsize = AtomicUsize::new(0);
    let said = complaint(|| {
        Test::new(100, false).rounds(10, |round| {
            ROUNDS.fetch_add(1, Ordering::Relaxed);
            if round == 3 {
                loop {
                    std::thread::park();
                }
            }
        });
    });
    assert!(said.contains("it hangs; it is in round 3"), "{said}");
    assert_eq!(ROUNDS.load(Ordering::Relaxed), 4);
    let said = complaint(|| Test::new(30_000, false).rounds(10, |round| assert!(round < 5, "it is the fifth")));
    assert_eq!(said, "it is the fifth");
}

#[cfg(feature = "smol")]
#[test]
fn a_hanging_test_is_drawn_under_real_runtimes_too() {
    let said = complaint(|| Test::new(100, false).run(harness::smol, hangs_in_a_scope));
    assert!(said.contains("`never woken`"), "{said}");
}

#[test]
fn a_test_that_only_yields_is_drawn() {
    async fn yields() {
        loop {
            yield_now().await;
        }
    }
    let said = complaint(|| Test::new(100, false).run(harness::sim, yields));
    assert!(said.contains("these wait:\n  main"), "{said}");
}

/// A loop without an `await`, which no test waits for longer than `stop` says.
fn spin(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

#[test]
fn a_test_that_loops_without_await_is_told_from_one_that_waits() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let said = complaint(|| Test::new(100, false).run(harness::sim, || async { spin(&STOP) }));
    STOP.store(true, Ordering::Relaxed);
    assert!(said.contains("poll 1 does not return"), "{said}");
}

#[test]
fn a_task_that_keeps_the_thread_to_itself_is_told_as_well() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let test = || scope(async |s| s.spawn_parallel(async { spin(&STOP) }).await);
    let said = complaint(|| Test::new(100, false).run(harness::sim, test));
    STOP.store(true, Ordering::Relaxed);
    assert!(said.contains("its runtime does not come back to it"), "{said}");
}

#[test]
fn a_test_that_has_completed_is_told_from_the_runtime_that_waits_for_what_it_adopted() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let said = complaint(|| {
        Test::new(100, false).run(harness::sim, || async {
            let adopted = std::pin::pin!(foster::adopt(async {
                while !STOP.load(Ordering::Relaxed) {
                    sleep(Duration::from_nanos(1)).await;
                }
            }));
            assert!(futures::poll!(adopted).is_pending());
        });
    });
    STOP.store(true, Ordering::Relaxed);
    assert!(said.contains("the test has completed; its runtime waits"), "{said}");
}

#[test]
fn a_test_that_hangs_is_ended_if_it_can_be() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::Relaxed);
        }
    }
    let test = || async {
        let _guard = Guard;
        hangs_in_a_scope().await
    };
    complaint(|| Test::new(100, false).run(harness::sim, test));
    while DROPS.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn to_hang_is_not_the_panic_that_is_waited_for() {
    Test::new(100, true).run(harness::sim, hangs_in_a_scope);
}

/// Programs are functions like others, and so can be called here.
#[cfg(feature = "basic")]
mod programs {
    use std::num::ParseIntError;

    use foster::scope;

    #[foster::main(basic, threads = 2)]
    async fn pool() -> Result<i32, ParseIntError> {
        let sum = scope(async |s| s.spawn_parallel(async { "3".parse::<i32>() }).await);
        Ok(sum.await? + "4".parse::<i32>()?)
    }

    /// With a documentation.
    #[foster::main(basic)]
    #[must_use]
    pub(crate) async fn every_core() -> i32 {
        foster::sleep(std::time::Duration::from_millis(1)).await;
        3
    }

    #[test]
    fn a_program_returns_what_it_returns() {
        assert_eq!(pool(), Ok(7));
        assert_eq!(every_core(), 3);
    }
}

#[cfg(feature = "tokio")]
#[test]
fn a_program_on_tokio_is_on_tokio() {
    #[foster::main(tokio, threads = 1)]
    async fn program() -> bool {
        foster::runtimes::Tokio::try_current().is_some()
    }
    assert!(program());
}

#[cfg(all(feature = "smol", feature = "async-std"))]
#[test]
fn programs_on_global_executors_run_too() {
    #[foster::main(smol)]
    async fn on_smol() -> usize {
        scope(async |s| s.spawn_parallel(async { 1 }).await).await
    }
    #[foster::main(async_std)]
    async fn on_async_std() -> usize {
        scope(async |s| s.spawn_parallel(async { 2 }).await).await
    }
    assert_eq!(on_smol() + on_async_std(), 3);
}

/// A foster of another name. It has what the attributes need of it here.
mod renamed {
    macro_rules! if_basic {
        ({ $($then:tt)* } { $($otherwise:tt)* }) => { $($then)* };
    }
    pub(crate) use if_basic as __if_basic;

    pub(crate) mod testing {
        pub(crate) mod harness {
            use std::future::Future;

            pub(crate) struct Test;

            pub(crate) fn basic() {}

            impl Test {
                pub(crate) fn new(_: u64, _: bool) -> Self {
                    Test
                }

                pub(crate) fn run<F: Future<Output = Result<(), u32>>>(self, basic: fn(), test: fn() -> F) {
                    basic();
                    self.run_without_runtime(test);
                }

                /// Runs a test that should fail.
                pub(crate) fn run_without_runtime<F: Future<Output = Result<(), u32>>>(self, test: fn() -> F) {
                    assert_eq!(futures::executor::block_on(test()), Err(7));
                }
            }
        }
    }

    pub(crate) mod runtimes {
        use std::convert::Infallible;
        use std::future::Future;

        pub(crate) struct Basic;

        impl Basic {
            pub(crate) fn thread_pool(_: usize) -> Result<Self, Infallible> {
                Ok(Basic)
            }

            pub(crate) fn run<T>(self, program: impl Future<Output = T>) -> T {
                futures::executor::block_on(program)
            }
        }
    }
}

#[foster::test(runtimes(none), crate = crate::renamed)]
async fn a_test_finds_foster_where_the_argument_says() -> Result<(), u32> {
    Err(7)
}

#[foster::test(runtimes(none), crate = "crate::renamed")]
async fn the_path_may_stand_in_a_string() -> Result<(), u32> {
    Err(7)
}

#[foster::test(runtimes(basic), crate = crate::renamed)]
async fn a_test_on_a_runtime_finds_foster_where_the_argument_says() -> Result<(), u32> {
    Err(7)
}

macro_rules! in_a_macro {
    ($name:ident) => {
        #[foster::test(runtimes(none, basic), crate = $crate::renamed)]
        async fn $name() -> Result<(), u32> {
            Err(7)
        }
    };
}
in_a_macro!(the_path_may_be_that_of_a_macro);

#[test]
fn a_program_finds_foster_where_the_argument_says() {
    #[foster::main(basic, crate = renamed, threads = 1)]
    async fn program() -> bool {
        foster::Handle::try_current().is_none()
    }
    assert!(program());
}
