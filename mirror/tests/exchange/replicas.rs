//! A target of several servers.

use std::sync::Arc;
use std::time::Duration;

use mirror::model::time::{Millis, Timestamp};
use mirror::prometheus::{Call, Caller, Store as _, StoreError, Target, Targets};
use mirror::settings::{Servers, TargetSettings};
use url::Url;

use crate::upstream::{
    Reply, Upstream, calls_of, exposition, metrics, one_sample, query, settings, target, within,
};

const TIME: Duration = Duration::from_secs(20);

/// A target of these replicas.
pub(crate) fn pair(replicas: &[&Url]) -> Arc<TargetSettings> {
    let urls = replicas.iter().map(|url| (*url).clone()).collect();
    Arc::new(TargetSettings {
        servers: Servers::of(vec![urls]).unwrap(),
        ..TargetSettings::clone(&target("main", replicas[0]))
    })
}

async fn ask(target: &Target, promql: &str) -> Result<(), StoreError> {
    let calls = calls_of(target, Caller::Mirror);
    calls.call(query(promql), within(TIME)).await.map(|_| ())
}

fn range() -> Call {
    Call::Range {
        promql: "up".to_owned(),
        start: Timestamp(0),
        end: Timestamp(2_000),
        step: Millis(1_000),
    }
}

/// The samples of a range query at these seconds.
fn matrix(seconds: &[i64]) -> Reply {
    let values: Vec<String> = seconds
        .iter()
        .map(|at| format!(r#"[{at},"{at}"]"#))
        .collect();
    Reply::Json(format!(
        r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":[{}]}}]}}}}"#,
        values.join(",")
    ))
}

#[tokio::test]
async fn a_pair_costs_one_call_and_two_where_the_first_lacks_something() {
    for (has, calls) in [(&[0, 1, 2][..], (1, 0)), (&[0, 2], (1, 1))] {
        let first = Upstream::always(matrix(has)).await.unwrap();
        let second = Upstream::always(matrix(&[0, 1, 2])).await.unwrap();
        let settings = settings(1, &[pair(&[first.address(), second.address()])]);
        let targets = Targets::new(&settings, &metrics().1, None);
        let request = calls_of(&targets.declared()[0], Caller::Mirror);
        let answer = request.call(range(), within(TIME)).await.unwrap();
        let expected = {
            let whole = Targets::new(&self::settings_of(second.address()), &metrics().1, None);
            let request = calls_of(&whole.declared()[0], Caller::Mirror);
            request.call(range(), within(TIME)).await.unwrap()
        };
        assert_eq!(answer, expected);
        let made = (first.requests().len(), second.requests().len() - 1);
        assert_eq!(made, calls, "{has:?}");
    }
}

fn settings_of(url: &Url) -> mirror::settings::Settings {
    settings(1, &[target("main", url)])
}

#[tokio::test]
async fn the_next_replica_is_preferred_from_the_first_failure_on_and_shown() {
    let gone = Upstream::always(Reply::Reset(Vec::new())).await.unwrap();
    let there = Upstream::always(Reply::Json(one_sample())).await.unwrap();
    let (registry, metrics) = metrics();
    let declared = pair(&[gone.address(), there.address()]);
    let targets = Targets::new(&settings(1, &[declared]), &metrics, None);
    for promql in ["a", "b", "c"] {
        ask(&targets.declared()[0], promql).await.unwrap();
    }
    assert_eq!((gone.requests().len(), there.requests().len()), (1, 3));
    let shown = exposition(&registry);
    let (gone_url, there_url) = (gone.address(), there.address());
    for line in [
        format!(
            r#"prometheus_mirror_upstream_requests_total{{target="main",server="{gone_url}",outcome="unreachable"}} 1"#
        ),
        format!(
            r#"prometheus_mirror_upstream_requests_total{{target="main",server="{there_url}",outcome="ok"}} 3"#
        ),
        format!(
            r#"prometheus_mirror_upstream_server_preferred{{target="main",server="{gone_url}"}} 0"#
        ),
        format!(
            r#"prometheus_mirror_upstream_server_preferred{{target="main",server="{there_url}"}} 1"#
        ),
        r#"prometheus_mirror_upstream_queue_depth{target="main"} 0"#.to_owned(),
    ] {
        assert!(shown.lines().any(|found| found == line), "{line}:\n{shown}");
    }
}

#[tokio::test]
async fn an_error_names_every_replica_that_was_asked() {
    let gone = Upstream::always(Reply::Reset(Vec::new())).await.unwrap();
    let denied = Reply::http("401 Unauthorized", "", "no");
    let denied = Upstream::always(denied).await.unwrap();
    let declared = pair(&[gone.address(), denied.address()]);
    let targets = Targets::new(&settings(1, &[declared]), &metrics().1, None);
    let error = ask(&targets.declared()[0], "a").await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, StoreError::Unreachable(_)), "{said}");
    for server in [&gone, &denied] {
        let named = format!("server {} of target main", server.address());
        assert!(said.contains(&named), "{said}");
    }
}

#[tokio::test]
async fn a_reload_keeps_the_servers_that_stay_and_which_one_is_preferred() {
    let gone = Upstream::always(Reply::Reset(Vec::new())).await.unwrap();
    let there = Upstream::always(Reply::Json(one_sample())).await.unwrap();
    let added = Upstream::always(Reply::Json(one_sample())).await.unwrap();
    let (registry, metrics) = metrics();
    let before = pair(&[gone.address(), there.address()]);
    let before = Targets::new(&settings(1, &[before]), &metrics, None);
    ask(&before.declared()[0], "a").await.unwrap();
    let after = pair(&[added.address(), there.address()]);
    let after = Targets::new(&settings(1, &[after]), &metrics, Some(&before));
    ask(&after.declared()[0], "b").await.unwrap();
    assert_eq!((there.connections(), there.requests().len()), (1, 2));
    assert_eq!(added.requests().len(), 0);
    let gone = format!(r#"server="{}""#, gone.address());
    let shown = exposition(&registry);
    assert!(!shown.contains(&gone), "{shown}");
}
