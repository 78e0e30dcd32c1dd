//! From a sound document and what it refers to, to [`Settings`]. Pure.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use crds::{Fault, PrometheusMirrorSpec, field_path};
use serde_json::Value;

use super::auth::TargetAuth;
use super::{
    ApiKeys, Bytes, Cache, Limits, LoggedRequests, Parameters, Proxy, RequestTargets, ServerTls,
    Servers, Settings, TargetName, TargetSettings, TargetTls,
};
use super::{hosts, servers, target};
use crate::model::enforced::Enforced;

/// What a document refers to, read.
pub(super) struct Referred {
    pub(super) api_keys: ApiKeys,
    /// In the order of `spec.targets`.
    pub(super) targets: Vec<ReferredTarget>,
    pub(super) server_tls: Option<ServerTls>,
}

/// What a target refers to, read.
pub(super) struct ReferredTarget {
    pub(super) tls: TargetTls,
    pub(super) auth: TargetAuth,
    pub(super) proxy: Option<Proxy>,
}

/// The settings of a document in which nothing was found to be wrong.
pub(super) fn settings(
    document: &Value,
    document_hash: String,
    referred: Referred,
    notices: Vec<Fault>,
) -> Result<Settings, Vec<Fault>> {
    let mirror = crds::parse(document)?;
    let spec = mirror.spec;
    let targets: Vec<_> = spec
        .targets
        .iter()
        .zip(referred.targets)
        .enumerate()
        .map(|(index, (declared, referred))| {
            let servers = servers::servers(
                &format!("spec.targets[{index}]"),
                &document["spec"]["targets"][index],
            )?;
            target_settings(declared, servers, referred)
        })
        .collect::<Result<_, _>>()
        .map_err(|fault| vec![fault])?;
    let server = spec.server.clone().unwrap_or_default();
    let out_of_range = |field: &str| vec![Fault::new(field_path("spec", field), "is out of range")];
    Ok(Settings {
        name: mirror.metadata.name.unwrap_or_default(),
        document_hash,
        api_keys: referred.api_keys,
        require_api_key: server.require_api_key,
        error_status: server.error_status,
        allowed_hosts: server.allowed_hosts.as_deref().map(host_patterns),
        server_tls: referred.server_tls,
        default_target: default_target(&spec),
        targets,
        request_targets: spec.request_targets.as_ref().map(request_targets),
        workers: usize::try_from(spec.workers)
            .ok()
            .and_then(NonZeroUsize::new)
            .ok_or_else(|| out_of_range("workers"))?,
        limits: limits(&spec.limits.clone().unwrap_or_default())
            .ok_or_else(|| out_of_range("limits"))?,
        cache: cache(spec.cache.as_ref())?,
        logged_requests: logged_requests(spec.logging.as_ref())?,
        notices,
        port: u16::try_from(spec.port).map_err(|_| out_of_range("port"))?,
        console: spec.console.is_some_and(|console| console.enabled),
    })
}

/// None if a number is out of its range.
fn limits(declared: &crds::Limits) -> Option<Limits> {
    Some(Limits {
        memory: declared.memory_bytes().map(Bytes),
        upstream_calls: u32::try_from(declared.upstream_calls_per_request)
            .ok()
            .and_then(NonZeroU32::new)?,
    })
}

fn cache(declared: Option<&crds::Cache>) -> Result<Option<Cache>, Vec<Fault>> {
    let Some(declared) = declared.filter(|cache| cache.enabled) else {
        return Ok(None);
    };
    let fault = |field: &str, message: String| {
        let path = field_path("spec.cache", field);
        vec![Fault::new(path, message)]
    };
    let size = declared.size_bytes().map(Bytes);
    let settle = declared.settle.to_std();
    Ok(Some(Cache {
        size: size.ok_or_else(|| fault("size", "is out of range".to_owned()))?,
        settle: settle.map_err(|error| fault("settle", error.to_string()))?,
    }))
}

fn logged_requests(declared: Option<&crds::Logging>) -> Result<Option<LoggedRequests>, Vec<Fault>> {
    let Some(declared) = declared.and_then(|logging| logging.requests.as_ref()) else {
        return Ok(None);
    };
    let fault = |field: &str, message: String| {
        vec![Fault::new(
            field_path("spec.logging.requests", field),
            message,
        )]
    };
    Ok(Some(LoggedRequests {
        sample_percent: u8::try_from(declared.sample_percent)
            .map_err(|_| fault("samplePercent", "is out of range".to_owned()))?,
        slow: declared
            .slow
            .to_std()
            .map_err(|error| fault("slow", error.to_string()))?,
    }))
}

/// The declared default, or the only target.
fn default_target(spec: &PrometheusMirrorSpec) -> Option<usize> {
    match &spec.default_target {
        Some(default) => spec
            .targets
            .iter()
            .position(|target| target.name == *default),
        None => (spec.targets.len() == 1).then_some(0),
    }
}

fn target_settings(
    declared: &crds::Target,
    servers: Servers,
    ReferredTarget { tls, auth, proxy }: ReferredTarget,
) -> Result<Arc<TargetSettings>, Fault> {
    let fault =
        |message: String| Fault::new("spec.targets", format!("{}: {message}", declared.name));
    let mut headers = target::headers(declared.headers.iter()).map_err(fault)?;
    headers.extend(auth.headers);
    Ok(Arc::new(TargetSettings {
        name: TargetName(declared.name.as_str().into()),
        servers,
        partial_responses: declared.partial_responses,
        request_timeout: declared
            .request_timeout
            .to_std()
            .map_err(|error| fault(error.to_string()))?,
        scrape_interval: declared
            .scrape_interval
            .to_std()
            .map_err(|error| fault(error.to_string()))?,
        nan_interpretation: declared.nan_interpretation,
        headers,
        parameters: Parameters::of(&declared.parameters),
        proxy,
        tls,
        auth: auth.method,
        enforced: Enforced(
            declared
                .enforced_matchers
                .iter()
                .map(|matcher| (matcher.name.clone(), matcher.value.clone()))
                .collect(),
        ),
    }))
}

fn host_patterns(declared: &[crds::RequestHost]) -> Vec<String> {
    declared
        .iter()
        .map(|host| hosts::host_pattern(&host.0))
        .collect()
}

fn request_targets(declared: &crds::RequestTargets) -> RequestTargets {
    RequestTargets {
        hosts: host_patterns(&declared.hosts),
        ports: declared
            .ports
            .iter()
            .filter_map(|port| u16::try_from(*port).ok())
            .collect(),
    }
}
