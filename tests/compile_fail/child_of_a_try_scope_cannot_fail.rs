//! In a `try_scope` a child that cannot fail ends with `Ok`: so no error is dropped by the wrong verb.

fn main() {
    _ = futures::executor::block_on(foster::try_scope(async |s| {
        let seven = s.spawn(async { 7 });
        Ok::<_, String>(seven.await)
    }));
}
