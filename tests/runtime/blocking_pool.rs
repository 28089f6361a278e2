//! The pool of foster, for those who have no other.

use foster::{blocking, scope};
use futures::executor::block_on;

use crate::harness::watched;

#[test]
fn without_a_runtime_a_job_runs_in_the_pool_of_foster() {
    watched(|| {
        let name = block_on(blocking(|| std::thread::current().name().map(String::from)));
        assert_eq!(name.as_deref(), Some("foster-blocking"));
    });
}

// Each held a thread of a pool of 256, and waited for one that would never be free.
#[test]
fn three_hundred_jobs_may_wait_for_a_job_each_in_the_pool_of_foster() {
    watched(|| {
        let all = async || {
            scope(async |s| {
                let jobs: Vec<_> = (0..300).map(|n| s.spawn_blocking(move || block_on(blocking(move || n)))).collect();
                let mut sum = 0;
                for job in jobs {
                    sum += job.await;
                }
                sum
            })
            .await
        };
        assert_eq!(block_on(all()), 300 * 299 / 2);
        assert_eq!(crate::harness::basic().run(all()), 300 * 299 / 2);
    });
}
