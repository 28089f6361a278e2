//! The programs on each runtime, over loopback.
//!
//! Nothing here goes by real time. Faults happen to a request by its number, and the pauses before
//! retries are zero.

mod support;

use std::fs;
use std::time::Duration;

use fetch::server::{Order, Receipt, file};
use fetch::{Failure, Options, programs};
use foster::net::TcpListener;
use foster::testing::poll_once;
use support::{beside_server, pages};

/// Retries at once, at any rate, and lets no server be late.
fn options() -> Options {
    let second = Duration::from_secs(1);
    Options::new().pauses([Duration::ZERO; 3]).rate(1_000_000, second).timeout(60 * second).budget(10_000)
}

fn tea(count: u32) -> Order {
    Order { item: "tea".into(), count }
}

macro_rules! on_each_runtime {
    ($(async fn $name:ident() $body:block)*) => {$(
        #[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic), timeout = "60s")]
        async fn $name() $body
    )*};
}

on_each_runtime! {
    async fn each_page_is_gathered_in_its_place_whatever_fails_at_first() {
        beside_server(options().limit_per_host(5), async |session, url, log| {
            let mut urls = pages(url, 60, "");
            for (index, faults) in ["error", "lost", "cut", "error,lost,cut"].into_iter().enumerate() {
                urls[10 * index].push_str(faults);
            }
            let pages = programs::gather(session, &urls, 20).await;
            for (number, page) in pages.iter().enumerate() {
                assert_eq!(page.as_ref().unwrap(), &format!("page {number}"));
            }
            assert_eq!(log.requests(), 60 + 1 + 1 + 1 + 3);
            assert!(session.statistics().peak() <= 5);
        })
        .await;
    }

    async fn many_tasks_share_a_session() {
        beside_server(options().limit_per_host(4), async |session, url, log| {
            let urls = pages(url, 100, "");
            let length = (0..100).map(|number| format!("page {number}").len()).sum();
            assert_eq!(programs::share(session, &urls, 16).await, (length, 0));
            assert_eq!(log.requests(), 100);
            assert!(log.connections() <= 4, "no connection breaks off, so each is used again");
        })
        .await;
    }

    async fn a_download_goes_on_where_it_has_broken_off() {
        beside_server(options(), async |session, url, log| {
            // The last one sends what is known once more.
            for (faults, requests, promised) in [("cut,error,cut", 4, ..3_000_000), ("cut,whole", 2, ..2_000_001)] {
                let (before, promised_before) = (log.requests(), log.promised());
                let target = tempfile::NamedTempFile::new().unwrap();
                let url = format!("{url}/files/1000000?{faults}");
                let length = session.download(&url, target.reopen().unwrap()).await.unwrap();
                assert_eq!(length, 1_000_000);
                assert!(fs::read(target.path()).unwrap() == file(1_000_000), "the file has other bytes");
                assert_eq!(log.requests() - before, requests);
                assert!(promised.contains(&(log.promised() - promised_before)), "it has asked for what it has");
            }
        })
        .await;
    }

    async fn an_order_that_may_have_been_done_is_not_sent_again() {
        beside_server(options(), async |session, url, log| {
            let receipt: Receipt = session.post(&format!("{url}/orders?"), &tea(1)).await.unwrap();
            assert_eq!(receipt, Receipt { number: 1 });
            for (count, fault) in [(2, "lost"), (3, "cut"), (4, "error")] {
                let failed = session.post::<Receipt>(&format!("{url}/orders?{fault}"), &tea(count)).await.unwrap_err();
                assert!(failed.is_refused() && !failed.error().is_undone(), "{failed}");
                assert_eq!(failed.attempts(), 1);
            }
            assert_eq!(log.orders(), [tea(1), tea(2), tea(3)], "an error comes before the order is read");
        })
        .await;
    }

    async fn a_response_that_is_dropped_in_mid_body_breaks_its_connection() {
        // There is one place, which must be free again.
        beside_server(options().limit(1), async |session, url, log| {
            let mut response = session.get(&format!("{url}/files/100000?stall")).await.unwrap();
            let mut length = 0;
            while length < 50_000 {
                length += response.chunk().await.unwrap().unwrap().len();
            }
            assert!(poll_once(response.chunk()).await.is_pending());
            assert_eq!(session.statistics().in_use(), 1);
            drop(response);
            assert_eq!(session.statistics().idle(), 0);
            assert_eq!(session.bytes(&format!("{url}/pages/7")).await.unwrap(), "page 7");
            assert_eq!(log.connections(), 2);

            // Between two chunks, too.
            let mut response = session.get(&format!("{url}/files/1000000")).await.unwrap();
            response.chunk().await.unwrap().unwrap();
            drop(response);
            assert_eq!(session.statistics().idle(), 0);
            assert_eq!(session.bytes(&format!("{url}/pages/7")).await.unwrap(), "page 7");
            assert_eq!(log.connections(), 3);
        })
        .await;
    }

    async fn a_response_that_breaks_off_breaks_its_connection() {
        beside_server(options().limit(1), async |session, url, log| {
            let mut response = session.get(&format!("{url}/files/100000?cut")).await.unwrap();
            let failed = loop {
                match response.chunk().await {
                    Ok(chunk) => assert!(chunk.is_some(), "this is not the end"),
                    Err(failed) => break failed,
                }
            };
            assert!(matches!(failed, Failure::Broken(_)), "{failed}");
            assert_eq!((session.statistics().idle(), session.statistics().in_use()), (0, 0));
            assert!(response.chunk().await.unwrap().is_none());
            assert_eq!(session.bytes(&format!("{url}/pages/7")).await.unwrap(), "page 7");
            assert_eq!(log.connections(), 2);
        })
        .await;
    }

    async fn a_response_that_was_read_to_its_end_gives_its_connection_back() {
        beside_server(options().limit(1), async |session, url, log| {
            let mut response = session.get(&format!("{url}/files/100")).await.unwrap();
            assert_eq!(response.chunk().await.unwrap().unwrap(), file(100));
            // It is still here, and has no connection any more.
            assert_eq!(session.bytes(&format!("{url}/pages/7")).await.unwrap(), "page 7");
            assert!(response.chunk().await.unwrap().is_none());
            assert_eq!(log.connections(), 1);
        })
        .await;
    }

    async fn a_server_that_is_not_there_is_named() {
        beside_server(options(), async |session, _, _| {
            let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let failed = session.bytes(&format!("http://{address}/")).await.unwrap_err();
            assert!(matches!(failed.error(), Failure::Connect(_)) && failed.error().is_undone());
            assert!(failed.is_exhausted() && failed.attempts() == 4);
            assert!(failed.to_string().contains(&address.to_string()), "{failed}");
        })
        .await;
    }

    async fn what_cannot_be_asked_for_is_an_error_at_once() {
        beside_server(options(), async |session, url, log| {
            for address in ["", "/pages/7", "https://127.0.0.1/", "http://", "http://a b/"] {
                let failed = session.bytes(address).await.unwrap_err();
                assert!(matches!(failed.error(), Failure::Address(_)) && failed.attempts() == 1, "{failed}");
            }
            let failed = session.bytes(&format!("{url}/nothing")).await.unwrap_err();
            assert!(failed.is_refused() && failed.to_string().contains("404"), "{failed}");
            let failed = session.post::<Receipt>(&format!("{url}/orders"), &"tea").await.unwrap_err();
            assert!(failed.to_string().contains("400"), "{failed}");
            let failed = session.post::<Order>(&format!("{url}/orders"), &tea(1)).await.unwrap_err();
            assert!(matches!(failed.error(), Failure::Json(_)), "{failed}");
            assert_eq!((log.requests(), log.connections()), (3, 1), "the connection is fit for use");
        })
        .await;
    }
}
