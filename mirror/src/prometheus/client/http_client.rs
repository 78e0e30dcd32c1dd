//! reqwest's client of a target.

use std::sync::Arc;

use http::{HeaderValue, header};
use tower::util::AndThenLayer;
use url::Url;

use crate::prometheus::guard::Guard;
use crate::prometheus::http::plain_client;
use crate::prometheus::lookup::Lookup;
use crate::prometheus::{proxy, tls};
use crate::settings::TargetSettings;

/// What the body of a POST is.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// `host` is what the Host header must say if it is not the URL's host. With a guard each request
/// has a connection of its own: where an enforced target is may change while one is kept.
pub(super) fn http_client(
    settings: &TargetSettings,
    url: &Url,
    host: Option<&str>,
    guard: Option<&Arc<Guard>>,
) -> reqwest::Result<reqwest::ClientBuilder> {
    let mut headers = settings.headers.clone();
    // A URL's host can always be sent.
    if let Some(host) = host.and_then(|host| HeaderValue::try_from(host).ok()) {
        headers.insert(header::HOST, host);
    }
    let mut client = plain_client()
        .default_headers(headers)
        .dns_resolver(Lookup::any(Some(settings.request_timeout)));
    if let Some(guard) = guard {
        client = client
            .pool_max_idle_per_host(0)
            .connector_layer(AndThenLayer::new(Arc::clone(guard).admits()));
    }
    tls::configure(proxy::configure(client, settings)?, settings, url)
}
