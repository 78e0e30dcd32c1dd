//! Requests whose heads cannot be read. No route and no layer sees them.

use http::StatusCode;
use server::MAX_HEAD_BYTES;

use crate::api::error::ApiError;

/// The body of the answer to a request that is refused with `status`, for [`server::Hooks`].
#[must_use]
pub fn body(status: StatusCode) -> String {
    let (summary, details) = if status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE {
        let details = format!(
            "the request's head is larger than {MAX_HEAD_BYTES} bytes, or has more than 100 headers"
        );
        ("request too large", details)
    } else {
        let details = "the request's head is not HTTP/1.1".to_owned();
        ("malformed request", details)
    };
    ApiError::BadRequest { summary, details }.body().to_string()
}
