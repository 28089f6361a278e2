//! Three nodes on hosts of a simulation.

use std::io;
use std::sync::{Arc, Mutex};

use foster::net::TcpListener;
use foster::runtimes::Sim;
use kv::{Disk, Node, Rules};

/// The hosts of the nodes.
pub(crate) const HOSTS: [&str; 3] = ["one", "two", "three"];

pub(crate) fn addresses() -> Vec<String> {
    HOSTS.map(|host| format!("{host}:80")).to_vec()
}

/// A disk that outlives the crash of its host.
#[derive(Debug, Default)]
pub(crate) struct Memory(pub(crate) Mutex<Vec<u8>>);

impl Disk for Memory {
    fn read(&self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn truncate(&self, length: usize) -> io::Result<()> {
        self.0.lock().unwrap().truncate(length);
        Ok(())
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }
}

/// Runs a node on its host, now and after each crash.
pub(crate) fn run_node(id: usize, addresses: Vec<String>, rules: Rules, disk: Arc<dyn Disk>) {
    let (host, _) = addresses[id].split_once(':').unwrap();
    Sim::current().host(host).program({
        let addresses = addresses.clone();
        move || {
            let (addresses, disk) = (addresses.clone(), disk.clone());
            async move {
                let listener = TcpListener::bind(addresses[id].as_str()).await.unwrap();
                Node::open(id, addresses, rules, disk).await.unwrap().run(listener).await;
            }
        }
    });
}

/// Runs three nodes with empty disks.
pub(crate) fn start(rules: Rules) {
    for id in 0..HOSTS.len() {
        run_node(id, addresses(), rules, Arc::new(Memory::default()));
    }
}
