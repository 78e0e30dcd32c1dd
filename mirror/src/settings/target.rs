//! What a target must be beyond its schema: a URL and headers that HTTP can send.

use crds::{Fault, field_path};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use super::servers::{self, Declared};
use super::{parameters, proxy};

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

/// The base URL of a server, without a slash at its end. Beyond the schema's rule: a host and a
/// port that exist.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| match of_ipv6(text) {
        Some(wrong) => wrong.to_owned(),
        None => format!("is not a URL: {error}"),
    })?;
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

/// What is wrong with an IPv6 address in a URL; the parser says it of a port or an address.
fn of_ipv6(text: &str) -> Option<&'static str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    if authority.starts_with('[') && authority.contains('%') {
        return Some(
            "must not have a zone (%) in its IPv6 address, because a zone means something on one machine only: write an address that is routed, or a name",
        );
    }
    let is_bare = !authority.contains(['[', '@']) && authority.matches(':').count() > 1;
    is_bare.then_some("must have its IPv6 address in brackets, such as http://[fd00::7]:9090")
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
    use super::*;

    #[test]
    fn an_ipv6_address_is_in_brackets_and_has_no_zone() {
        let parsed = |text: &str| url(text).map(|url| url.to_string());
        for (written, expected) in [
            ("http://[fd00::7]:9090", "http://[fd00::7]:9090/"),
            ("https://[FD00:0::7]/p/", "https://[fd00::7]/p"),
        ] {
            assert_eq!(parsed(written), Ok(expected.to_owned()), "{written}");
        }
        for bare in ["http://fd00::7:9090", "http://::1", "http://fd00::7/p"] {
            let said = parsed(bare).unwrap_err();
            assert!(
                said.starts_with("must have its IPv6 address in brackets"),
                "{bare}: {said}"
            );
        }
        for zoned in [
            "http://[fe80::1%eth0]:9090",
            "http://[fe80::1%25eth0]:9090/p",
        ] {
            let said = parsed(zoned).unwrap_err();
            assert!(
                said.starts_with("must not have a zone (%)"),
                "{zoned}: {said}"
            );
        }
    }
}
