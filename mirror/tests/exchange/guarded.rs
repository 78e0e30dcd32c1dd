//! An undeclared target that turns out to be where a target with enforced matchers is.

use std::sync::Arc;
use std::time::Duration;

use mirror::model::enforced::Enforced;
use mirror::prometheus::{Store as _, StoreError, Targets};
use mirror::settings::TargetSettings;
use url::Url;

use crate::upstream::{
    Reply, Upstream, main_server, metrics, one_sample, only, open_settings, query, target, within,
};

const TIME: Duration = Duration::from_secs(20);

/// A declared target with a matcher, at a host of this name and the same port.
fn enforced(upstream: &Upstream, host: &str) -> Arc<TargetSettings> {
    let mut url = upstream.address().clone();
    url.set_host(Some(host)).unwrap();
    Arc::new(TargetSettings {
        enforced: Enforced(vec![("team".to_owned(), "a".to_owned())]),
        ..TargetSettings::clone(&target("narrow", &url))
    })
}

async fn upstream() -> Upstream {
    Upstream::start(|_| Reply::Json(one_sample()))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_server_with_enforced_matchers_is_sent_nothing_under_another_name() {
    let upstream = upstream().await;
    let settings = open_settings(1, &[enforced(&upstream, "localhost")]);
    let targets = Targets::new(&settings, &metrics().1, None);
    for host in ["127.0.0.1", "[::ffff:7f00:1]"] {
        let mut url: Url = upstream.address().clone();
        url.set_host(Some(host)).unwrap();
        let undeclared = targets.undeclared(&target("(undeclared)", &url)).unwrap();
        let refused = only(&undeclared).call(query("up"), within(TIME)).await;
        let expected = "target (undeclared) cannot be reached: it is where a target with enforced matchers is, and a request must name that target instead";
        assert!(
            matches!(&refused, Err(StoreError::Unreachable(why)) if why == expected),
            "{host}: {refused:?}"
        );
    }
    assert_eq!(upstream.requests(), [""; 0]);
    let narrow = main_server(&targets);
    assert!(narrow.call(query("up"), within(TIME)).await.is_ok());
}

#[tokio::test]
async fn where_an_enforced_server_is_unknown_no_undeclared_one_is_asked() {
    let upstream = upstream().await;
    let settings = open_settings(1, &[enforced(&upstream, "nowhere.invalid")]);
    let targets = Targets::new(&settings, &metrics().1, None);
    let undeclared = targets.undeclared(&target("(undeclared)", upstream.address()));
    let refused = only(&undeclared.unwrap())
        .call(query("up"), within(TIME))
        .await;
    assert!(
        matches!(&refused, Err(StoreError::Unreachable(why)) if why.contains("cannot be found out")),
        "{refused:?}"
    );
    assert_eq!(upstream.requests(), [""; 0]);
}

#[tokio::test]
async fn matchers_that_come_with_a_reload_hold_for_connections_that_were_open() {
    let upstream = upstream().await;
    let (_registry, metrics) = metrics();
    let before = Targets::new(&open_settings(1, &[]), &metrics, None);
    let settings = target("(undeclared)", upstream.address());
    let undeclared = before.undeclared(&settings).unwrap();
    assert!(
        only(&undeclared)
            .call(query("up"), within(TIME))
            .await
            .is_ok()
    );
    let narrowed = open_settings(1, &[enforced(&upstream, "localhost")]);
    let after = Targets::new(&narrowed, &metrics, Some(&before));
    let undeclared = after.undeclared(&settings).unwrap();
    assert!(
        only(&undeclared)
            .call(query("up"), within(TIME))
            .await
            .is_err()
    );
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn another_port_of_the_same_host_is_another_server() {
    let (narrow, open) = (upstream().await, upstream().await);
    let settings = open_settings(1, &[enforced(&narrow, "localhost")]);
    let targets = Targets::new(&settings, &metrics().1, None);
    let undeclared = targets.undeclared(&target("(undeclared)", open.address()));
    let undeclared = undeclared.unwrap();
    for _ in 0..2 {
        assert!(
            only(&undeclared)
                .call(query("up"), within(TIME))
                .await
                .is_ok()
        );
    }
    // Each request had a connection of its own, and was looked at.
    assert_eq!(open.connections(), 2);
}
