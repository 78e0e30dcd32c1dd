//! The proxy that leads to a target, and to where its tokens come from.

use http::StatusCode;
use reqwest::ClientBuilder;

use super::StoreError;
use super::http::{Failed, root_cause};
use crate::settings::{Proxy, TargetSettings};

/// How the HTTP client's words begin when a proxy does not open a way to a server.
const TUNNEL: &str = "tunnel error: ";

/// Lets a client ask through the target's proxy, if it has one. Call it after
/// [`super::http::plain_client`], which asks none.
pub(super) fn configure(
    builder: ClientBuilder,
    settings: &TargetSettings,
) -> reqwest::Result<ClientBuilder> {
    let Some(Proxy { url, login }) = &settings.proxy else {
        return Ok(builder);
    };
    let mut proxy = reqwest::Proxy::all(url.clone())?;
    if let Some(login) = login {
        proxy = proxy.basic_auth(login.username.expose(), login.password.expose());
    }
    Ok(builder.proxy(proxy))
}

/// What a request that failed says of the proxy; none if it failed behind it. `whose` is what the
/// proxy leads to, such as `target a`. Certificates are the server's: look at those first.
pub(super) fn failure(
    error: &Failed,
    settings: &TargetSettings,
    whose: &str,
) -> Option<StoreError> {
    let proxy = settings.proxy.as_ref()?;
    if !error.is_connect() {
        return None;
    }
    let cause = root_cause(error);
    let name = format!("the proxy {} of {whose}", proxy.place());
    Some(match cause.strip_prefix(TUNNEL) {
        Some("proxy authorization required") => refused(proxy, whose),
        Some("unsuccessful") => {
            let hint = "does it allow that host and that port, and are proxy.credentials right?";
            StoreError::Unreachable(format!("{name} refused to connect to it (hint: {hint})"))
        }
        Some(_) => StoreError::Unreachable(format!("{name} did not answer as HTTP proxies do")),
        None => StoreError::Unreachable(format!("{name} cannot be reached: {cause}")),
    })
}

/// What an answer with this status says of the proxy: only a proxy wants credentials in this way.
pub(super) fn refusal(
    status: StatusCode,
    settings: &TargetSettings,
    whose: &str,
) -> Option<StoreError> {
    let proxy = settings.proxy.as_ref()?;
    (status == StatusCode::PROXY_AUTHENTICATION_REQUIRED).then(|| refused(proxy, whose))
}

/// What follows an answer that may be the proxy's: over plain HTTP it answers in the server's
/// place.
pub(super) fn hint(status: StatusCode, settings: &TargetSettings, scheme: &str) -> String {
    let may_be = matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    match &settings.proxy {
        Some(proxy) if may_be && scheme == "http" => {
            format!(
                " (hint: this may be the answer of the proxy {})",
                proxy.place()
            )
        }
        _ => String::new(),
    }
}

fn refused(proxy: &Proxy, whose: &str) -> StoreError {
    let place = proxy.place();
    StoreError::CredentialsRefused(match &proxy.login {
        Some(_) => format!("the proxy {place} of {whose} refused the credentials"),
        None => format!(
            "the proxy {place} of {whose} demands credentials (hint: name them in proxy.credentials)"
        ),
    })
}
