//! The HTTP clients of targets and of their token endpoints.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, header};
use reqwest::RequestBuilder;
use tower::util::AndThenLayer;

use super::methods::Way;
use crate::prometheus::guard::Guard;
use crate::prometheus::request::Request;
use crate::prometheus::tls;
use crate::settings::TargetSettings;

/// A request as it is sent.
pub(super) fn built(http: &reqwest::Client, request: &Request, way: Way) -> RequestBuilder {
    match way {
        Way::Get => http.get(request.url_of_get()),
        Way::Post => {
            let (url, form) = request.form();
            http.post(url)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form)
        }
    }
}

/// `host` is what the Host header must say if it is not the URL's host. With a guard each request
/// has a connection of its own: where an enforced target is may change while one is kept.
pub(super) fn http_client(
    settings: &TargetSettings,
    host: Option<&str>,
    guard: Option<&Arc<Guard>>,
) -> reqwest::Result<reqwest::ClientBuilder> {
    let mut headers = settings.headers.clone();
    // A URL's host can always be sent.
    if let Some(host) = host.and_then(|host| HeaderValue::try_from(host).ok()) {
        headers.insert(header::HOST, host);
    }
    let mut client = plain_client().default_headers(headers);
    if let Some(guard) = guard {
        client = client
            .pool_max_idle_per_host(0)
            .connector_layer(AndThenLayer::new(Arc::clone(guard).admits()));
    }
    tls::configure(client, settings)
}

/// What the clients of targets and of their token endpoints have in common.
pub(in crate::prometheus) fn plain_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("prometheus-mirror/", env!("CARGO_PKG_VERSION")))
        // A redirect is nearly always a login page or a URL without its prefix, and would carry our
        // headers elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        // HTTP_PROXY is set in many clusters for the way out, and Prometheus lies inside: a proxy
        // that cannot reach it would be asked, and would see the credentials. If somebody needs
        // one, it should be a field of the target.
        .no_proxy()
        // Nothing is sent twice but by `Client::send_once`.
        .retry(reqwest::retry::never())
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
}
