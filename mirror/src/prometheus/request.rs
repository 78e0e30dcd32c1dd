//! Calls as HTTP requests. Pure.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;
use url::form_urlencoded;

use super::{Call, MOST_SERIES_LISTED};

/// Servers and proxies take URLs of 8 KiB, some less; beyond this the parameters go as a form.
const LONGEST_URL: usize = 4096;

/// All but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What is sent for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) url: Url,
    /// The body of a form POST; a GET if absent.
    pub(super) form: Option<String>,
}

impl Request {
    /// `timeout` is what the store may take for a query.
    pub(super) fn new(base: &Url, call: &Call, timeout: Duration) -> Self {
        let mut parameters = form_urlencoded::Serializer::new(String::new());
        // Sub-second precision, and at least one millisecond: zero means "at once" to Prometheus.
        let seconds = Duration::from_millis(
            u64::try_from(timeout.as_millis())
                .unwrap_or(u64::MAX)
                .max(1),
        )
        .as_secs_f64();
        let timeout = format!("{seconds:.3}");
        let mut may_post = true;
        let path: Cow<'_, str> = match call {
            Call::Instant { promql, at } => {
                parameters
                    .append_pair("query", promql)
                    .append_pair("time", &at.to_string())
                    .append_pair("timeout", &timeout);
                "query".into()
            }
            Call::Range {
                promql,
                start,
                end,
                step,
            } => {
                parameters
                    .append_pair("query", promql)
                    .append_pair("start", &start.to_string())
                    .append_pair("end", &end.to_string())
                    .append_pair("step", &crate::time::Timestamp(step.0).to_string())
                    .append_pair("timeout", &timeout);
                "query_range".into()
            }
            Call::SeriesExist {
                selectors,
                start,
                end,
            } => {
                for selector in selectors {
                    parameters.append_pair("match[]", selector);
                }
                parameters
                    .append_pair("start", &start.to_string())
                    .append_pair("end", &end.to_string())
                    .append_pair("limit", "1");
                "series".into()
            }
            Call::LabelOfSeries {
                selector,
                start,
                end,
                ..
            } => {
                parameters
                    .append_pair("match[]", selector)
                    .append_pair("start", &start.to_string())
                    .append_pair("end", &end.to_string())
                    .append_pair("limit", &MOST_SERIES_LISTED.to_string());
                "series".into()
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
            } => {
                if let Some(selector) = selector {
                    parameters.append_pair("match[]", selector);
                }
                parameters
                    .append_pair("start", &start.to_string())
                    .append_pair("end", &end.to_string());
                match call {
                    Call::LabelValues { label, .. } => {
                        // Prometheus takes this one as GET only.
                        may_post = false;
                        format!(
                            "label/{}/values",
                            utf8_percent_encode(&label_in_path(label), SEGMENT)
                        )
                        .into()
                    }
                    _ => "labels".into(),
                }
            }
            Call::Metadata => {
                may_post = false;
                "metadata".into()
            }
            Call::BuildInfo => {
                may_post = false;
                "status/buildinfo".into()
            }
        };
        let parameters = parameters.append_pair("nocache", "1").finish();
        let mut url = base.clone();
        url.set_path(&format!(
            "{}/api/v1/{path}",
            base.path().trim_end_matches('/')
        ));
        if may_post && url.as_str().len() + 1 + parameters.len() > LONGEST_URL {
            return Self {
                url,
                form: Some(parameters),
            };
        }
        url.set_query(Some(&parameters));
        Self { url, form: None }
    }
}

/// A label's name as the path takes it. A slash would end the segment even when percent-encoded (Go's servers decode first), and
/// `U__` announces Prometheus 3's value encoding, so names with either are written in that encoding.
fn label_in_path(label: &str) -> Cow<'_, str> {
    if !label.contains('/') && !label.starts_with("U__") {
        return label.into();
    }
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
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Millis, Timestamp};

    const START: Timestamp = Timestamp(1_700_000_000_059);
    const END: Timestamp = Timestamp(1_700_000_060_000);

    fn sent(call: &Call) -> String {
        let base = Url::parse("http://prom:9090/prefix").unwrap();
        let request = Request::new(&base, call, Duration::from_millis(14_500));
        assert_eq!(request.form, None);
        request.url.to_string()
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
        ];
        for (label, path) in table {
            assert_eq!(label_in_path(label), path);
        }
    }

    #[test]
    fn long_expressions_go_as_a_form() {
        let base = Url::parse("http://prom:9090").unwrap();
        let call = Call::Instant {
            promql: "x".repeat(5_000),
            at: START,
        };
        let request = Request::new(&base, &call, Duration::ZERO);
        assert_eq!(request.url.as_str(), "http://prom:9090/api/v1/query");
        let form = format!(
            "query={}&time=1700000000.059&timeout=0.001&nocache=1",
            "x".repeat(5_000)
        );
        assert_eq!(request.form, Some(form));
    }
}
