//! Calls under pressure: targets don't delay each other, identical calls are shared, queues are
//! bounded, reloads drop nothing.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows a test's functions, not their helpers"
)]

mod upstream;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use mirror::model::capabilities::{Capabilities, RangeBoundary};
use mirror::model::time::Millis;
use mirror::prometheus::{Caller, Store as _, StoreError, Targets};
use upstream::{
    Reply, Upstream, calls_of, eventually, exposition, main_server, metrics, one_list, one_sample,
    only, open_settings, query, settings, target, targets, within,
};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_target_that_hangs_never_delays_another() {
    let hanging = Upstream::always(Reply::Hang(Vec::new())).await.unwrap();
    let healthy = Upstream::always(Reply::Json(one_sample())).await.unwrap();
    let both = settings(
        4,
        &[
            target("hanging", hanging.address()),
            target("healthy", healthy.address()),
        ],
    );
    let targets = Targets::new(&both, &metrics().1, None);
    let stuck: Vec<_> = (0..30)
        .map(|index| {
            let target = Arc::clone(main_server(&targets));
            tokio::spawn(async move {
                target
                    .call(query(&index.to_string()), within(Duration::from_secs(5)))
                    .await
            })
        })
        .collect();
    // Its own place and the two of the pool.
    hanging.asked(3).await.unwrap();
    let streams = (0..40).map(|index| {
        let target = only(&targets.declared()[1]);
        async move { target.call(query(&index.to_string()), within(LONG)).await }
    });
    let answers = join_all(streams).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(stuck.iter().all(|call| !call.is_finished()));
    assert_eq!(hanging.requests().len(), 3);
    for (index, call) in stuck.into_iter().enumerate() {
        let error = call.await.unwrap().unwrap_err();
        assert!(
            matches!(error, StoreError::Timeout(_) | StoreError::ExpiredInQueue),
            "{index}: {error:?}"
        );
    }
}

#[tokio::test]
async fn identical_calls_in_flight_share_one_exchange() {
    let upstream = Upstream::always(Reply::Late(Duration::from_millis(100), one_sample()))
        .await
        .unwrap();
    let (registry, metrics) = metrics();
    let targets = Targets::new(
        &settings(4, &[target("main", upstream.address())]),
        &metrics,
        None,
    );
    let ask = || main_server(&targets).call(query("up"), within(LONG));
    let answers = join_all((0..10).map(|_| ask())).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(upstream.requests().len(), 1);
    ask().await.unwrap();
    assert_eq!(upstream.requests().len(), 2);
    let shown = exposition(&registry);
    for line in [
        r#"prometheus_mirror_upstream_requests_total{target="main",outcome="ok"} 2"#,
        r#"prometheus_mirror_upstream_requests_shared_total{target="main"} 9"#,
        r#"prometheus_mirror_upstream_requests_in_flight{target="main"} 0"#,
        r#"prometheus_mirror_upstream_queue_depth{target="main"} 0"#,
        r#"prometheus_mirror_upstream_request_duration_seconds_count{target="main"} 2"#,
        "prometheus_mirror_upstream_queue_wait_seconds_count 2",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
}

#[tokio::test]
async fn a_caller_with_little_time_does_not_end_the_call_for_one_with_more() {
    let upstream = Upstream::always(Reply::Late(Duration::from_millis(200), one_sample()))
        .await
        .unwrap();
    let targets = targets(4, upstream.address());
    let target = main_server(&targets);
    let (hasty, patient) = tokio::join!(
        target.call(query("up"), within(Duration::from_millis(50))),
        target.call(query("up"), within(LONG)),
    );
    assert!(matches!(hasty, Err(StoreError::Timeout(_))), "{hasty:?}");
    assert!(patient.is_ok(), "{patient:?}");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_timeout_that_the_store_was_told_by_another_is_asked_again() {
    let refusal = r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#;
    let upstream = Upstream::start(move |request| {
        let hasty = request.contains("timeout=1.") || request.contains("timeout=0.");
        Reply::Late(
            Duration::from_millis(100),
            if hasty {
                refusal.to_owned()
            } else {
                one_sample()
            },
        )
    })
    .await
    .unwrap();
    let targets = targets(4, upstream.address());
    let target = main_server(&targets);
    let hasty = target.call(query("up"), within(Duration::from_secs(1)));
    let patient = async {
        upstream.asked(1).await.unwrap();
        target.call(query("up"), within(LONG)).await
    };
    let (hasty, patient) = tokio::join!(hasty, patient);
    assert!(matches!(hasty, Err(StoreError::Timeout(_))), "{hasty:?}");
    assert!(patient.is_ok(), "{patient:?}");
}

#[tokio::test]
async fn an_exchange_that_nobody_waits_for_is_aborted() {
    let upstream = Upstream::always(Reply::Hang(Vec::new())).await.unwrap();
    let (registry, metrics) = metrics();
    let targets = Targets::new(
        &settings(1, &[target("main", upstream.address())]),
        &metrics,
        None,
    );
    let call = tokio::time::timeout(SHORT, main_server(&targets).call(query("up"), within(LONG)));
    assert!(call.await.is_err());
    eventually(|| upstream.open() == 0).await;
    let line = r#"requests_total{target="main",outcome="abandoned"} 1"#;
    eventually(|| exposition(&registry).contains(line)).await;
}

#[tokio::test]
async fn a_full_queue_refuses_new_requests_and_not_the_later_calls_of_admitted_ones() {
    let upstream = Upstream::start(|request| {
        if request.contains("first") {
            Reply::Json(one_sample())
        } else {
            Reply::Hang(Vec::new())
        }
    })
    .await
    .unwrap();
    let targets = targets(1, upstream.address());
    let target = main_server(&targets);
    let admitted = calls_of(&targets.declared()[0], Caller::Mirror);
    admitted.call(query("first"), within(LONG)).await.unwrap();
    // One in flight and ten in the queue.
    let calls: Vec<_> = (0..11)
        .map(|index| {
            let target = Arc::clone(target);
            tokio::spawn(async move {
                target
                    .call(query(&index.to_string()), within(Duration::from_secs(2)))
                    .await
            })
        })
        .collect();
    upstream.asked(2).await.unwrap();
    let refused = async || {
        let new = calls_of(&targets.declared()[0], Caller::Mirror)
            .call(query("new"), within(Duration::from_millis(20)))
            .await;
        matches!(new, Err(StoreError::QueueFull))
    };
    while !refused().await {}
    let later = admitted.call(query("later"), within(SHORT)).await;
    assert!(
        matches!(later, Err(StoreError::ExpiredInQueue)),
        "{later:?}"
    );
    for call in calls {
        assert!(call.await.unwrap().is_err());
    }
    // All places are free again.
    target.call(query("first"), within(LONG)).await.unwrap();
}

/// Answers the probes as Prometheus 3 does.
fn probed(request: &str) -> Reply {
    if request.contains("now%28%29") || request.contains("now()") {
        let refused = r#"{"status":"error","errorType":"bad_data","error":"unknown function"}"#;
        return Reply::http("400 Bad Request", "", refused);
    }
    if request.contains("/query_range") {
        return Reply::Json(one_list());
    }
    let count = if request.contains("count_over_time") {
        "1"
    } else {
        "0"
    };
    Reply::Late(
        Duration::from_millis(20),
        one_sample().replace(r#","1"]"#, &format!(",\"{count}\"]")),
    )
}

const PROMETHEUS_3: Capabilities = Capabilities {
    range_boundary: RangeBoundary::LeftOpen,
    native_histograms: true,
    settles_after: Millis(0),
    keeps_nan: true,
};

#[tokio::test]
async fn capabilities_are_probed_once_for_all_callers_and_again_after_a_failure() {
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let breaks = Arc::clone(&broken);
    let upstream = Upstream::start(move |request| {
        if breaks.load(std::sync::atomic::Ordering::SeqCst) {
            Reply::http("503 Service Unavailable", "", "Service Unavailable")
        } else {
            probed(request)
        }
    })
    .await
    .unwrap();
    let targets = targets(4, upstream.address());
    let target = main_server(&targets);
    let found = join_all((0..5).map(|_| target.capabilities(within(LONG)))).await;
    assert!(
        found.iter().all(|found| matches!(found, Ok(PROMETHEUS_3))),
        "{found:?}"
    );
    assert_eq!(upstream.requests().len(), 4);
    target.capabilities(within(LONG)).await.unwrap();
    assert_eq!(upstream.requests().len(), 4);

    broken.store(true, std::sync::atomic::Ordering::SeqCst);
    target.call(query("up"), within(LONG)).await.unwrap_err();
    let error = target.capabilities(within(LONG)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    let before = upstream.requests().len();
    assert_eq!(
        target.capabilities(within(LONG)).await.unwrap(),
        PROMETHEUS_3
    );
    assert_eq!(upstream.requests().len(), before + 4);
}

#[tokio::test]
async fn a_caller_with_little_time_makes_no_target_forget_what_it_can_do() {
    let upstream = Upstream::start(|request| {
        if request.contains("slow") {
            Reply::Late(Duration::from_secs(5), one_sample())
        } else {
            probed(request)
        }
    })
    .await
    .unwrap();
    let targets = targets(4, upstream.address());
    let target = main_server(&targets);
    target.capabilities(within(LONG)).await.unwrap();
    let short = within(Duration::from_millis(300));
    let error = target.call(query("slow"), short).await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout(_)), "{error:?}");
    let before = upstream.requests().len();
    target.capabilities(within(LONG)).await.unwrap();
    assert_eq!(upstream.requests().len(), before);
}

#[tokio::test]
async fn a_store_that_counts_otherwise_is_taken_for_prometheus_3() {
    let upstream = Upstream::start(|request| {
        Reply::Json(if request.contains("/query_range") {
            one_list()
        } else {
            one_sample().replace(r#","1"]"#, r#","3"]"#)
        })
    })
    .await
    .unwrap();
    let found = main_server(&targets(4, upstream.address()))
        .capabilities(within(LONG))
        .await
        .unwrap();
    let expected = Capabilities {
        // It even answers a function that only MetricsQL has.
        keeps_nan: false,
        ..PROMETHEUS_3
    };
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_reload_keeps_the_connections_of_unchanged_targets() {
    let (kept, changed) = (
        Upstream::always(Reply::Json(one_sample())).await.unwrap(),
        Upstream::always(Reply::Json(one_sample())).await.unwrap(),
    );
    let (registry, metrics) = metrics();
    let before = settings(
        4,
        &[
            target("kept", kept.address()),
            target("changed", changed.address()),
            target("gone", changed.address()),
        ],
    );
    let old = Targets::new(&before, &metrics, None);
    for target in old.declared() {
        only(target).call(query("up"), within(LONG)).await.unwrap();
    }
    let mut other = changed.address().clone();
    other.set_path("/prefix");
    let after = settings(
        2,
        &[target("changed", &other), target("kept", kept.address())],
    );
    let new = Targets::new(&after, &metrics, Some(&old));
    for target in new.declared() {
        only(target).call(query("up"), within(LONG)).await.unwrap();
    }
    assert!(Arc::ptr_eq(&new.declared()[1], &old.declared()[0]));
    assert_eq!((kept.connections(), changed.connections()), (1, 3));
    let shown = exposition(&registry);
    assert!(
        shown.contains(r#"requests_total{target="kept",outcome="ok"} 2"#),
        "{shown}"
    );
    assert!(
        shown.contains(r#"requests_total{target="changed",outcome="ok"} 2"#),
        "{shown}"
    );
    assert!(!shown.contains("gone"), "{shown}");
}

#[tokio::test]
async fn calls_in_flight_keep_counting_across_a_reload() {
    let upstream = Upstream::start(|request| {
        if request.contains("hang") {
            Reply::Hang(Vec::new())
        } else {
            Reply::Json(one_sample())
        }
    })
    .await
    .unwrap();
    let metrics = metrics().1;
    let old = Targets::new(
        &settings(1, &[target("main", upstream.address())]),
        &metrics,
        None,
    );
    let hanging = {
        let target = Arc::clone(main_server(&old));
        tokio::spawn(async move {
            target
                .call(query("hang"), within(Duration::from_secs(2)))
                .await
        })
    };
    upstream.asked(1).await.unwrap();
    let mut other = upstream.address().clone();
    other.set_path("/prefix");
    let new = Targets::new(
        &settings(1, &[target("main", &other)]),
        &metrics,
        Some(&old),
    );
    let queued = main_server(&new).call(query("up"), within(SHORT)).await;
    assert!(
        matches!(queued, Err(StoreError::ExpiredInQueue)),
        "{queued:?}"
    );
    let wider = Targets::new(
        &settings(2, &[target("main", &other)]),
        &metrics,
        Some(&new),
    );
    main_server(&wider)
        .call(query("up"), within(LONG))
        .await
        .unwrap();
    assert!(matches!(
        hanging.await.unwrap(),
        Err(StoreError::Timeout(_))
    ));
}

#[tokio::test]
async fn undeclared_targets_are_kept_while_they_are_used_and_share_one_label() {
    let upstream = Upstream::always(Reply::Json(one_sample())).await.unwrap();
    let (registry, metrics) = metrics();
    let declared = [target("main", upstream.address())];
    assert!(
        Targets::new(&settings(4, &declared), &metrics, None)
            .undeclared(&declared[0])
            .is_none()
    );
    let targets = Targets::new(&open_settings(4, &declared), &metrics, None);
    let named = target("127.0.0.1:9090", upstream.address());
    for _ in 0..3 {
        only(&targets.undeclared(&named).unwrap())
            .call(query("up"), within(LONG))
            .await
            .unwrap();
    }
    assert_eq!(upstream.connections(), 1);
    let first = targets.undeclared(&named).unwrap();
    let renamed = |index: usize| target(&format!("host{index}"), upstream.address());
    for index in 0..64 {
        targets.undeclared(&renamed(index)).unwrap();
    }
    assert!(!Arc::ptr_eq(&first, &targets.undeclared(&named).unwrap()));
    let shown = exposition(&registry);
    assert!(
        shown.contains(r#"requests_total{target="(undeclared)",outcome="ok"} 3"#),
        "{shown}"
    );
    assert!(!shown.contains("127.0.0.1"), "{shown}");
}
