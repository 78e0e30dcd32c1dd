use super::*;
use crate::model::time::{Millis, Timestamp};

const START: Timestamp = Timestamp(1_700_000_000_059);
const END: Timestamp = Timestamp(1_700_000_060_000);

fn base(url: &str) -> Base {
    Base::new(Url::parse(url).unwrap())
}

fn sent(call: &Call) -> String {
    let base = base("http://prom:9090/prefix");
    let request = Request::new(&base, call, Duration::from_millis(14_500));
    let url = request.url_of_get().to_string();
    assert_eq!(request.url_length(), url.len());
    assert_eq!(request.uri_of_get().unwrap(), url.as_str());
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
        (
            Call::SeriesCounted {
                label: Some("job".to_owned()),
                selector: "up".to_owned(),
                start: START,
                end: END,
            },
            "series?match%5B%5D=up&start=1700000000.059&end=1700000060.000&limit=5000&nocache=1",
        ),
        (Call::Metadata, "metadata?nocache=1"),
        (
            Call::MetadataOf {
                metric: "up".to_owned(),
            },
            "metadata?metric=up&limit=1&limit_per_metric=1&nocache=1",
        ),
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
    let base = base("http://prom:9090");
    let call = Call::Instant {
        promql: "x y".to_owned(),
        at: START,
    };
    let request = Request::new(&base, &call, Duration::ZERO);
    let (url, form) = request.form();
    assert_eq!(url.as_str(), "http://prom:9090/api/v1/query");
    let parameters = "query=x+y&time=1700000000.059&timeout=0.001&nocache=1";
    assert_eq!(form, parameters);
    assert_eq!(request.uri_of_form().unwrap(), url.as_str());
    assert_eq!(request.url_of_get().query(), Some(parameters));
    assert!(request.may_post());
}

/// Proxies that enforce a parameter read it in the URL, of a POST as well.
#[test]
fn the_targets_own_parameters_are_in_every_url() {
    let base = base("http://prom:9090/prefix?namespace=team-a");
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
    assert_eq!(request.uri_of_form().unwrap(), url);
}

#[test]
fn a_request_that_is_signed_has_one_encoding_only() {
    let awkward = "a{b=\"c'd\"} + [~*%.-_]\u{e9}\u{1234}/?#&=\n";
    let base = base("https://a/workspaces/ws-1/x:y@z!$&'()*+,;=/a%20b%2fc/~.-_/%zz");
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
    let meaning = |request: &Request<'_>| {
        let pairs = form_urlencoded::parse(&request.parameters);
        pairs.into_owned().collect::<Vec<_>>()
    };
    assert_eq!(meaning(&strict), meaning(&plain));
    assert_eq!(strict.clone().strictly_encoded(), strict);
}

#[test]
fn a_base_url_may_have_colons_in_its_path() {
    let base = "https://10.43.0.1/api/v1/namespaces/m/services/http:p:9090/proxy";
    let parsed = self::base(base);
    let request = Request::new(&parsed, &Call::Metadata, Duration::ZERO);
    assert_eq!(
        request.url_of_get().as_str(),
        format!("{base}/api/v1/metadata?nocache=1")
    );
    assert!(!request.may_post());
}
