//! The service in a simulation: links are cut, connections reset, packets lost, nodes crashed.
//!
//! Three clients record what they did, and the history must be linearizable. A node that breaks a
//! rule must be found out by some seed.

mod support;

use std::time::Duration;

use foster::runtimes::Sim;
use foster::testing::{Explore, Faults};
use foster::{race, scope, sleep, timeout};
use kv::{Client, Reads, Retries, Rules};
use support::cluster::{HOSTS, addresses, start};
use support::history::{Action, History};
use support::linearizable::check;

const SECOND: Duration = Duration::from_secs(1);
const CLIENTS: u64 = 3;
const OPERATIONS: u64 = 10;

/// Numbers that follow from the seed of the simulation.
struct Dice(u64);

impl Dice {
    fn of(client: u64) -> Self {
        Dice(Sim::current().seed().wrapping_mul(31).wrapping_add(client).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: u64) -> u64 {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) % n
    }
}

/// Reads and writes two keys. The first client writes most, and the last one reads.
async fn load(id: u64, history: &History) {
    let (mut client, mut dice) = (Client::new(id, &addresses()), Dice::of(id));
    for number in 0..OPERATIONS {
        let key = ["x", "y"][dice.below(2) as usize];
        let answer = if dice.below(CLIENTS) < id {
            let call = history.call(id, key, Action::Get);
            client.get(key).await.map(|value| (call, value))
        } else {
            let value = format!("{id}.{number}");
            let call = history.call(id, key, Action::Put(value.clone()));
            client.put(key, &value).await.map(|value| (call, value))
        };
        // Without an answer, it is not known whether it was done.
        let Ok((call, value)) = answer else { return };
        history.answer(call, value);
        sleep(Duration::from_millis(dice.below(400))).await;
    }
}

/// Cuts one node after the other from the rest, while clients reach all of them.
async fn cut_off_nodes() {
    let (network, mut dice) = (Sim::current().network(), Dice::of(0));
    loop {
        sleep(Duration::from_millis(dice.below(1_000))).await;
        let one = dice.below(3) as usize;
        let others = [HOSTS[(one + 1) % 3], HOSTS[(one + 2) % 3]];
        others.iter().for_each(|other| network.partition(HOSTS[one], other));
        sleep(Duration::from_millis(dice.below(4_000))).await;
        others.iter().for_each(|other| network.repair(HOSTS[one], other));
    }
}

async fn program(rules: Rules) {
    start(rules);
    let history = &History::default();
    let loads = scope(async |s| {
        for client in 1..=CLIENTS {
            s.spawn(load(client, history));
        }
    });
    _ = timeout(300 * SECOND, race((loads, cut_off_nodes()))).await;
    check(&history.operations()).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(history.answered() as u64, CLIENTS * OPERATIONS, "a client has got no answer in five minutes");
}

fn faults() -> Faults {
    let broken = Faults::none().cut_links(0.01, 5 * SECOND).reset_connections(0.01).lose_packets(0.02);
    broken.crash_hosts(0.005, 2 * SECOND)
}

#[test]
fn every_history_is_linearizable_whatever_breaks() {
    let seeds = std::env::var("KV_SEEDS").map_or(300, |seeds| seeds.parse().expect("a number of seeds"));
    let began = std::time::Instant::now();
    Explore::new().seeds(0..seeds).faults(faults()).check(|| program(Rules::default()));
    println!("{seeds} seeds in {:?}", began.elapsed());
}

#[track_caller]
fn finds(rules: Rules) {
    let found = Explore::new().seeds(0..10_000).faults(faults()).run(|| program(rules)).expect_err("no seed finds it");
    assert!(found.message().contains("no order of these explains"), "{found}");
    println!("{}, the schedule {}: {}", found.replay(), found.schedules(), found.message());
    // The seed alone finds it again.
    let seed = found.seed();
    let again = Explore::new().seeds(seed..seed + 1).faults(faults()).run(|| program(rules)).unwrap_err();
    assert_eq!((again.message(), again.trace()), (found.message(), found.trace()));
}

#[test]
fn a_leader_that_asks_nobody_before_a_read_is_found_out() {
    finds(Rules::default().reads(Reads::Unconfirmed));
}

#[test]
fn a_write_that_is_done_twice_is_found_out() {
    finds(Rules::default().retries(Retries::EachTime));
}
