//! API keys of requests: which ones are right, and which one the answer carries.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::api::error::ApiError;
use crate::api::state::{AppState, Serving};
use crate::http::body::refuse;
use crate::settings::{ApiKey, ApiKeys};

/// The header that carries the API key, in both directions.
pub static API_KEY_HEADER: HeaderName = HeaderName::from_static("x-mirror-api-key");

/// For the console, where every request for data must carry a key.
pub(super) async fn demand(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    checked(state.serving(), true, request, |request| next.run(request)).await
}

/// Refuses wrong keys, and answers every other request with the key that it knows already.
pub(super) async fn checked<F: Future<Output = Response>>(
    serving: Arc<Serving>,
    required: bool,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    let Some(key) = answered_key(&serving.settings.api_keys, required, request.headers()) else {
        return refuse(&serving, request, ApiError::Unauthorized).await;
    };
    // The key as of now, not as of the end: a request may wait while its key is replaced, and must
    // not learn the new one.
    let key = key.header_value();
    let mut response = answer(request).await;
    response.headers_mut().insert(API_KEY_HEADER.clone(), key);
    response
}

/// The key that the answer to a request carries: the one that it came with, so that an old key
/// never leads to a new one, or the current one if it came without and none is required. None: the
/// request is refused. A request need not carry a key unless one is required, but every key that it
/// carries must be right.
fn answered_key<'a>(known: &'a ApiKeys, required: bool, headers: &HeaderMap) -> Option<&'a ApiKey> {
    let keys = headers
        .get_all(&API_KEY_HEADER)
        .iter()
        .map(HeaderValue::as_bytes);
    let bearers = headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(7)?;
        scheme
            .eq_ignore_ascii_case(b"bearer ")
            .then(|| token.trim_ascii())
    });
    let ApiKeys { current, previous } = known;
    let known = |presented: &[u8]| {
        // Both are compared, whichever it is: how long it takes says nothing.
        let is_previous = previous
            .as_ref()
            .filter(|previous| previous.matches(presented));
        if current.matches(presented) {
            Some(current)
        } else {
            is_previous
        }
    };
    let mut presented = keys.chain(bearers).peekable();
    if presented.peek().is_none() {
        return Some(current).filter(|_| !required);
    }
    // Where one request carries both keys, it gets the older one back: the newer one may not be its
    // sender's to know.
    presented
        .map(known)
        .try_fold(current, |answered, key| match key? {
            key if key == current => Some(answered),
            key => Some(key),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(previous: Option<&str>) -> ApiKeys {
        let key = |text| ApiKey::parse(text).expect("a key");
        ApiKeys {
            current: key("new"),
            previous: previous.map(key),
        }
    }

    /// Headers that are sent, the previous key, whether one is required, and the key in the answer.
    type Case = (
        &'static [(&'static str, &'static str)],
        Option<&'static str>,
        bool,
        Option<&'static str>,
    );

    #[test]
    fn a_request_gets_the_key_back_that_it_came_with_and_no_newer_one() {
        const KEY: &str = "x-mirror-api-key";
        const BEARER: &str = "authorization";
        let table: [Case; 13] = [
            (&[], None, false, Some("new")),
            (&[], Some("old"), false, Some("new")),
            (&[], Some("old"), true, None),
            (&[(KEY, "new")], Some("old"), true, Some("new")),
            (&[(KEY, "old")], Some("old"), true, Some("old")),
            (&[(KEY, "old")], Some("old"), false, Some("old")),
            (&[(KEY, "old")], None, false, None),
            (&[(BEARER, "Bearer old")], Some("old"), true, Some("old")),
            (
                &[(KEY, "new"), (BEARER, "Bearer old")],
                Some("old"),
                true,
                Some("old"),
            ),
            (
                &[(BEARER, "Bearer new"), (KEY, "old")],
                Some("old"),
                true,
                Some("old"),
            ),
            (
                &[(KEY, "old"), (KEY, "new")],
                Some("old"),
                true,
                Some("old"),
            ),
            (&[(KEY, "new"), (KEY, "wrong")], Some("old"), true, None),
            (&[(KEY, "wrong"), (KEY, "new")], Some("old"), false, None),
        ];
        for (sent, previous, required, expected) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let keys = keys(previous);
            let answered = answered_key(&keys, required, &headers).map(ApiKey::header_value);
            assert_eq!(
                answered.as_ref().map(HeaderValue::as_bytes),
                expected.map(str::as_bytes),
                "{sent:?}, {previous:?}, {required}"
            );
        }
    }
}
