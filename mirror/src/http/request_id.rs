//! The ids of requests.

use std::hash::{BuildHasher as _, Hasher as _};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The id of a request: on every log line, on the response, and in "internal error" bodies. In the
/// request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The client's own id if it is at most 64 visible ASCII characters, else a new one.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let sane = |value: &&HeaderValue| {
            (1..=64).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        Self(
            headers
                .get(&X_REQUEST_ID)
                .filter(sane)
                .cloned()
                .unwrap_or_else(|| {
                    // The standard library's hash keys are random and differ from call to call.
                    let random = std::hash::RandomState::new().build_hasher().finish();
                    // Sixteen hex digits are a valid header value.
                    HeaderValue::from_str(&format!("{random:016x}"))
                        .unwrap_or(HeaderValue::from_static("unknown"))
                }),
        )
    }

    /// The id as the value of a header.
    #[must_use]
    pub fn into_header(self) -> HeaderValue {
        self.0
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("unknown")
    }
}

/// The header that carries the id, in both directions.
pub(super) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str) -> RequestId {
        RequestId::of(&HeaderMap::from_iter([(
            X_REQUEST_ID.clone(),
            HeaderValue::from_bytes(id.as_bytes()).unwrap(),
        )]))
    }

    #[test]
    fn a_sane_id_of_the_client_is_kept_and_any_other_replaced() {
        assert_eq!(of("abc-123").as_str(), "abc-123");
        for insane in ["", "two words", "ünicode", &"x".repeat(65)] {
            let made = of(insane);
            assert_ne!(made.as_str(), insane);
            assert_eq!(made.as_str().len(), 16);
        }
        assert_ne!(of("").as_str(), of("").as_str(), "ids differ");
    }
}
