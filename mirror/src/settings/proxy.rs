//! The HTTP proxy that leads to a target.

use crds::{Fault, field_path};
use serde_json::Value;
use url::Url;

use super::auth::{self, Login};
use super::files::Files;
use super::target;

/// The HTTP proxy that leads to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// `http`, a host and a port, nothing else.
    pub url: Url,
    /// What it demands.
    pub login: Option<Login>,
}

impl Proxy {
    /// Its host and port, as messages name it.
    #[must_use]
    pub fn place(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("{host}:{}", self.url.port_or_known_default().unwrap_or(80))
    }
}

/// Reads what a target's `proxy`, at `path`, refers to. The outer None: something is wrong, which
/// is reported.
#[expect(
    clippy::option_option,
    reason = "whether it can be read, and whether there is something"
)]
pub(super) fn read(
    files: &Files,
    path: &str,
    proxy: &Value,
    faults: &mut Vec<Fault>,
) -> Option<Option<Proxy>> {
    if proxy.is_null() {
        return Some(None);
    }
    let credentials = &proxy["credentials"];
    let login = match credentials {
        Value::Null => Some(None),
        _ => auth::login(files, &field_path(path, "credentials"), credentials, faults).map(Some),
    };
    // What is wrong with it, `check` has reported.
    let url = proxy["url"].as_str().and_then(|text| url(text).ok());
    Some(Some(Proxy {
        url: url?,
        login: login?,
    }))
}

/// Reports what is wrong with a target's proxy as it stands in the document.
pub(super) fn check(path: &str, target: &Value, faults: &mut Vec<Fault>) {
    let proxy = &target["proxy"];
    if let Some(Err(message)) = proxy["url"].as_str().map(url) {
        faults.push(Fault::new(
            field_path(&field_path(path, "proxy"), "url"),
            message,
        ));
    }
    let is_set = |value: &Value| !value.is_null();
    if is_set(proxy) && is_set(&target["tls"]["serverName"]) {
        let fault = Fault::new(
            field_path(path, "proxy"),
            "cannot be used with tls.serverName: the proxy finds the server by the name that its certificate is checked for",
        );
        faults.push(fault.hint("write a URL whose host is in the server's certificate"));
    }
}

fn url(text: &str) -> Result<Url, String> {
    let url = target::url(text)?;
    if url.scheme() != "http" || url.path() != "/" {
        return Err(
            "must be http://HOST:PORT: the mirror speaks plain HTTP with proxies".to_owned(),
        );
    }
    Ok(url)
}
