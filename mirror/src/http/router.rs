//! Every route of the API port on one page, and what surrounds all of them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use bytes::Bytes;
use futures::FutureExt as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use http_body_util::BodyExt as _;
use serde_json::json;
use server::ClientAddress;
use tower::util::MapRequestLayer;
use tower::{Layer as _, ServiceBuilder};

use crate::api::body::RequestBody;
use crate::api::decode::beginning;
use crate::api::error::ApiError;
use crate::api::state::{AppState, Serving};
use crate::api::{Answered, answer, openapi};
use crate::budget::Budget;
use crate::execute::Missing;
use crate::http::browser;
use crate::model::api_method::ApiMethod;
use crate::prometheus::Caller;
use crate::settings::{ApiKey, ApiKeys, Settings};
use crate::telemetry::{RequestId, follow};

/// The header that carries the API key, in both directions.
pub static API_KEY_HEADER: HeaderName = HeaderName::from_static("x-mirror-api-key");

/// Beside a partial metric answer: `limit` if more can be asked for from the last point on, `store`
/// if the store left something out, `value` if a value has no JSON number. Several are separated by
/// commas.
pub static PARTIAL_HEADER: HeaderName = HeaderName::from_static("x-mirror-partial");

/// The largest body of a request, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// So much of a body that is refused is read for the sake of the answer, in bytes.
const MAX_DISCARDED: usize = 16 * MAX_BODY;

/// The API port's routes. The admin port has its own.
pub fn app(state: Arc<AppState>) -> Router {
    let routes = Router::new()
        .route("/", only("GET", get(about)))
        .route("/openapi.json", only("GET", get(description)));
    let methods = ApiMethod::ALL.into_iter();
    let routes = methods
        .fold(routes, |routes, method| {
            routes.route(method.path(), of(method))
        })
        .fallback(
            |State(state): State<Arc<AppState>>, request: Request| async move {
                let path = beginning(request.uri().path());
                refuse(&state.serving(), request, ApiError::NoSuchPath { path }).await
            },
        )
        .with_state(Arc::clone(&state));
    // Slashes are put right before the routes are looked up, so around the router and not among its
    // layers.
    let routes = MapRequestLayer::new(normalize).layer(routes);
    let around = ServiceBuilder::new()
        .layer(from_fn(follow))
        .layer(from_fn_with_state(
            Arc::clone(&state.metrics),
            crate::telemetry::metrics::record,
        ))
        .layer(from_fn_with_state(Arc::clone(&state), refuse_web_pages))
        .layer(from_fn_with_state(Arc::clone(&state), authenticate))
        .layer(from_fn_with_state(state, report_panic));
    Router::new().fallback_service(ServiceBuilder::new().layer(around).service(routes))
}

/// A method of the Mirror API.
fn of(method: ApiMethod) -> MethodRouter<Arc<AppState>> {
    only(
        "POST",
        post(
            move |State(state): State<Arc<AppState>>, request: Request| {
                handle(state, method, request)
            },
        ),
    )
}

/// Any other HTTP method gets the contract's kind of error.
fn only(allowed: &'static str, route: MethodRouter<Arc<AppState>>) -> MethodRouter<Arc<AppState>> {
    route.fallback(
        move |State(state): State<Arc<AppState>>, request: Request| async move {
            let path = beginning(request.uri().path());
            let error = ApiError::WrongMethod { path, allowed };
            refuse(&state.serving(), request, error).await
        },
    )
}

async fn about() -> impl IntoResponse {
    let about = json!({"app": "Prometheus Mirror", "version": env!("CARGO_PKG_VERSION")});
    ([(CONTENT_TYPE, "application/json")], about.to_string())
}

async fn description() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], openapi::DOCUMENT)
}

async fn handle(state: Arc<AppState>, method: ApiMethod, request: Request) -> Response {
    let arrived = Instant::now();
    let client = request.extensions().get::<ClientAddress>();
    // Without a connection there is no client; what asks then is this process.
    let caller = client.map_or(Caller::Mirror, |client| Caller::Client(client.ip()));
    let serving = state.serving();
    if request.body().size_hint().lower() > MAX_BODY as u64 {
        return refuse(
            &serving,
            request,
            ApiError::BodyTooLarge { limit: MAX_BODY },
        )
        .await;
    }
    let memory = &serving.targets.memory().bodies;
    let answer = match read(request.into_body(), memory, arrived).await {
        Ok(body) => answer(&serving, method, body, arrived, caller).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answered) => answered_with(answered),
        Err(error) => {
            tracing::debug!(%error, "refused");
            error.into_response(serving.settings.error_status)
        }
    }
}

fn answered_with(Answered { body, about }: Answered) -> Response {
    let mut response = ([(CONTENT_TYPE, "application/json")], body).into_response();
    if about.missing.is_partial() {
        let headers = response.headers_mut();
        headers.insert(PARTIAL_HEADER.clone(), partial_because(about.missing));
    }
    response.extensions_mut().insert(about);
    response
}

/// The value of [`PARTIAL_HEADER`]: what is missing, as words with commas between them.
fn partial_because(missing: Missing) -> HeaderValue {
    HeaderValue::from_static(
        match (
            missing.beyond_limit,
            missing.left_out_by_store,
            missing.without_number,
        ) {
            (true, true, true) => "limit, store, value",
            (true, true, false) => "limit, store",
            (true, false, true) => "limit, value",
            (true, false, false) => "limit",
            (false, true, true) => "store, value",
            (false, true, false) => "store",
            (false, false, true) => "value",
            (false, false, false) => "",
        },
    )
}

/// Reads a body, in memory of `budget` that it takes as it arrives.
async fn read(
    mut body: Body,
    budget: &Arc<Budget>,
    arrived: Instant,
) -> Result<RequestBody, ApiError> {
    let mut read = RequestBody::new(budget, arrived).await?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::of_body(&error))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if read.len() + data.len() > MAX_BODY {
            drop(read);
            discard(body).await;
            return Err(ApiError::BodyTooLarge { limit: MAX_BODY });
        }
        if let Err(refused) = read.push(&data).await {
            drop((read, data));
            discard(body).await;
            return Err(refused.into());
        }
    }
    Ok(read)
}

/// The answer to a request whose body does not matter.
async fn refuse(serving: &Serving, request: Request, error: ApiError) -> Response {
    // A client that asks first sends nothing now; and reading would ask it to.
    if !asks_first(request.headers()) {
        discard(request.into_body()).await;
    }
    error.into_response(serving.settings.error_status)
}

/// Whether a client waits for `100 Continue` before it sends the body. It is sent when the body is
/// first read.
fn asks_first(headers: &HeaderMap) -> bool {
    let expects = headers.get(EXPECT).map(HeaderValue::as_bytes);
    expects.is_some_and(|expects| expects.eq_ignore_ascii_case(b"100-continue"))
}

/// Takes what a client still sends: it reads its answer only after that, and closing the connection
/// before would lose the answer. A client that sends far too much loses it all the same.
async fn discard(mut body: Body) {
    let mut left = MAX_DISCARDED;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// A data source URL may end in a slash: `//api/metric` and `/api/metric/` are `/api/metric`.
fn normalize(mut request: Request) -> Request {
    let path = request.uri().path();
    if !path.contains("//") && (path.len() == 1 || !path.ends_with('/')) {
        return request;
    }
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let query = request
        .uri()
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    if let Ok(uri) = format!("/{}{query}", segments.join("/")).parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request
}

/// Refuses what a web page of another site can have sent, and keeps the key from it.
async fn refuse_web_pages(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let serving = state.serving();
    let allowed = serving.settings.allowed_hosts.as_deref();
    match browser::check(allowed, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => refuse(&serving, request, error).await,
    }
}

/// Refuses wrong keys, and answers every other request with the key that it knows already.
async fn authenticate(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let serving = state.serving();
    let Some(key) = answered_key(&serving.settings, request.headers()) else {
        return refuse(&serving, request, ApiError::Unauthorized).await;
    };
    // The key as of now, not as of the end: a request may wait while its key is replaced, and must
    // not be told the new one.
    let key = key.header_value();
    let mut response = next.run(request).await;
    response.headers_mut().insert(API_KEY_HEADER.clone(), key);
    response
}

/// The key that the answer to a request carries: the one that it came with, so that an old key
/// never leads to a new one, or the current one if it came without and none is required. None: the
/// request is refused. A request need not carry a key unless the settings want it, but every key
/// that it carries must be right.
fn answered_key<'a>(settings: &'a Settings, headers: &HeaderMap) -> Option<&'a ApiKey> {
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
    let ApiKeys { current, previous } = &settings.api_keys;
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
        return Some(current).filter(|_| !settings.require_api_key);
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

/// A panic is a bug: the client gets an error of the contract, the log the rest.
async fn report_panic(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let request_id = request
        .extensions()
        .get::<RequestId>()
        .map_or_else(String::new, |id| id.as_str().to_owned());
    let policy = state.serving().settings.error_status;
    // The panic hook has logged what and where. Every handler owns its state, so nothing half-done
    // is seen afterwards.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => ApiError::Internal { request_id }.into_response(policy),
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroUsize};

    use super::*;
    use crate::settings::{ErrorStatus, Limits};

    fn settings(previous: Option<&str>, require_api_key: bool) -> Settings {
        let key = |text| ApiKey::parse(text).expect("a key");
        Settings {
            name: "test".to_owned(),
            document_hash: String::new(),
            api_keys: ApiKeys {
                current: key("new"),
                previous: previous.map(key),
            },
            require_api_key,
            error_status: ErrorStatus::Semantic,
            allowed_hosts: None,
            server_tls: None,
            targets: Vec::new(),
            default_target: None,
            request_targets: None,
            workers: NonZeroUsize::MIN,
            limits: Limits {
                memory: None,
                upstream_calls: NonZeroU32::MIN,
            },
            port: 0,
            notices: Vec::new(),
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
            let settings = settings(previous, required);
            let answered = answered_key(&settings, &headers).map(ApiKey::header_value);
            assert_eq!(
                answered.as_ref().map(HeaderValue::as_bytes),
                expected.map(str::as_bytes),
                "{sent:?}, {previous:?}, {required}"
            );
        }
    }
}
