//! Smoke.
use foster::runtimes::*;
use foster::*;
use std::time::Duration;
const SEC: Duration = Duration::from_secs(1);

#[test]
fn basic() {
    let v = futures::executor::block_on(scope(|s| async move {
        let a = s.spawn(async { 1 });
        let b = s.spawn(async {
            yield_now().await;
            2
        });
        let c = s.spawn_blocking(|| 3);
        a.await + b.await + c.await
    }));
    assert_eq!(v, 6);
}
#[test]
fn par() {
    for rt in [
        Handle::from(Tokio::current_thread().unwrap()),
        Tokio::multi_thread(2).unwrap().into(),
        Smol::global().into(),
        AsyncStd::global().into(),
        Basic::thread_pool(2).unwrap().into(),
        Basic::current_thread().into(),
        Sim::new(3).into(),
    ] {
        println!("{rt:?}");
        let r = rt.run(async {
            let t = std::time::Instant::now();
            let r = timeout(
                Duration::from_millis(300),
                scope(|s| async move {
                    s.defer(async {
                        sleep(Duration::from_millis(5)).await;
                        println!("final 1")
                    });
                    s.defer(async { println!("final 2") });
                    s.spawn_parallel(async {
                        shield(sleep(Duration::from_millis(400))).await;
                        println!("shield over");
                        std::future::pending::<()>().await
                    });
                    let x = s.spawn_parallel(async {
                        sleep(Duration::from_millis(10)).await;
                        5
                    });
                    println!("x {}", x.await);
                    std::future::pending::<()>().await
                }),
            )
            .await;
            println!("{:?}", t.elapsed());
            r
        });
        assert!(r.is_err());
    }
}
#[test]
fn nested_foreign() {
    Sim::new(1).run(async {
        let mut log = std::sync::Mutex::new(vec![]);
        let l = &log;
        let r = timeout(SEC, async {
            futures::join!(
                scope(|s| async move {
                    s.defer(async move {
                        sleep(SEC).await;
                        l.lock().unwrap().push("outer")
                    });
                    let mut fu: futures::stream::FuturesUnordered<_> = (0..3)
                        .map(|_| {
                            scope(|s| async move {
                                s.defer(async move {
                                    sleep(SEC).await;
                                    l.lock().unwrap().push("inner")
                                });
                                std::future::pending::<()>().await
                            })
                        })
                        .collect();
                    use futures::StreamExt;
                    fu.next().await
                }),
                std::future::pending::<()>()
            )
        })
        .await;
        assert!(r.is_err());
        assert_eq!(*log.get_mut().unwrap(), ["inner", "inner", "inner", "outer"]);
    });
}
#[test]
fn try_fail() {
    let r: Result<(), &str> = Sim::new(1).run(try_scope(|s| async move {
        s.spawn(sleep(SEC));
        let t = s.try_spawn(async {
            yield_now().await;
            Err::<(), _>("no")
        });
        s.try_spawn_parallel(async {
            sleep(Duration::MAX).await;
            Err::<(), _>("other")
        });
        Ok(t.await)
    }));
    assert_eq!(r, Err("no"));
}
fn send<T: Send>(t: T) -> T {
    t
}
#[test]
fn is_send() {
    let v = vec![1, 2];
    let v = &v;
    let f = send(scope(|s| async move { s.spawn(async move { v.len() }).await }));
    assert_eq!(futures::executor::block_on(f), 2);
}
