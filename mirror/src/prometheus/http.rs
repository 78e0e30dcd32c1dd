//! HTTP below the clients of targets and of token endpoints: how they are built, the bodies of
//! answers, and what may be shown of them.

mod body;
mod encoding;
mod failed;
mod incoming;
mod markup;
mod quote;
mod redact;
mod said;
mod whole;

use std::time::Duration;

pub(super) use self::body::{Body, BodyError};
pub(super) use self::failed::Failed;
pub(super) use self::incoming::{Incoming, Response, answered};
pub(crate) use self::quote::root_cause;
pub(super) use self::quote::{Secrets, authorization_of, quote};
pub(super) use self::said::Said;
pub(super) use self::whole::{NotWhole, Whole};

use super::lookup::Lookup;

/// Who the mirror says that it is.
pub(super) const USER_AGENT_OF_OURS: &str =
    concat!("prometheus-mirror/", env!("CARGO_PKG_VERSION"));

/// So long a connection may be silent before the system asks whether the other side is there.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(30);

/// So long a connection is kept that nobody uses.
pub(super) const CONNECTION_IDLE: Duration = Duration::from_secs(90);

/// What all clients have in common.
pub(super) fn plain_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(USER_AGENT_OF_OURS)
        // A redirect is nearly always a login page or a URL without its prefix, and would carry our
        // headers elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        // HTTP_PROXY is set in many clusters for the way out, and Prometheus lies inside: a proxy
        // that cannot reach it would be asked, and would see the credentials. If somebody needs
        // one, it should be a field of the target.
        .no_proxy()
        // Nothing is sent twice but by `Client::send_once`.
        .retry(reqwest::retry::never())
        .dns_resolver(Lookup::any(None))
        .tcp_nodelay(true)
        .tcp_keepalive(KEEPALIVE)
        .pool_idle_timeout(CONNECTION_IDLE)
}
