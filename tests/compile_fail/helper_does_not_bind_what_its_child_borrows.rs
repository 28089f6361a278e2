//! A function that spawns what it borrows into its caller's scope names the scope's lifetime.

use foster::Scope;

fn greet(s: &Scope<'_>, name: &str) {
    s.spawn(async move { name.len() });
}

fn main() {
    let name = String::from("Ada");
    futures::executor::block_on(foster::scope(async |s| greet(&s, &name)));
}
