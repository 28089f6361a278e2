//! Leaders that change at the worst moments, which a script chooses.

mod support;

use std::sync::Arc;
use std::time::Duration;

use foster::runtimes::Sim;
use foster::runtimes::sim::Link;
use foster::testing::explore;
use foster::{race, sleep, timeout};
use kv::{Client, Rules};
use support::cluster::{HOSTS, Memory, addresses, run_node};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A value that leaves no room for another entry in a message.
fn long() -> String {
    "1".repeat(65_500)
}

/// A client that asks one node alone.
fn client_of(node: usize, id: u64) -> Client {
    Client::new(id, &addresses()[node..=node])
}

/// Returns who leads, as soon as somebody does.
async fn leader() -> usize {
    loop {
        for node in 0..HOSTS.len() {
            // A client that only reads needs no number of its own.
            if matches!(timeout(SECOND, client_of(node, 0).get("x")).await, Ok(Ok(_))) {
                return node;
            }
        }
    }
}

/// Waits until a disk has so many times what `text` says.
async fn written(disk: &Memory, text: &str, times: usize) {
    while String::from_utf8_lossy(&disk.0.lock().unwrap()).matches(text).count() < times {
        sleep(MILLISECOND).await;
    }
}

/// An entry is on the disks of two nodes, but is of an earlier epoch than that of their leader. A
/// third node, which has led in between, may still replace it. This is figure 8 of the paper on
/// Raft (Ongaro and Ousterhout, 2014).
#[test]
fn an_entry_that_a_later_leader_replaces_is_never_seen() {
    explore(0..10, || async {
        let disks: [Arc<Memory>; 3] = Default::default();
        for (id, disk) in disks.iter().enumerate() {
            run_node(id, addresses(), Rules::default(), disk.clone());
        }
        let network = Sim::current().network();
        network.set_all(Link::new().latency(10 * MILLISECOND));
        let between = |one: usize, other: usize| (HOSTS[one], HOSTS[other]);
        let cut = |(one, other)| network.partition(one, other);
        let repair = |(one, other)| network.repair(one, other);

        let old = leader().await;
        assert_eq!(client_of(old, 1).put("x", "1").await.unwrap(), None);
        sleep(SECOND).await;

        // The leader is cut off with an entry that nobody else has.
        let [one, other] = [(old + 1) % 3, (old + 2) % 3];
        cut(between(old, one));
        cut(between(old, other));
        let gave_up = timeout(100 * MILLISECOND, client_of(old, 2).put("y", &long())).await;
        assert!(!matches!(gave_up, Ok(Ok(_))));

        // One of the others leads, and is cut off when nobody else has its first entry.
        let leads = async |node: usize| {
            written(&disks[node], r#""write":null"#, 2).await;
            node
        };
        let new = race((leads(one), leads(other))).await;
        let third = 3 - old - new;
        cut(between(new, third));

        // The first one leads again, and is cut off when another one has its old entry too.
        repair(between(old, third));
        written(&disks[third], r#""key":"y""#, 1).await;
        network.partition_one_way(HOSTS[old], HOSTS[third]);
        sleep(100 * MILLISECOND).await;
        cut(between(old, third));

        // The second one leads again, and replaces that entry.
        repair(between(new, third));
        let addresses = [new, third].map(|node| addresses()[node].clone());
        let mut client = Client::new(3, &addresses);
        assert_eq!(client.put("x", "2").await.unwrap().as_deref(), Some("1"));
        assert!(client.get("y").await.unwrap().is_none());

        // Whoever leads after that, the first one included, has forgotten it.
        network.repair_all();
        sleep(2 * SECOND).await;
        loop {
            let leader = leader().await;
            let seen = client_of(leader, 0).get("y").await.unwrap().is_some();
            assert!(!seen, "node {leader} has done a write that was replaced");
            if leader == old {
                return;
            }
            network.isolate(HOSTS[leader]);
            sleep(2 * SECOND).await;
            network.repair_all();
        }
    });
}
