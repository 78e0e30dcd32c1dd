//! Calls as HTTP requests. Pure.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{
    AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode,
};
use url::Url;
use url::form_urlencoded;

use super::{Call, MOST_SERIES_LISTED, range_selector};
use crate::model::time::Timestamp;

/// All but RFC 3986's unreserved characters.
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What is sent for a call, in whichever way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// With the target's own parameters, without the call's.
    url: Url,
    /// Encoded as a form, which is how a URL's query takes them as well.
    parameters: Bytes,
    may_post: bool,
}

impl Request {
    /// Whether servers take this call as a POST.
    pub(super) fn may_post(&self) -> bool {
        self.may_post
    }

    /// How many bytes the URL of a GET has.
    pub(super) fn url_length(&self) -> usize {
        self.url.as_str().len() + 1 + self.parameters.len()
    }

    /// The URL of a GET.
    pub(super) fn url_of_get(&self) -> Url {
        let mut url = self.url.clone();
        // Percent-encoded, so ASCII.
        let parameters = std::str::from_utf8(&self.parameters).unwrap_or_default();
        match self.url.query() {
            Some(own) => url.set_query(Some(&format!("{own}&{parameters}"))),
            None => url.set_query(Some(parameters)),
        }
        url
    }

    /// The URL and the body of a POST, a form.
    pub(super) fn form(&self) -> (Url, Bytes) {
        (self.url.clone(), self.parameters.clone())
    }

    /// The same with all but unreserved characters percent-encoded, a space as well. Whoever
    /// verifies a signature may decode what arrives and encode it again in this way.
    pub(super) fn strictly_encoded(mut self) -> Self {
        let segments = self.url.path().split('/').map(|segment| {
            let decoded: Cow<[u8]> = percent_decode_str(segment).into();
            percent_encode(&decoded, SEGMENT).to_string()
        });
        let path = segments.collect::<Vec<_>>().join("/");
        self.url.set_path(&path);
        let own = self.url.query().map(|own| strictly(own.as_bytes()));
        self.url.set_query(own.as_deref());
        self.parameters = strictly(&self.parameters).into();
        self
    }

    /// `timeout` is what the store may take for a query. The query of `base` goes with every call.
    pub(super) fn new(base: &Url, call: &Call, timeout: Duration) -> Self {
        let mut url = base.clone();
        url.set_path(&format!(
            "{}/api/v1/{}",
            base.path().trim_end_matches('/'),
            path(call)
        ));
        Self {
            url,
            parameters: parameters(call, timeout).into(),
            may_post: may_post(call),
        }
    }
}

/// Parameters of a form or a query with all but unreserved characters percent-encoded.
fn strictly(parameters: &[u8]) -> String {
    let parameters = form_urlencoded::parse(parameters).map(|(name, value)| {
        let strictly = |text| utf8_percent_encode(text, SEGMENT);
        format!("{}={}", strictly(&name), strictly(&value))
    });
    parameters.collect::<Vec<_>>().join("&")
}

/// Prometheus takes the others as GET only.
fn may_post(call: &Call) -> bool {
    match call {
        Call::Instant { .. }
        | Call::Range { .. }
        | Call::Samples { .. }
        | Call::SeriesExist { .. }
        | Call::LabelOfSeries { .. }
        | Call::LabelNames { .. } => true,
        Call::LabelValues { .. }
        | Call::LabelValuesOtherwise { .. }
        | Call::Metadata
        | Call::BuildInfo => false,
    }
}

/// The path behind `/api/v1/`.
fn path(call: &Call) -> Cow<'static, str> {
    let values =
        |label: &str| format!("label/{}/values", utf8_percent_encode(label, SEGMENT)).into();
    match call {
        Call::Instant { .. } | Call::Samples { .. } => "query".into(),
        Call::Range { .. } => "query_range".into(),
        Call::SeriesExist { .. } | Call::LabelOfSeries { .. } => "series".into(),
        Call::LabelNames { .. } => "labels".into(),
        Call::LabelValues { label, .. } => values(&label_in_path(label)),
        Call::LabelValuesOtherwise { label, .. } => values(&label_in_path_otherwise(label)),
        Call::Metadata => "metadata".into(),
        Call::BuildInfo => "status/buildinfo".into(),
    }
}

/// The parameters, encoded as a form.
fn parameters(call: &Call, timeout: Duration) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    match call {
        Call::Instant { promql, at } => {
            form.append_pair("query", promql)
                .append_pair("time", &at.to_string())
                .append_pair("timeout", &in_seconds(timeout));
        }
        Call::Samples { selector, from, to } => {
            form.append_pair("query", &range_selector(selector, *from, *to))
                .append_pair("time", &to.to_string())
                .append_pair("timeout", &in_seconds(timeout));
        }
        Call::Range {
            promql,
            start,
            end,
            step,
        } => {
            form.append_pair("query", promql)
                .append_pair("start", &start.to_string())
                .append_pair("end", &end.to_string())
                .append_pair("step", &Timestamp(step.0).to_string())
                .append_pair("timeout", &in_seconds(timeout));
        }
        Call::SeriesExist {
            selectors,
            start,
            end,
        } => {
            of_series(&mut form, selectors, *start, *end).append_pair("limit", "1");
        }
        Call::LabelOfSeries {
            selector,
            start,
            end,
            ..
        } => {
            of_series(&mut form, [selector], *start, *end)
                .append_pair("limit", &MOST_SERIES_LISTED.to_string());
        }
        Call::LabelNames {
            selector,
            start,
            end,
        }
        | Call::LabelValues {
            selector,
            start,
            end,
            ..
        }
        | Call::LabelValuesOtherwise {
            selector,
            start,
            end,
            ..
        } => {
            of_series(&mut form, selector, *start, *end);
        }
        Call::Metadata | Call::BuildInfo => {}
    }
    form.append_pair("nocache", "1").finish()
}

type Form<'a> = form_urlencoded::Serializer<'a, String>;

/// Adds which series are meant, and of which time.
fn of_series<'a, 'b>(
    form: &'b mut Form<'a>,
    selectors: impl IntoIterator<Item = &'b String>,
    start: Timestamp,
    end: Timestamp,
) -> &'b mut Form<'a> {
    for selector in selectors {
        form.append_pair("match[]", selector);
    }
    form.append_pair("start", &start.to_string())
        .append_pair("end", &end.to_string())
}

/// To the millisecond, and at least one: zero means "at once" to Prometheus.
fn in_seconds(timeout: Duration) -> String {
    let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let timeout = Duration::from_millis(milliseconds.max(1));
    format!("{:.3}", timeout.as_secs_f64())
}

/// A label's name as the path takes it. A slash would end the segment even when percent-encoded
/// (Go's servers decode first), and `U__` announces Prometheus 3's value encoding, so names with
/// either are written in that encoding.
fn label_in_path(label: &str) -> Cow<'_, str> {
    if goes_encoded(label) {
        value_encoded(label).into()
    } else {
        label.into()
    }
}

/// The other of the two forms: some stores know only one of them.
fn label_in_path_otherwise(label: &str) -> Cow<'_, str> {
    if goes_encoded(label) {
        label.into()
    } else {
        value_encoded(label).into()
    }
}

/// Dots alone are steps in a path, to the same folder or the one above.
fn goes_encoded(label: &str) -> bool {
    label.contains('/') || label.starts_with("U__") || matches!(label, "." | "..")
}

/// In the encoding of Prometheus 3 for names that a path cannot carry.
fn value_encoded(label: &str) -> String {
    let mut escaped = String::from("U__");
    for (index, character) in label.chars().enumerate() {
        match character {
            '_' => escaped.push_str("__"),
            'a'..='z' | 'A'..='Z' | ':' => escaped.push(character),
            '0'..='9' if index > 0 => escaped.push(character),
            // Writing to a string cannot fail.
            _ => drop(write!(escaped, "_{:x}_", u32::from(character))),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::{Millis, Timestamp};

    const START: Timestamp = Timestamp(1_700_000_000_059);
    const END: Timestamp = Timestamp(1_700_000_060_000);

    fn sent(call: &Call) -> String {
        let base = Url::parse("http://prom:9090/prefix").unwrap();
        let request = Request::new(&base, call, Duration::from_millis(14_500));
        let url = request.url_of_get().to_string();
        assert_eq!(request.url_length(), url.len());
        url
    }

    #[test]
    fn every_call_has_its_path_and_parameters() {
        let selector = Some("up".to_owned());
        let table = [
            (
                Call::Instant {
                    promql: "up{a=\"b c\"}[1m]".to_owned(),
                    at: START,
                },
                "query?query=up%7Ba%3D%22b+c%22%7D%5B1m%5D&time=1700000000.059&timeout=14.500&nocache=1",
            ),
            (
                Call::Range {
                    promql: "up".to_owned(),
                    start: START,
                    end: END,
                    step: Millis(1_500),
                },
                "query_range?query=up&start=1700000000.059&end=1700000060.000&step=1.500&timeout=14.500&nocache=1",
            ),
            (
                Call::SeriesExist {
                    selectors: vec!["a".to_owned(), "b".to_owned()],
                    start: START,
                    end: END,
                },
                "series?match%5B%5D=a&match%5B%5D=b&start=1700000000.059&end=1700000060.000&limit=1&nocache=1",
            ),
            (
                Call::LabelNames {
                    selector: None,
                    start: START,
                    end: END,
                },
                "labels?start=1700000000.059&end=1700000060.000&nocache=1",
            ),
            (
                Call::LabelValues {
                    label: "my.läbel?".to_owned(),
                    selector,
                    start: START,
                    end: END,
                },
                "label/my.l%C3%A4bel%3F/values?match%5B%5D=up&start=1700000000.059&end=1700000060.000&nocache=1",
            ),
            (Call::Metadata, "metadata?nocache=1"),
        ];
        for (call, expected) in table {
            assert_eq!(
                sent(&call),
                format!("http://prom:9090/prefix/api/v1/{expected}")
            );
        }
    }

    #[test]
    fn names_that_a_path_cannot_carry_are_value_encoded() {
        let table = [
            ("job", "job"),
            ("my.label", "my.label"),
            (
                "app.kubernetes.io/name",
                "U__app_2e_kubernetes_2e_io_2f_name",
            ),
            ("a_b/c", "U__a__b_2f_c"),
            ("1/ü", "U___31__2f__fc_"),
            ("U__x", "U__U____x"),
            (".", "U___2e_"),
            ("..", "U___2e__2e_"),
        ];
        for (label, path) in table {
            assert_eq!(label_in_path(label), path);
            let otherwise = label_in_path_otherwise(label);
            assert_ne!(otherwise, path);
            assert!(otherwise == label || otherwise.starts_with("U__"));
        }
    }

    #[test]
    fn the_form_of_a_post_holds_the_same_parameters() {
        let base = Url::parse("http://prom:9090").unwrap();
        let call = Call::Instant {
            promql: "x y".to_owned(),
            at: START,
        };
        let request = Request::new(&base, &call, Duration::ZERO);
        let (url, form) = request.form();
        assert_eq!(url.as_str(), "http://prom:9090/api/v1/query");
        let parameters = "query=x+y&time=1700000000.059&timeout=0.001&nocache=1";
        assert_eq!(form, parameters);
        assert_eq!(request.url_of_get().query(), Some(parameters));
        assert!(request.may_post());
    }

    /// Proxies that enforce a parameter read it in the URL, of a POST as well.
    #[test]
    fn the_targets_own_parameters_are_in_every_url() {
        let base = Url::parse("http://prom:9090/prefix?namespace=team-a").unwrap();
        let call = Call::Instant {
            promql: "x".to_owned(),
            at: START,
        };
        let request = Request::new(&base, &call, Duration::from_secs(1));
        let url = "http://prom:9090/prefix/api/v1/query?namespace=team-a";
        let rest = "query=x&time=1700000000.059&timeout=1.000&nocache=1";
        assert_eq!(request.url_of_get().as_str(), format!("{url}&{rest}"));
        assert_eq!(request.url_length(), format!("{url}&{rest}").len());
        let (posted, form) = request.form();
        assert_eq!((posted.as_str(), &*form), (url, rest.as_bytes()));
    }

    #[test]
    fn a_request_that_is_signed_has_one_encoding_only() {
        let awkward = "a{b=\"c'd\"} + [~*%.-_]\u{e9}\u{1234}/?#&=\n";
        let base =
            Url::parse("https://a/workspaces/ws-1/x:y@z!$&'()*+,;=/a%20b%2fc/~.-_/%zz").unwrap();
        let call = Call::Instant {
            promql: awkward.to_owned(),
            at: START,
        };
        let plain = Request::new(&base, &call, Duration::from_secs(1));
        let strict = plain.clone().strictly_encoded();
        assert_eq!(
            strict.url_of_get().as_str(),
            "https://a/workspaces/ws-1/x%3Ay%40z%21%24%26%27%28%29%2A%2B%2C%3B%3D/a%20b%2Fc/~.-_/%25zz/api/v1/query?query=a%7Bb%3D%22c%27d%22%7D%20%2B%20%5B~%2A%25.-_%5D%C3%A9%E1%88%B4%2F%3F%23%26%3D%0A&time=1700000000.059&timeout=1.000&nocache=1"
        );
        assert_eq!(strict.url_length(), strict.url_of_get().as_str().len());
        let meaning = |request: &Request| {
            let pairs = form_urlencoded::parse(&request.parameters);
            pairs.into_owned().collect::<Vec<_>>()
        };
        assert_eq!(meaning(&strict), meaning(&plain));
        assert_eq!(strict.clone().strictly_encoded(), strict);
    }

    #[test]
    fn a_base_url_may_have_colons_in_its_path() {
        let base = "https://10.43.0.1/api/v1/namespaces/m/services/http:p:9090/proxy";
        let request = Request::new(&Url::parse(base).unwrap(), &Call::Metadata, Duration::ZERO);
        assert_eq!(
            request.url_of_get().as_str(),
            format!("{base}/api/v1/metadata?nocache=1")
        );
        assert!(!request.may_post());
    }
}
