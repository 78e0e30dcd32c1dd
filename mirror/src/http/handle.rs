//! One request of a method of the Mirror API: its body in, its answer out.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use server::ClientAddress;

use crate::api::error::ApiError;
use crate::api::state::AppState;
use crate::api::{Answered, Asker, answer};
use crate::execute::Missing;
use crate::http::body::{MAX_BODY, read, refuse};
use crate::model::api_method::ApiMethod;
use crate::model::cache_control::has_directive;
use crate::model::notes::Notes;
use crate::prometheus::Caller;

/// Beside a partial metric answer: `limit` if more can be asked for from the last point on, `store`
/// if the store left something out, `value` if a value has no JSON number. Several are separated by
/// commas.
pub static PARTIAL_HEADER: HeaderName = HeaderName::from_static("x-mirror-partial");

/// With one of these directives a request has all of its answer come from the target.
const FRESH: [&str; 2] = ["no-cache", "no-store"];

/// Answers a request of `method`.
pub(super) async fn handle(state: Arc<AppState>, method: ApiMethod, request: Request) -> Response {
    let arrived = Instant::now();
    let client = request.extensions().get::<ClientAddress>();
    let asker = Asker {
        // Without a connection there is no client; what asks then is this process.
        caller: client.map_or(Caller::Mirror, |client| Caller::Client(client.ip())),
        arrived,
        wants_fresh: has_directive(request.headers(), &FRESH),
        notes: request.extensions().get::<Arc<Notes>>().cloned(),
    };
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
        // Every layer around this one would hand its kilobytes on.
        Ok(body) => Box::pin(answer(&serving, method, body, asker)).await,
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
    let content_type = [(CONTENT_TYPE, "application/json")];
    let mut response = (content_type, Body::new(body)).into_response();
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
