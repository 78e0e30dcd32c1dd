//! GET or POST: what a target lets through, as far as it showed.
//!
//! Short calls go as GET, long ones as a form. Some proxies only let GET through, and some take
//! only short URLs; both show when a call is refused. What was learned is used for the target's
//! later calls, so that each of them is sent once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::StatusCode;

use crate::prometheus::Call;
use crate::prometheus::request::Request;

/// Servers and proxies take URLs of 8 KiB, some less; beyond this the parameters go as a form where
/// they can.
const LONGEST_BY_CHOICE: usize = 4096;

/// The longest URL that is tried where a call can only be a GET. nginx takes a request line of
/// 8,192 bytes.
pub(in crate::prometheus) const LONGEST_URL: usize = 8000;

/// A URL this short is not why a server finds the header fields too large.
const SHORT_URL: usize = 1024;

/// How a call is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Get,
    Post,
}

/// What remains to be done after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is the answer to the call.
    Answered,
    /// The call should be sent once more, in this way.
    Again(Way),
    /// The call fits into no URL, and there is no other way.
    TooLong,
}

/// What a target lets through.
#[derive(Debug, Default)]
pub(super) struct Methods {
    /// POST is refused for queries, which every server takes: so for everything.
    refuses_post: AtomicBool,
    /// POST is refused for series and labels, as older servers do.
    refuses_post_of_series: AtomicBool,
    /// The longest URL that may be tried; 0: not known.
    longest_url: AtomicUsize,
}

impl Methods {
    /// The longest URL for a call that can only be a GET.
    pub(super) fn longest_url(&self) -> usize {
        match self.longest_url.load(Ordering::Relaxed) {
            0 => LONGEST_URL,
            known => known.min(LONGEST_URL),
        }
    }

    /// How to send a call, by what is known. None: it is too long.
    pub(super) fn choose(&self, call: &Call, request: &Request<'_>) -> Option<Way> {
        let length = request.url_length();
        let longest = self.longest_url();
        if length <= longest.min(LONGEST_BY_CHOICE) {
            return Some(Way::Get);
        }
        if self.may_post(call, request) {
            return Some(Way::Post);
        }
        (length <= longest).then_some(Way::Get)
    }

    fn may_post(&self, call: &Call, request: &Request<'_>) -> bool {
        request.may_post()
            && !self.refuses_post.load(Ordering::Relaxed)
            && (is_query(call) || !self.refuses_post_of_series.load(Ordering::Relaxed))
    }

    /// What the status of an answer means for the call. `before` is how it was sent before this, if
    /// this was the second time.
    pub(super) fn learn(
        &self,
        call: &Call,
        request: &Request<'_>,
        way: Way,
        before: Option<Way>,
        status: StatusCode,
    ) -> Next {
        match way {
            Way::Post if is_refusal_of_post(status) => {
                self.remember_refused_post(call);
                match self.choose(call, request) {
                    Some(Way::Get) => Next::Again(Way::Get),
                    _ => Next::TooLong,
                }
            }
            // Filters, gateways and Kubernetes' rules for verbs refuse POST like this, and wrong
            // credentials and paths look the same. The GET tells; only if it is answered something
            // is learned.
            Way::Post if may_be_refusal_of_post(status) && before.is_none() => {
                if request.url_length() <= self.longest_url() {
                    Next::Again(Way::Get)
                } else {
                    Next::Answered
                }
            }
            Way::Get if is_too_long(status, request.url_length()) => {
                let shorter = (request.url_length() / 4 * 3).max(SHORT_URL);
                let longest = self.longest_url().min(shorter);
                self.longest_url.store(longest, Ordering::Relaxed);
                if before.is_none() && self.may_post(call, request) {
                    Next::Again(Way::Post)
                } else {
                    Next::TooLong
                }
            }
            Way::Get if before == Some(Way::Post) && status.is_success() => {
                self.remember_refused_post(call);
                Next::Answered
            }
            _ => Next::Answered,
        }
    }

    fn remember_refused_post(&self, call: &Call) {
        if is_query(call) {
            self.refuses_post.store(true, Ordering::Relaxed);
        } else {
            self.refuses_post_of_series.store(true, Ordering::Relaxed);
        }
    }

    /// Another server may be there now.
    pub(super) fn forget(&self) {
        self.refuses_post.store(false, Ordering::Relaxed);
        self.refuses_post_of_series.store(false, Ordering::Relaxed);
        self.longest_url.store(0, Ordering::Relaxed);
    }
}

fn is_query(call: &Call) -> bool {
    matches!(
        call,
        Call::Instant { .. } | Call::Range { .. } | Call::Samples { .. }
    )
}

fn is_refusal_of_post(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
    )
}

fn may_be_refusal_of_post(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::UNSUPPORTED_MEDIA_TYPE
    )
}

fn is_too_long(status: StatusCode, length: usize) -> bool {
    status == StatusCode::URI_TOO_LONG
        || status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE && length > SHORT_URL
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::time::Duration;

    use super::*;
    use crate::model::time::Timestamp;
    use crate::prometheus::request::Base;

    fn base() -> &'static Base {
        static BASE: LazyLock<Base> =
            LazyLock::new(|| Base::new(url::Url::parse("http://prom:9090").unwrap()));
        &BASE
    }

    /// A query, or label values, of about so many bytes as a URL.
    fn call(is_query: bool, length: usize) -> (Call, Request<'static>) {
        let text = "x".repeat(length.saturating_sub(90));
        let call = if is_query {
            Call::Instant {
                promql: text,
                at: Timestamp(0),
            }
        } else {
            Call::LabelValues {
                label: "job".to_owned(),
                selector: Some(text),
                start: Timestamp(0),
                end: Timestamp(1),
            }
        };
        let request = Request::new(base(), &call, Duration::from_secs(1));
        (call, request)
    }

    fn series(length: usize) -> (Call, Request<'static>) {
        let call = Call::SeriesExist {
            selectors: vec!["x".repeat(length)],
            start: Timestamp(0),
            end: Timestamp(1),
        };
        let request = Request::new(base(), &call, Duration::from_secs(1));
        (call, request)
    }

    fn chosen(methods: &Methods, (call, request): &(Call, Request<'_>)) -> Option<Way> {
        methods.choose(call, request)
    }

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).unwrap()
    }

    #[test]
    fn short_calls_are_gets_and_long_ones_forms_where_they_can_be() {
        let methods = Methods::default();
        let table = [
            (call(true, 1_000), Some(Way::Get)),
            (call(true, 5_000), Some(Way::Post)),
            (call(true, 50_000), Some(Way::Post)),
            (call(false, 1_000), Some(Way::Get)),
            (call(false, 7_500), Some(Way::Get)),
            (call(false, 9_000), None),
        ];
        for (call, expected) in table {
            assert_eq!(chosen(&methods, &call), expected, "{}", call.1.url_length());
        }
    }

    #[test]
    fn a_refused_post_is_learned_and_forgotten() {
        for code in [405, 501] {
            let methods = Methods::default();
            let (long, longer) = (call(true, 5_000), call(true, 9_000));
            let learn = |(call, request): &(Call, Request<'_>)| {
                methods.learn(call, request, Way::Post, None, status(code))
            };
            assert_eq!(learn(&long), Next::Again(Way::Get));
            assert_eq!(learn(&longer), Next::TooLong);
            assert_eq!(chosen(&methods, &long), Some(Way::Get));
            assert_eq!(chosen(&methods, &longer), None);
            assert_eq!(chosen(&methods, &series(5_000)), Some(Way::Get));
            methods.forget();
            assert_eq!(chosen(&methods, &long), Some(Way::Post));
        }
    }

    #[test]
    fn a_refused_post_of_series_says_nothing_about_queries() {
        let methods = Methods::default();
        let (call_, request) = series(5_000);
        let next = methods.learn(&call_, &request, Way::Post, None, status(405));
        assert_eq!(next, Next::Again(Way::Get));
        assert_eq!(chosen(&methods, &(call_, request)), Some(Way::Get));
        assert_eq!(chosen(&methods, &call(true, 5_000)), Some(Way::Post));
    }

    #[test]
    fn an_unclear_refusal_is_learned_only_if_the_get_is_answered() {
        for code in [403, 404, 415] {
            let methods = Methods::default();
            let long = call(true, 5_000);
            let learn =
                |way, before, code| methods.learn(&long.0, &long.1, way, before, status(code));
            assert_eq!(learn(Way::Post, None, code), Next::Again(Way::Get));
            assert_eq!(learn(Way::Get, Some(Way::Post), code), Next::Answered);
            assert_eq!(chosen(&methods, &long), Some(Way::Post));
            assert_eq!(learn(Way::Get, Some(Way::Post), 200), Next::Answered);
            assert_eq!(chosen(&methods, &long), Some(Way::Get));
            let longer = call(true, 9_000);
            let next = methods.learn(&longer.0, &longer.1, Way::Post, None, status(code));
            assert_eq!(next, Next::Answered);
        }
    }

    #[test]
    fn a_url_that_is_too_long_goes_as_a_form_where_it_can() {
        for code in [414, 431] {
            let methods = Methods::default();
            let learn = |(call, request): &(Call, Request<'_>), before| {
                methods.learn(call, request, Way::Get, before, status(code))
            };
            let query = call(true, 3_000);
            assert_eq!(learn(&query, None), Next::Again(Way::Post));
            assert_eq!(chosen(&methods, &query), Some(Way::Post));
            assert_eq!(chosen(&methods, &call(true, 2_000)), Some(Way::Get));
            assert_eq!(chosen(&methods, &call(false, 3_000)), None);
            assert_eq!(learn(&call(false, 2_000), None), Next::TooLong);
            // POST was refused before it.
            assert_eq!(learn(&query, Some(Way::Post)), Next::TooLong);
        }
        let short = call(true, 300);
        let next = Methods::default().learn(&short.0, &short.1, Way::Get, None, status(431));
        assert_eq!(next, Next::Answered);
    }

    #[test]
    fn other_answers_teach_nothing() {
        let methods = Methods::default();
        let long = call(true, 5_000);
        for code in [200, 400, 401, 422, 429, 500, 502, 503] {
            let next = methods.learn(&long.0, &long.1, Way::Post, None, status(code));
            assert_eq!(next, Next::Answered, "{code}");
        }
        assert_eq!(chosen(&methods, &long), Some(Way::Post));
    }
}
