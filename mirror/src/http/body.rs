//! The bodies of requests: read, or taken and thrown away where the request is refused anyway.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::EXPECT;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;

use crate::api::body::RequestBody;
use crate::api::error::ApiError;
use crate::api::state::Serving;
use crate::budget::Budget;

/// The largest body of a request, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// So much of a body that is refused is read for the sake of the answer, in bytes.
const MAX_DISCARDED: usize = 16 * MAX_BODY;

/// Reads a body, in memory of `budget` that it takes as it arrives.
pub(super) async fn read(
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
pub(super) async fn refuse(serving: &Serving, request: Request, error: ApiError) -> Response {
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
