//! A task may leave its scope, but not with a borrow of what is gone.

fn main() {
    let task = {
        let name = String::from("short-lived");
        let borrowed = &name;
        futures::executor::block_on(foster::scope(|s| async move { s.spawn(async move { borrowed.as_str() }) }))
    };
    println!("{}", futures::executor::block_on(task));
}
