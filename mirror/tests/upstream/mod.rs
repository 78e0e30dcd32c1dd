//! Targets that lead to a scripted Prometheus, and calls of it.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use harness::servers::{Reply, Upstream};
use mirror::model::enforced::Enforced;
use mirror::model::time::Timestamp;
use mirror::prometheus::observe::UpstreamMetrics;
use mirror::prometheus::{Call, Caller, Deadline, RequestCalls, Server, Target, Targets};
use mirror::settings::{
    ApiKey, ApiKeys, ErrorStatus, Limits, NanInterpretation, RequestTargets, Servers, Settings,
    TargetName, TargetSettings, TargetTls,
};
use prometheus_client::registry::Registry;
use url::Url;

/// Waits until `happened`, five seconds at most.
pub(crate) async fn eventually(happened: impl Fn() -> bool) {
    for _ in 0..1000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not happen within five seconds");
}

/// The answer to a query over a range: a series with one sample.
pub(crate) fn one_list() -> String {
    r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"]]}]}}"#.to_owned()
}

/// The answer to a query at an instant: a series with one sample.
pub(crate) fn one_sample() -> String {
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}"#.to_owned()
}

/// An instant query.
pub(crate) fn query(promql: &str) -> Call {
    Call::Instant {
        promql: promql.to_owned(),
        at: Timestamp(1_700_000_000_000),
    }
}

/// A deadline so far from now.
pub(crate) fn within(time: Duration) -> Deadline {
    Deadline(Instant::now() + time)
}

/// A declared target.
pub(crate) fn target(name: &str, url: &Url) -> Arc<TargetSettings> {
    Arc::new(TargetSettings {
        name: TargetName(name.into()),
        servers: Servers::one(url.clone()),
        partial_responses: false,
        request_timeout: Duration::from_secs(15),
        scrape_interval: Duration::from_secs(15),
        nan_interpretation: NanInterpretation::Zero,
        headers: http::HeaderMap::new(),
        parameters: mirror::settings::Parameters::default(),
        proxy: None,
        tls: TargetTls::default(),
        auth: None,
        enforced: Enforced::default(),
    })
}

/// Settings with these targets and nothing special.
pub(crate) fn settings(workers: usize, targets: &[Arc<TargetSettings>]) -> Settings {
    Settings {
        name: "test".to_owned(),
        document_hash: String::new(),
        api_keys: ApiKeys {
            current: ApiKey::parse("key").unwrap(),
            previous: None,
        },
        require_api_key: false,
        error_status: ErrorStatus::Semantic,
        allowed_hosts: None,
        server_tls: None,
        targets: targets.to_vec(),
        default_target: None,
        request_targets: None,
        cache: None,
        logged_requests: None,
        notices: Vec::new(),
        workers: NonZeroUsize::new(workers).unwrap(),
        limits: Limits {
            memory: None,
            upstream_calls: NonZeroU32::new(200).unwrap(),
        },
        port: 0,
        console: false,
    }
}

/// The same, which lets requests name undeclared targets.
pub(crate) fn open_settings(workers: usize, targets: &[Arc<TargetSettings>]) -> Settings {
    let request_targets = Some(RequestTargets {
        hosts: vec!["127.0.0.1".to_owned()],
        ports: vec![9090],
    });
    Settings {
        request_targets,
        ..settings(workers, targets)
    }
}

/// Fresh metrics with their registry.
pub(crate) fn metrics() -> (Registry, UpstreamMetrics) {
    install_crypto();
    let mut registry = Registry::default();
    let metrics = UpstreamMetrics::register(registry.sub_registry_with_prefix("prometheus_mirror"));
    (registry, metrics)
}

/// What `/metrics` would show.
pub(crate) fn exposition(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text
}

/// One target `main` at `url`, with `workers`.
pub(crate) fn targets(workers: usize, url: &Url) -> Targets {
    Targets::new(
        &settings(workers, &[target("main", url)]),
        &metrics().1,
        None,
    )
}

fn install_crypto() {
    // Every test but the first of a process finds it installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The only server of a target.
pub(crate) fn only(target: &Target) -> &Arc<Server> {
    target.only().unwrap()
}

/// The server of the first target, which has one.
pub(crate) fn main_server(targets: &Targets) -> &Arc<Server> {
    only(&targets.declared()[0])
}

/// The calls of a request of `caller` to a target of one shard.
pub(crate) fn calls_of(target: &Target, caller: Caller) -> RequestCalls {
    target.for_request(caller).pop().unwrap()
}
