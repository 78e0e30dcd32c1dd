//! What a target must be beyond its schema: a URL and headers that HTTP can send.

use crds::{Fault, field_path};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use super::servers::{self, Declared};
use super::{parameters, proxy};
use crate::budget::memory;
use crate::budget::size::ByteSize;

/// Headers that the mirror or HTTP itself sets.
const RESERVED: &[&str] = &[
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// References that only the operator can follow.
const REFERENCES: &[&str] = &["service", "prometheus"];

/// Reports what is wrong with a target as it stands in the document, whatever else is wrong with
/// it.
pub(super) fn check(path: &str, target: &Value, faults: &mut Vec<Fault>) {
    let shards = servers::declared(path, target);
    for place in shards.iter().flatten() {
        check_server(place, faults);
    }
    if shards.len() > 1 {
        let fault = Fault::new(field_path(path, "shards"), "several are not supported yet");
        faults.push(fault.hint("declare each shard as a target"));
    }
    parameters::check(path, target, faults);
    proxy::check(path, target, faults);
    let headers = target.get("headers").and_then(Value::as_object);
    for (name, value) in headers.into_iter().flatten() {
        let header = value.as_str().map(|value| header(name, value));
        if let Some(Err(message)) = header {
            faults.push(Fault::new(
                field_path(&field_path(path, "headers"), name),
                message,
            ));
        }
    }
}

/// The same for one of its servers.
fn check_server(place: &Declared<'_>, faults: &mut Vec<Fault>) {
    let is_set = |field: &&&str| place.get(field).is_some_and(|value| !value.is_null());
    for field in REFERENCES.iter().filter(is_set) {
        let fault = Fault::new(
            place.field(field),
            "is resolved by the operator before a mirror reads the document",
        );
        faults.push(fault.hint("write the server's url here instead"));
    }
    if let Some(text) = place.get("url").and_then(Value::as_str)
        && let Err(message) = url(text)
    {
        faults.push(Fault::new(place.field("url"), message));
    }
}

/// Pages and endpoints of Prometheus that people copy into a base URL, longest first.
const ENDINGS: &[&str] = &[
    "/api/v1/query_range",
    "/api/v1/query",
    "/api/v1/series",
    "/api/v1/labels",
    "/api/v1/write",
    "/api/v1",
    "/api",
    "/-/healthy",
    "/-/ready",
    "/alerts",
    "/classic/graph",
    "/config",
    "/federate",
    "/flags",
    "/graph",
    "/metrics",
    "/query",
    "/rules",
    "/service-discovery",
    "/status",
    "/targets",
    "/tsdb-status",
    "/vmui",
];

/// What a base URL ends in that is a page or an endpoint of Prometheus, such as `/graph`. It may be
/// a path prefix all the same.
pub(crate) fn wrong_ending(url: &Url) -> Option<&'static str> {
    let path = url.path().trim_end_matches('/');
    let fits = |ending: &&&str| path.to_ascii_lowercase().ends_with(**ending);
    ENDINGS.iter().find(fits).copied()
}

/// Notes what looks odd about the URLs of a document's targets.
pub(super) fn notice(document: &Value, notices: &mut Vec<Fault>) {
    let targets = document["spec"]["targets"].as_array();
    for (index, target) in targets.into_iter().flatten().enumerate() {
        let shards = servers::declared(&format!("spec.targets[{index}]"), target);
        for place in shards.iter().flatten() {
            if let Some(ending) = place.url().as_ref().and_then(wrong_ending) {
                let message = format!("ends in {ending}, which Prometheus itself serves");
                let hint = format!("leave out {ending}, unless it is the path prefix");
                notices.push(Fault::new(place.field("url"), message).hint(hint));
            }
        }
    }
}

/// Notes where the memory limits of a document do not fit each other or the workers, or are too
/// small.
pub(super) fn notice_memory(document: &Value, notices: &mut Vec<Fault>) {
    const FIELD: &str = "spec.limits.memory";
    const CONTAINER: &str = "spec.resources.limits.memory";
    let spec = &document["spec"];
    let container = container_limit(spec);
    let own = spec["limits"]["memory"]
        .as_str()
        .and_then(|text| text.parse::<ByteSize>().ok());
    let is_written = !spec["resources"]["limits"]["memory"].is_null();
    let (field, limit) = match (own, container) {
        (Some(own), _) => (FIELD, own),
        (None, Some(container)) if is_written => (CONTAINER, container),
        (None, Some(container)) => ("spec.workers", container),
        (None, None) => return,
    };
    if let Some(problem) = memory::problem(limit, own.and(container)) {
        notices.push(Fault::new(field, problem));
        return;
    }
    let workers = spec["workers"]
        .as_u64()
        .unwrap_or(crds::memory::DEFAULT_WORKERS);
    let needed = ByteSize(crds::memory::needed_by(workers));
    if limit < needed {
        let message = format!(
            "{workers} workers need {needed} of memory for large answers at once, and the limit is {limit}"
        );
        let hint = "raise the limit or lower the workers: until then, requests that find no memory wait, and may be answered with 503";
        notices.push(Fault::new(field, message).hint(hint));
    }
}

/// The memory limit that the mirror's container gets.
fn container_limit(spec: &Value) -> Option<ByteSize> {
    let written = &spec["resources"]["limits"]["memory"];
    match (written.as_str(), written.as_u64()) {
        (Some(text), _) => text.parse().ok(),
        (None, Some(bytes)) => Some(ByteSize(bytes)),
        // The operator sets its default only where nothing is said about resources.
        (None, None) => {
            let default = ByteSize(crds::memory::DEFAULT_LIMIT);
            spec["resources"].is_null().then_some(default)
        }
    }
}

/// The base URL of a server, without a slash at its end. Beyond the schema's rule: a host and a
/// port that exist.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !["http", "https"].contains(&url.scheme())
        || url.host_str().is_none_or(str::is_empty)
        || url.port() == Some(0)
    {
        return Err(
            "must be http:// or https:// with a host and a port from 1 to 65535".to_owned(),
        );
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err("must not have a user name, query or fragment".to_owned());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// The headers of a target.
pub(super) fn headers<'a>(
    fields: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<HeaderMap, String> {
    fields.map(|(name, value)| header(name, value)).collect()
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name: HeaderName = name.parse().map_err(|_| {
        "is not the name of an HTTP header: letters, digits and dashes, such as X-Scope-OrgID"
            .to_owned()
    })?;
    if name == http::header::AUTHORIZATION {
        return Err("must not be set here: credentials belong to auth".to_owned());
    }
    if is_reserved(&name) {
        return Err("must not be set here: the mirror sets it itself".to_owned());
    }
    let value = value.parse().map_err(|_| {
        "cannot be sent in an HTTP header: use ASCII without line breaks".to_owned()
    })?;
    Ok((name, value))
}

/// Whether the mirror or HTTP itself sets the header.
pub(super) fn is_reserved(name: &HeaderName) -> bool {
    RESERVED.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_memory_limit_beyond_the_containers_or_too_small_is_noted() {
        let spec = |own: &str, container: Option<&str>| {
            let mut spec = json!({"workers": 1, "limits": {"memory": own}});
            if let Some(container) = container {
                spec["resources"] = json!({"limits": {"memory": container}});
            }
            spec
        };
        let beyond = |own, most| {
            format!(
                "spec.limits.memory: {own} is more than the {most} that the container may use; lower it, or raise the container's limit: until then the kernel may stop the mirror before requests wait"
            )
        };
        let little = |field, limit| {
            format!(
                "{field}: {limit} is too little: the mirror uses up to 86 MiB whatever the limit, so a container with less may be stopped by the kernel; raise it"
            )
        };
        let table = [
            (spec("400Mi", None), None),
            (spec("512Mi", None), None),
            (spec("513Mi", None), Some(beyond("513 MiB", "512 MiB"))),
            (
                spec("400Mi", Some("256Mi")),
                Some(beyond("400 MiB", "256 MiB")),
            ),
            (spec("1Gi", Some("2Gi")), None),
            (
                spec("10M", None),
                Some(little("spec.limits.memory", "9 MiB")),
            ),
            (
                json!({"workers": 1, "resources": {"limits": {"memory": "64Mi"}}}),
                Some(little("spec.resources.limits.memory", "64 MiB")),
            ),
        ];
        for (spec, expected) in table {
            let mut notices = Vec::new();
            notice_memory(&json!({"spec": spec.clone()}), &mut notices);
            let shown: Vec<_> = notices.iter().map(ToString::to_string).collect();
            let expected: Vec<_> = expected.into_iter().collect();
            assert_eq!(shown, expected, "{spec}");
        }
    }

    #[test]
    fn a_memory_limit_that_does_not_fit_the_workers_is_noted() {
        let hint = "raise the limit or lower the workers: until then, requests that find no memory wait, and may be answered with 503";
        let limits = |memory: Value| json!({"limits": {"memory": memory}});
        let table = [
            (json!({}), None),
            (json!({"workers": 28}), None),
            (
                json!({"workers": 29}),
                Some(
                    "spec.workers: 29 workers need 528 MiB of memory for large answers at once, and the limit is 512 MiB",
                ),
            ),
            (
                json!({"workers": 20, "resources": limits(json!("256Mi"))}),
                Some(
                    "spec.resources.limits.memory: 20 workers need 384 MiB of memory for large answers at once, and the limit is 256 MiB",
                ),
            ),
            (
                json!({"resources": limits(json!(134_217_728))}),
                Some(
                    "spec.resources.limits.memory: 20 workers need 384 MiB of memory for large answers at once, and the limit is 128 MiB",
                ),
            ),
            (
                json!({"workers": 4, "resources": limits(json!("128Mi"))}),
                None,
            ),
            (
                json!({"workers": 100, "resources": limits(json!("2Gi"))}),
                None,
            ),
            // No limit, and one that is written in a way that nobody uses for memory.
            (json!({"workers": 1000, "resources": {}}), None),
            (
                json!({"workers": 1000, "resources": limits(json!("1e9"))}),
                None,
            ),
        ];
        for (spec, expected) in table {
            let mut notices = Vec::new();
            notice_memory(&json!({"spec": spec.clone()}), &mut notices);
            let shown: Vec<_> = notices.iter().map(ToString::to_string).collect();
            let expected: Vec<_> = expected
                .map(|message| format!("{message} (hint: {hint})"))
                .into_iter()
                .collect();
            assert_eq!(shown, expected, "{spec}");
        }
    }
}
