//! Attempts to connect to several addresses, in virtual time.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use foster::net::{TcpOptions, TcpStream};
use foster::{Handle, Instant, now};
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::cancelled::in_a_cancelled_region;
use super::own::{Does, Plan};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn v4(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 80))
}

fn v6(n: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n), 80))
}

/// Connects, and returns to whom, how long it took, and when each attempt began.
#[track_caller]
fn connect(
    plan: &Plan,
    to: &[SocketAddr],
    options: TcpOptions,
) -> (Result<SocketAddr, String>, u128, Vec<(u128, SocketAddr)>) {
    let (peer, start, end) = plan.sim().run(async {
        let start = now();
        let connected = options.connect(to).await;
        (connected.map(|stream| stream.peer_addr().unwrap()).map_err(|error| error.to_string()), start, now())
    });
    assert_eq!(plan.ended.alive(), 0, "attempts that go on");
    (peer, (end - start).as_millis(), plan.attempts(start))
}

fn plan() -> Plan {
    Plan::of([
        (v4(1), Does::Answers(ms(10))),
        (v4(2), Does::Refuses(ms(20))),
        (v4(3), Does::Answers(ms(300))),
        (v4(4), Does::Answers(ms(1000))),
        (v6(1), Does::Swallows),
        (v6(2), Does::Swallows),
        (v6(3), Does::Refuses(ms(0))),
    ])
}

#[test]
fn an_address_that_swallows_costs_its_head_start() {
    let (peer, took, attempts) = connect(&plan(), &[v6(1), v4(1)], TcpOptions::new());
    assert_eq!((peer, took), (Ok(v4(1)), 260));
    assert_eq!(attempts, [(0, v6(1)), (250, v4(1))]);
}

#[test]
fn the_families_take_turns() {
    let (peer, took, attempts) = connect(&plan(), &[v6(1), v6(2), v6(3), v4(4), v4(1)], TcpOptions::new());
    assert_eq!((peer, took), (Ok(v4(1)), 760));
    assert_eq!(attempts, [(0, v6(1)), (250, v4(4)), (500, v6(2)), (750, v4(1))]);
}

#[test]
fn the_rest_of_the_longer_family_comes_last() {
    let (peer, took, attempts) = connect(&plan(), &[v6(3), v4(2), v4(1)], TcpOptions::new());
    assert_eq!((peer, took), (Ok(v4(1)), 30));
    assert_eq!(attempts, [(0, v6(3)), (0, v4(2)), (20, v4(1))]);
}

#[test]
fn a_refusal_lets_the_next_begin_at_once() {
    let (peer, took, attempts) = connect(&plan(), &[v4(2), v4(1), v4(4)], TcpOptions::new());
    assert_eq!((peer, took), (Ok(v4(1)), 30));
    assert_eq!(attempts, [(0, v4(2)), (20, v4(1))]);
}

#[test]
fn the_first_to_answer_wins() {
    let (peer, took, attempts) = connect(&plan(), &[v4(3), v4(4)], TcpOptions::new());
    assert_eq!((peer, took), (Ok(v4(3)), 300));
    assert_eq!(attempts, [(0, v4(3)), (250, v4(4))]);
}

#[test]
fn each_attempt_has_its_limit() {
    let limited = TcpOptions::new().attempt_timeout(ms(400));
    let (error, took, attempts) = connect(&plan(), &[v6(1), v4(4)], limited);
    assert_eq!((took, attempts), (650, vec![(0, v6(1)), (250, v4(4))]));
    let error = error.unwrap_err();
    assert!(error.contains(&format!("cannot connect to {}: timed out", v6(1))), "{error}");
    assert!(error.contains(&format!("cannot connect to {}: timed out", v4(4))), "{error}");
    let (error, took, _) = connect(&plan(), &[v6(1)], limited);
    assert_eq!((error.unwrap_err(), took), (format!("cannot connect to {}: timed out", v6(1)), 400));
}

#[test]
fn the_error_has_the_kind_of_the_first_attempt() {
    let plan = plan();
    let error = plan.sim().run(async {
        let limited = TcpOptions::new().attempt_timeout(ms(400));
        limited.connect([v6(1), v4(2)]).await.unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::TimedOut, "after 400 ms, and the refusal came after 270");
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("cannot connect to {}: timed out; cannot connect to {}: ", v6(1), v4(2))),
        "{text}"
    );
}

#[test]
fn a_dropped_connect_ends_its_attempts() {
    let plan = plan();
    plan.sim().run(async {
        let connect = TcpStream::connect(vec![v6(1), v6(2)]);
        assert!(foster::timeout(ms(300), connect).await.is_err());
        assert_eq!((plan.ended.count(), plan.ended.alive()), (2, 0));
    });
}

#[test]
fn a_connect_does_not_begin_in_a_cancelled_region() {
    let plan = plan();
    plan.sim().run(async {
        let connected = in_a_cancelled_region(async {
            TcpStream::connect(v4(1)).await.unwrap();
        });
        assert!(!connected.await);
        assert_eq!(plan.ended.count(), 0);
    });
}

#[test]
fn names_are_those_of_the_network() {
    let plan = plan();
    plan.names.lock().unwrap().insert("server".into(), vec![v6(3).ip(), v4(1).ip()]);
    let start = plan.sim().run(async {
        let start = now();
        assert_eq!(TcpStream::connect("server:80").await.unwrap().peer_addr().unwrap(), v4(1));
        let unknown = TcpStream::connect("client:80").await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        assert!(unknown.to_string().starts_with("cannot look up client:80: "), "{unknown}");
        start
    });
    assert_eq!(plan.attempts(start), [(0, v6(3)), (0, v4(1))]);
}

#[test]
fn what_a_boxed_connection_cannot_do_is_an_error() {
    let plan = plan();
    plan.sim().run(async {
        let mut stream = TcpStream::connect(v4(1)).await.unwrap();
        stream.write_all(b"0123456789abcdef").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(stream.local_addr().unwrap_err().kind(), ErrorKind::AddrNotAvailable);
        assert_eq!(stream.shutdown(std::net::Shutdown::Both).unwrap_err().kind(), ErrorKind::Unsupported);
        stream.set_nodelay(true).unwrap();
        assert!(stream.as_fd().is_none());
        stream.close().await.unwrap();
        let broken = stream.write(b"x").await.unwrap_err();
        assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
        assert!(broken.to_string().starts_with("cannot write to 10.0.0.1:80: "), "{broken}");
        assert!(foster::timeout(ms(1), stream.read(&mut [0; 4])).await.is_err());
        assert_eq!(stream.into_std().unwrap_err().kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn a_runtime_without_a_network_says_so() {
    struct Bare(Handle);
    impl futures::task::Spawn for Bare {
        fn spawn_obj(&self, future: futures::task::FutureObj<'static, ()>) -> Result<(), futures::task::SpawnError> {
            self.0.spawn_obj(future)
        }
    }
    impl foster::runtime::Clock for Bare {
        fn now(&self) -> Instant {
            self.0.now()
        }
        fn timer(&self, at: Instant) -> foster::runtime::Timer {
            self.0.timer(at)
        }
    }
    impl foster::runtime::Blocking for Bare {
        fn spawn_blocking(&self, job: foster::runtime::Job) -> Result<(), futures::task::SpawnError> {
            self.0.spawn_blocking(job)
        }
    }
    impl foster::runtime::Runtime for Bare {
        fn name(&self) -> &'static str {
            "bare"
        }
        fn block_on(
            &self,
            root: std::pin::Pin<&mut dyn std::future::Future<Output = ()>>,
        ) -> Result<(), foster::runtime::RunError> {
            self.0.try_run(root)
        }
    }
    let bare = Handle::new(Bare(foster::runtimes::Sim::new(1).into()));
    let error = bare.run(async { TcpStream::connect(v4(1)).await.unwrap_err() });
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("the runtime \"bare\" has no network"), "{error}");
    assert!(bare.network().is_err());
    let addresses = bare.run(foster::net::lookup("localhost:80")).unwrap();
    assert!(!addresses.is_empty(), "the system knows names all the same");
}
