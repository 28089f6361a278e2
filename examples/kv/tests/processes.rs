//! Three processes over loopback, on each runtime. They are killed in the middle of a load, and
//! what clients have seen must be linearizable.
//!
//! Each node is given its listener as its standard input, so no two fight for a port.
#![cfg(unix)]

mod support;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use foster::sync::watch;
use foster::{Handle, scope};
use kv::Client;
use support::history::{Action, History};
use support::linearizable::check;
use tempfile::TempDir;

const NODES: usize = 3;
const CLIENTS: u64 = 4;

/// The clients have done so many operations when the first node is killed, when it is started
/// again, and when the second one is killed, and in the end.
const STEPS: [usize; 4] = [100, 200, 300, 400];

/// Three processes, which are killed in the end.
struct Cluster {
    runtime: &'static str,
    listeners: Vec<TcpListener>,
    addresses: Vec<String>,
    folder: TempDir,
    nodes: Vec<Option<Child>>,
}

impl Cluster {
    fn start(runtime: &'static str) -> Self {
        let listeners: Vec<_> = (0..NODES).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
        let nodes = (0..NODES).map(|_| None).collect();
        let mut cluster = Cluster { runtime, listeners, addresses, folder: TempDir::new().unwrap(), nodes };
        (0..NODES).for_each(|id| cluster.start_node(id));
        cluster
    }

    fn start_node(&mut self, id: usize) {
        let listener: OwnedFd = self.listeners[id].try_clone().unwrap().into();
        let node = Command::new(env!("CARGO_BIN_EXE_kv"))
            .args(["--nodes", &self.addresses.join(","), "--runtime", self.runtime])
            .args(["serve", "--inherit", "--id", &id.to_string(), "--dir"])
            .arg(self.folder.path().join(id.to_string()))
            .stdin(Stdio::from(listener))
            .spawn();
        self.nodes[id] = Some(node.unwrap());
    }

    fn kill_node(&mut self, id: usize) {
        let mut node = self.nodes[id].take().unwrap();
        assert_eq!(node.try_wait().unwrap(), None, "node {id} has ended by itself");
        node.kill().unwrap();
        node.wait().unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for mut node in self.nodes.iter_mut().filter_map(Option::take) {
            _ = node.kill();
            _ = node.wait();
        }
    }
}

/// Reads and writes two keys, in turns that differ from client to client.
async fn load(id: u64, addresses: &[String], history: &History, done: &watch::Sender<usize>) {
    let mut client = Client::new(id, addresses);
    for number in id.. {
        if *done.get() >= STEPS[3] {
            return;
        }
        let key = ["x", "y"][(number / 2 % 2) as usize];
        if number % 2 == 0 {
            let call = history.call(id, key, Action::Get);
            history.answer(call, client.get(key).await.unwrap());
        } else {
            let value = format!("{id}.{number}");
            let call = history.call(id, key, Action::Put(value.clone()));
            history.answer(call, client.put(key, &value).await.unwrap());
        }
        done.send_modify(|done| *done += 1);
    }
}

#[foster::test(runtimes(tokio, smol, async_std, basic), timeout = "120s")]
async fn killed_nodes_lose_nothing() {
    let runtime = Handle::try_current().unwrap().name();
    let mut cluster = Cluster::start(runtime);
    let addresses = cluster.addresses.clone();
    let (history, (done, mut steps)) = (History::default(), watch::channel(0));
    scope(async |s| {
        for client in 1..=CLIENTS {
            s.spawn(load(client, &addresses, &history, &done));
        }
        _ = steps.wait_for(|done| *done >= STEPS[0]).await;
        cluster.kill_node(0);
        _ = steps.wait_for(|done| *done >= STEPS[1]).await;
        cluster.start_node(0);
        _ = steps.wait_for(|done| *done >= STEPS[2]).await;
        // Now the first one is needed, with what it has on disk.
        cluster.kill_node(1);
    })
    .await;
    assert!(history.answered() >= STEPS[3]);
    check(&history.operations()).unwrap_or_else(|why| panic!("on {runtime}: {why}"));
}
