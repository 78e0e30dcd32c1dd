//! AWS: requests that are signed with Signature Version 4, and the keys for it.
//!
//! ```text
//! signer ─► session ─► identity ─► sts, container, instance
//!   │        keys that are good     where keys come from; environment says which
//!   └─► signature
//! ```
//!
//! AWS's own crates would do the same: both with 27 more crates, `aws-sigv4` alone with 15 and a
//! second implementation of SHA-256.

mod clock;
mod container;
mod environment;
mod identity;
mod instance;
mod keys;
mod refusal;
mod session;
mod signature;
mod sts;

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use percent_encoding::percent_encode;
use url::Url;

use self::clock::is_wrong;
use self::environment::Environment;
pub(super) use self::keys::Keys;
use self::session::Session;
pub(super) use self::signature::Unsigned;
use self::signature::{Scope, signed};
use super::StoreError;
use super::request::SEGMENT;
use crate::settings::{Auth, SigV4, TargetSettings};

/// What is said of a session whose time is over or that is unknown.
const OF_TOKEN: [&str; 5] = [
    "security token",
    "ExpiredToken",
    "UnrecognizedClient",
    "InvalidClientTokenId",
    "TokenRefreshRequired",
];

/// Signs the requests of one target. However many servers it has, they share it, so that its keys
/// are obtained once.
#[derive(Debug)]
pub(super) struct Signer {
    scope: Scope,
    session: Session,
}

/// What may help a request that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    Nothing,
    /// To sign it again: the time was wrong, or the keys are not good any more.
    SignAgain,
}

impl Signer {
    pub(super) fn new(settings: &Arc<TargetSettings>, sig_v4: &SigV4) -> Self {
        let environment = Environment::of_process();
        Self {
            scope: Scope {
                region: sig_v4.region.clone(),
                service: sig_v4.service.clone(),
            },
            session: Session::new(settings, sig_v4, &environment),
        }
    }

    /// Keys that are good now.
    pub(super) async fn keys(&self) -> Result<Arc<Keys>, StoreError> {
        self.session.keys().await
    }

    /// The time by AWS's clock, as far as it is known.
    pub(super) fn now(&self) -> Timestamp {
        self.session.clock().now()
    }

    /// The headers that make a request a signed one.
    pub(super) fn signed(
        &self,
        request: &Unsigned,
        keys: &Keys,
        at: Timestamp,
    ) -> Vec<(&'static str, String)> {
        signed(request, &self.scope, keys, at)
    }

    /// What helps a request that was signed with these keys at this time and refused.
    pub(super) fn remedy(
        &self,
        keys: &Arc<Keys>,
        at: Timestamp,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Remedy {
        // Another request may have set it meanwhile.
        self.session.clock().set_by(headers);
        if is_wrong(at, headers) {
            return Remedy::SignAgain;
        }
        if is_of_token(headers, body) && self.session.forget(keys) {
            return Remedy::SignAgain;
        }
        Remedy::Nothing
    }

    /// A request that was signed again was refused again.
    pub(super) fn refused_again(&self, headers: &HeaderMap, body: &[u8]) {
        if is_of_token(headers, body) {
            self.session.is_in_vain();
        }
    }
}

/// Whether a refusal is about keys that are not good any more.
fn is_of_token(headers: &HeaderMap, body: &[u8]) -> bool {
    let kind = headers.get("x-amzn-errortype");
    let kind = kind.map_or(&b""[..], |kind| kind.as_bytes());
    [kind, body]
        .map(String::from_utf8_lossy)
        .iter()
        .any(|text| OF_TOKEN.iter().any(|part| text.contains(part)))
}

/// Whether a server of keys refuses who asks. The Security Token Service says with 400 that a token
/// is over.
fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    )
}

/// With what the requests of a target are signed, without secrets. None: they are not signed.
pub(crate) fn described(settings: &TargetSettings) -> Option<String> {
    let Some(Auth::SigV4(sig_v4)) = &settings.auth else {
        return None;
    };
    let identity = identity::described(sig_v4, &Environment::of_process());
    let SigV4 {
        region, service, ..
    } = sig_v4;
    Some(format!("signs for {service} in {region} with {identity}"))
}

/// What the Host header of a request to this URL says.
pub(super) fn host_header(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// All but unreserved characters in percent.
fn encoded(bytes: &[u8]) -> String {
    percent_encode(bytes, SEGMENT).to_string()
}
