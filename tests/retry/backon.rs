//! The schedules of `backon`.

use std::time::Duration;

use backon::{BackoffBuilder, ConstantBuilder, ExponentialBuilder, FibonacciBuilder};
use foster::{now, retry};

use crate::Flaky;
use crate::harness::T;

matrix! {
    async fn the_builders_of_backon_make_schedules() {
        let flaky = || Flaky::new(3);
        let (constant, fibonacci) = (ConstantBuilder::new().with_delay(T), FibonacciBuilder::new().with_min_delay(T));
        let exponential = ExponentialBuilder::new().with_min_delay(T).with_jitter();
        let operation = flaky();
        assert_eq!(retry(constant.build(), async || operation.attempt()).await, Ok(4));
        let operation = flaky();
        assert_eq!(retry(fibonacci.build(), async || operation.attempt()).await, Ok(4));
        let operation = flaky();
        assert_eq!(retry(exponential.build(), async || operation.attempt()).await, Ok(4));
    }
}

sim! {
    async fn the_waits_are_those_of_the_builder() {
        let (start, second, broken) = (now(), Duration::from_secs(1), Flaky::broken());
        let schedule = ExponentialBuilder::new().with_max_times(5).with_max_delay(10 * second);
        assert_eq!(retry(schedule.build(), async || broken.attempt()).await, Err(6));
        assert_eq!(now() - start, (1 + 2 + 4 + 8 + 10) * second);
    }
}
