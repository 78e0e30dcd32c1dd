//! Kept connections that are closed just when the next request comes.

use std::time::Duration;

use mirror::prometheus::{Store as _, StoreError, Targets};

use crate::upstream::{
    Reply, Upstream, exposition, main_server, metrics, one_sample, query, settings, target,
    targets, within,
};

const TIME: Duration = Duration::from_secs(20);

/// Ends of a connection before any byte of an answer.
fn ends() -> [Reply; 2] {
    [Reply::Bytes(Vec::new()), Reply::Reset(Vec::new())]
}

#[tokio::test]
async fn a_request_on_a_kept_connection_that_is_closed_under_it_is_sent_once_more() {
    for end in ends() {
        let next = end.clone();
        let upstream = Upstream::start(move |_| Reply::Then(one_sample(), Box::new(next.clone())))
            .await
            .unwrap();
        let (registry, metrics) = metrics();
        let settings = settings(1, &[target("main", upstream.address())]);
        let targets = Targets::new(&settings, &metrics, None);
        let target = main_server(&targets);
        for length in [1, 1, 5_000, 1, 5_000] {
            let call = query(&"x".repeat(length));
            let answer = target.call(call, within(TIME)).await;
            assert!(answer.is_ok(), "{end:?}: {answer:?}");
        }
        // The new connections are not kept, so each call but the first two needs no second request.
        let requests = upstream.requests();
        let again = requests.len() - 5;
        assert!(again > 0, "{requests:?}");
        let line = format!(
            "prometheus_mirror_upstream_requests_sent_again_total{{target=\"main\"}} {again}"
        );
        assert!(exposition(&registry).contains(&line), "{line}");
    }
}

#[tokio::test]
async fn a_request_is_not_sent_a_third_time() {
    for end in ends() {
        let first = std::sync::atomic::AtomicBool::new(true);
        let next = end.clone();
        let upstream = Upstream::start(move |_| {
            if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                Reply::Then(one_sample(), Box::new(next.clone()))
            } else {
                next.clone()
            }
        })
        .await
        .unwrap();
        let targets = targets(1, upstream.address());
        let target = main_server(&targets);
        target.call(query("up"), within(TIME)).await.unwrap();
        let error = target
            .call(query("deadly"), within(TIME))
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
        assert_eq!(upstream.requests().len(), 3);
    }
}

#[tokio::test]
async fn on_a_new_connection_a_request_is_sent_once() {
    for end in ends() {
        let upstream = Upstream::always(end).await.unwrap();
        let targets = targets(1, upstream.address());
        for _ in 0..3 {
            let call = main_server(&targets).call(query("deadly"), within(TIME));
            let error = call.await.unwrap_err();
            assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
        }
        assert_eq!(upstream.requests().len(), 3);
    }
}

#[tokio::test]
async fn after_the_first_byte_of_an_answer_nothing_is_sent_again() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
    let begun = format!("{head}{{\"status\"");
    for end in [
        Reply::Bytes(head.into()),
        Reply::Bytes(begun.clone().into()),
        Reply::Reset(begun.into()),
        Reply::Bytes(b"SSH-2.0\r\n\r\n".to_vec()),
    ] {
        let next = end.clone();
        let upstream = Upstream::start(move |_| Reply::Then(one_sample(), Box::new(next.clone())))
            .await
            .unwrap();
        let targets = targets(1, upstream.address());
        let target = main_server(&targets);
        target.call(query("up"), within(TIME)).await.unwrap();
        let error = target.call(query("up"), within(TIME)).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
        assert_eq!(upstream.requests().len(), 2, "{end:?}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_stays_silent_is_a_timeout() {
    let upstream =
        Upstream::start(|_| Reply::Then(one_sample(), Box::new(Reply::Hang(Vec::new()))))
            .await
            .unwrap();
    let targets = targets(1, upstream.address());
    let target = main_server(&targets);
    target.call(query("up"), within(TIME)).await.unwrap();
    let call = target.call(query("up"), within(Duration::from_millis(300)));
    let error = call.await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout(_)), "{error:?}");
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn the_deadline_holds_for_the_second_time_too() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let upstream = Upstream::start(move |_| {
        if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            Reply::Then(one_sample(), Box::new(Reply::Bytes(Vec::new())))
        } else {
            Reply::Hang(Vec::new())
        }
    })
    .await
    .unwrap();
    let targets = targets(1, upstream.address());
    let target = main_server(&targets);
    target.call(query("up"), within(TIME)).await.unwrap();
    let call = target.call(query("up"), within(Duration::from_millis(500)));
    let error = call.await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout(_)), "{error:?}");
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_on_connections_that_all_go_stale_at_once_have_answers() {
    let upstream =
        Upstream::start(|_| Reply::Then(one_sample(), Box::new(Reply::Bytes(Vec::new()))))
            .await
            .unwrap();
    let targets = targets(8, upstream.address());
    let target = main_server(&targets);
    for round in 0..10 {
        let calls = (0..8).map(|index| {
            let call = query(&format!("{round}-{index}"));
            async move { target.call(call, within(TIME)).await }
        });
        for answer in futures::future::join_all(calls).await {
            assert!(answer.is_ok(), "{answer:?}");
        }
    }
}
