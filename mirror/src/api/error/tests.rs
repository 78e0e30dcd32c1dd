//! What each cause becomes on the wire.

use std::time::Duration;

use super::*;
use crate::prometheus::StoreError;
use rstest::rstest;

fn connection() -> ApiError {
    ApiError::Connection {
        details: "x".to_owned(),
    }
}

#[rstest]
#[case(connection(), 502, json!({"_type": "MetricStoreConnectionError", "details": "x"}))]
#[case(ApiError::Timeout { details: "x".to_owned() }, 504, json!({"_type": "MetricStoreConnectionError", "details": "x"}))]
#[case(
    ApiError::MetricNotFound { metric: "m".to_owned(), details: "x".to_owned() }, 404,
    json!({"_type": "MetricNotFoundError", "metric": "m", "details": "x"})
)]
#[case(
    ApiError::UnsupportedFieldType { mirror_type: "MIN".to_owned() }, 422,
    json!({"_type": "UnsupportedFieldTypeError", "mirrorType": "MIN"})
)]
#[case(
    ApiError::BadRequest { summary: "s", details: "x".to_owned() }, 400,
    json!({"_type": "RemoteMirrorError", "summary": "s", "details": "x"})
)]
#[case(
    ApiError::Busy { details: "x".to_owned() }, 503,
    json!({"_type": "RemoteMirrorError", "summary": "too busy", "details": "x"})
)]
#[case(
    StoreError::Throttled { message: "x".to_owned(), retry_after: Duration::from_millis(6_001) }.into(), 503,
    json!({"_type": "RemoteMirrorError", "summary": "too busy", "details": "x"})
)]
#[case(
    StoreError::TooLongForUrl { message: "x".to_owned(), bytes: 9_000, at_most: 8_000 }.into(), 400,
    json!({"_type": "RemoteMirrorError", "summary": "query too long", "details": "x"})
)]
#[case(
    ApiError::Internal { request_id: "7".to_owned() }, 500,
    json!({"_type": "RemoteMirrorError", "summary": "internal error", "details": "the mirror's log says more about request 7"})
)]
fn each_cause_has_its_body_and_status(
    #[case] error: ApiError,
    #[case] status: u16,
    #[case] body: Value,
) {
    assert_eq!(error.body(), body);
    assert_eq!(error.status(ErrorStatus::Semantic).0.as_u16(), status);
    assert_eq!(error.status(ErrorStatus::Always500).0.as_u16(), 500);
}

#[test]
fn what_is_no_typed_error_keeps_its_status() {
    assert_eq!(
        ApiError::Unauthorized.status(ErrorStatus::Always500).0,
        StatusCode::UNAUTHORIZED
    );
}

#[test]
fn a_busy_mirror_says_when_to_come_back() {
    let response = ApiError::Busy {
        details: String::new(),
    }
    .into_response(ErrorStatus::Semantic);
    assert_eq!(
        response.headers().get(RETRY_AFTER),
        Some(&HeaderValue::from_static("5"))
    );
}

#[test]
fn a_store_that_asks_to_slow_down_has_its_time_passed_on_in_whole_seconds() {
    for (left, expected) in [(7_000, "7"), (6_001, "7"), (1, "1"), (300_000, "300")] {
        let error = StoreError::Throttled {
            message: String::new(),
            retry_after: Duration::from_millis(left),
        };
        for policy in [ErrorStatus::Semantic, ErrorStatus::Always500] {
            let response = ApiError::from(error.clone()).into_response(policy);
            assert_eq!(response.headers()[RETRY_AFTER], expected);
        }
    }
}
