//! Stores that ask to slow down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crds::contract::TargetReachability;
use futures::future::join_all;
use mirror::api::state::AppState;
use mirror::http::probe::Probe;
use mirror::prometheus::{Store as _, StoreError, Targets};
use mirror::telemetry::metrics::Metrics;

use crate::upstream::{
    Reply, Upstream, eventually, exposition, main_server, metrics, one_sample, only, query,
    settings, target, targets, within,
};

const LONG: Duration = Duration::from_secs(20);

/// Message and pause in seconds of a refusal.
fn throttled<T: std::fmt::Debug>(result: Result<T, StoreError>) -> (String, f64) {
    match result {
        Err(StoreError::Throttled {
            message,
            retry_after,
        }) => (message, retry_after.as_secs_f64()),
        other => panic!("{other:?}"),
    }
}

/// Throttles with this until it is told to stop.
async fn throttling(reply: Reply) -> (Upstream, Arc<AtomicBool>) {
    let throttles = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&throttles);
    let upstream = Upstream::start(move |_| {
        if asked.load(Ordering::SeqCst) {
            reply.clone()
        } else {
            Reply::Json(one_sample())
        }
    })
    .await
    .unwrap();
    (upstream, throttles)
}

#[tokio::test]
async fn a_store_that_asks_to_slow_down_is_told_from_one_that_fails() {
    let amazon = "x-amzn-errortype: ThrottlingException\r\n";
    let mimir = r#"{"status":"error","errorType":"too_many_requests","error":"the request rate limit is 5/s"}"#;
    let table = [
        (
            "429 Too Many Requests",
            "retry-after: 7\r\n",
            "too many requests",
            7,
            "",
        ),
        (
            "429 Too Many Requests",
            "retry-after: 9\r\n",
            "slow down, please",
            9,
            ": slow down, please",
        ),
        (
            "429 Too Many Requests",
            "",
            mimir,
            1,
            ": the request rate limit is 5/s",
        ),
        ("429 Too Many Requests", "retry-after: never\r\n", "", 1, ""),
        (
            "429 Too Many Requests",
            "retry-after: 86400\r\n",
            "",
            300,
            "",
        ),
        ("503 Service Unavailable", "retry-after: 3\r\n", "", 3, ""),
        (
            "400 Bad Request",
            amazon,
            r#"{"message":"Rate exceeded"}"#,
            1,
            ": Rate exceeded",
        ),
        (
            "400 Bad Request",
            "",
            r#"{"__type":"com.amazon#ThrottlingException","message":"Rate exceeded"}"#,
            1,
            ": Rate exceeded",
        ),
        (
            "429 Too Many Requests",
            "",
            "<html><title>Busy</title>",
            1,
            " with an HTML page titled \"Busy\"",
        ),
    ];
    for (status, headers, body, seconds, said) in table {
        let upstream = Upstream::always(Reply::http(status, headers, body))
            .await
            .unwrap();
        let targets = targets(1, upstream.address());
        let (message, pause) =
            throttled(main_server(&targets).call(query("up"), within(LONG)).await);
        assert_eq!(
            message,
            format!(
                "target main asks to slow down: it answered {status}{said}; queries to it wait {seconds} s"
            )
        );
        assert!((pause - f64::from(seconds)).abs() < 0.5, "{pause}");
        assert_eq!(upstream.requests().len(), 1);
    }
    // As before without a time.
    let upstream = Upstream::always(Reply::http("503 Service Unavailable", "", "starting"))
        .await
        .unwrap();
    let targets = targets(1, upstream.address());
    let error = main_server(&targets)
        .call(query("up"), within(LONG))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn calls_that_have_the_time_wait_and_the_others_are_told_what_is_left() {
    let reply = Reply::http("429 Too Many Requests", "retry-after: 2\r\n", "");
    let (upstream, throttles) = throttling(reply).await;
    let (registry, metrics) = metrics();
    let settings = settings(2, &[target("main", upstream.address())]);
    let targets = Targets::new(&settings, &metrics, None);
    let target = main_server(&targets);
    assert!(target.throttled().is_none());
    throttled(target.call(query("first"), within(LONG)).await);
    throttles.store(false, Ordering::SeqCst);
    let began = Instant::now();

    let (message, left) = throttled(
        target
            .call(query("hasty"), within(Duration::from_secs(1)))
            .await,
    );
    assert_eq!(
        message,
        "target main asks to slow down; queries to it wait another 2 s"
    );
    assert!(
        left <= 2.0 && began.elapsed() < Duration::from_millis(500),
        "{left}"
    );
    assert!(target.throttled().is_some());

    let waiting = (0..9).map(|index| {
        let target = Arc::clone(target);
        tokio::spawn(async move { target.call(query(&index.to_string()), within(LONG)).await })
    });
    let waiting: Vec<_> = waiting.collect();
    let line = r#"prometheus_mirror_upstream_requests_held{target="main"} 9"#;
    eventually(|| exposition(&registry).contains(line)).await;
    let shown = exposition(&registry);
    for line in [
        r#"prometheus_mirror_upstream_requests_total{target="main",outcome="throttled"} 1"#,
        r#"prometheus_mirror_upstream_requests_in_flight{target="main"} 0"#,
        r#"prometheus_mirror_upstream_throttled_until_timestamp_seconds{target="main"} "#,
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    assert_eq!(upstream.requests().len(), 1);
    for answer in join_all(waiting).await {
        assert!(answer.unwrap().is_ok());
    }
    assert!(
        began.elapsed() > Duration::from_millis(1_800),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(upstream.requests().len(), 10);
    assert!(target.throttled().is_none());
    let line = r#"prometheus_mirror_upstream_requests_held{target="main"} 0"#;
    assert!(exposition(&registry).contains(line));
}

#[tokio::test]
async fn a_pause_holds_no_worker_and_no_other_target_up() {
    let reply = Reply::http("429 Too Many Requests", "retry-after: 5\r\n", "");
    let busy = Upstream::always(reply).await.unwrap();
    let healthy = Upstream::always(Reply::Json(one_sample())).await.unwrap();
    let both = settings(
        2,
        &[
            target("busy", busy.address()),
            target("healthy", healthy.address()),
        ],
    );
    let targets = Targets::new(&both, &metrics().1, None);
    let [busy, healthy] = targets.declared() else {
        panic!()
    };
    let (busy, healthy) = (only(busy), only(healthy));
    throttled(busy.call(query("first"), within(LONG)).await);
    // Many more than there are workers, and the queue takes ten for each.
    let held: Vec<_> = (0..30)
        .map(|index| {
            let busy = Arc::clone(busy);
            tokio::spawn(async move { busy.call(query(&index.to_string()), within(LONG)).await })
        })
        .collect();
    // Those that are too many are refused at once.
    eventually(|| held.iter().filter(|call| call.is_finished()).count() == 10).await;
    let began = Instant::now();
    let calls = (0..20)
        .map(|index| async move { healthy.call(query(&index.to_string()), within(LONG)).await });
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert!(began.elapsed() < Duration::from_secs(2));
    for call in held {
        call.abort();
    }
}

#[tokio::test]
async fn calls_in_the_queue_are_not_sent_into_a_pause() {
    let reply = Reply::http("429 Too Many Requests", "retry-after: 5\r\n", "");
    let upstream = Upstream::always(reply).await.unwrap();
    let targets = targets(1, upstream.address());
    let target = main_server(&targets);
    let calls = (0..8).map(|index| async move {
        target
            .call(query(&index.to_string()), within(Duration::from_secs(3)))
            .await
    });
    let began = Instant::now();
    for answer in join_all(calls).await {
        throttled(answer);
    }
    assert_eq!(upstream.requests().len(), 1);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn after_a_pause_no_more_go_at_once_than_there_are_workers() {
    let most = AtomicUsize::new(0);
    let now = Arc::new(AtomicBool::new(true));
    let throttles = Arc::clone(&now);
    let upstream = Upstream::start(move |_| {
        if throttles.swap(false, Ordering::SeqCst) {
            Reply::http("429 Too Many Requests", "retry-after: 1\r\n", "")
        } else {
            Reply::Late(Duration::from_millis(100), one_sample())
        }
    })
    .await
    .unwrap();
    let targets = targets(2, upstream.address());
    let target = main_server(&targets);
    throttled(target.call(query("first"), within(LONG)).await);
    let watched = async {
        for _ in 0..300 {
            most.fetch_max(upstream.open(), Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let calls =
        join_all((0..12).map(|index| async move {
            target.call(query(&index.to_string()), within(LONG)).await
        }));
    let (answers, ()) = tokio::join!(calls, watched);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(most.into_inner() <= 2);
}

#[tokio::test]
async fn a_throttled_target_stays_reachable_with_its_version_and_is_not_asked_meanwhile() {
    let throttles = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&throttles);
    let upstream = Upstream::start(move |request| {
        if now.load(Ordering::SeqCst) {
            Reply::http("429 Too Many Requests", "retry-after: 60\r\n", "")
        } else if request.contains("buildinfo") {
            Reply::Json(r#"{"status":"success","data":{"version":"2.53.0"}}"#.to_owned())
        } else {
            Reply::Json(one_sample())
        }
    })
    .await
    .unwrap();
    let _ = metrics();
    let settings = settings(1, &[target("main", upstream.address())]);
    let probe = Probe::default();
    probe.starts(AppState::new(settings, Metrics::new()));
    let expected = |message: Option<&str>| TargetReachability {
        name: "main".to_owned(),
        reachable: Some(true),
        version: Some("2.53.0".to_owned()),
        message: message.map(str::to_owned),
        notices: Vec::new(),
        servers: Vec::new(),
    };
    let found = async || probe.reachability().await.unwrap().targets.remove(0);
    assert_eq!(found().await, expected(None));
    throttles.store(true, Ordering::SeqCst);
    // Its answers are good for five seconds.
    let stale = Duration::from_millis(5_100);
    tokio::time::sleep(stale).await;
    let asks =
        "target main asks to slow down: it answered 429 Too Many Requests; queries to it wait 60 s";
    assert_eq!(found().await, expected(Some(asks)));
    assert_eq!(upstream.requests().len(), 3);
    tokio::time::sleep(stale).await;
    let asks = "target main asks to slow down; queries to it wait another 55 s";
    assert_eq!(found().await, expected(Some(asks)));
    assert_eq!(upstream.requests().len(), 3, "it is left in peace");
}
