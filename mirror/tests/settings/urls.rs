//! URLs and hosts in all their spellings.

use mirror::settings::choose::ChosenTarget;
use serde_json::{Value, json};

use super::{Files, KEY, chosen};

fn index(settings: &mirror::settings::Settings, details: Value) -> Option<usize> {
    match chosen(settings, details).ok()?.target {
        ChosenTarget::Declared(index) => Some(index),
        ChosenTarget::Undeclared { .. } => None,
    }
}

#[test]
fn a_declared_target_is_chosen_by_every_spelling_of_its_address() {
    let settings = Files::new(&format!(
        "{KEY}  defaultTarget: name\n  targets:\n    \
         - {{name: name, url: \"http://Prom.Svc:9090/a/b\"}}\n    \
         - {{name: dot, url: \"https://dot.example.\"}}\n    \
         - {{name: six, url: \"http://[2001:DB8::1]:9090\"}}\n    \
         - {{name: four, url: \"http://127.0.0.1:9090\"}}\n    \
         - {{name: under, url: \"http://prometheus_prometheus_1:9090\"}}\n    \
         - {{name: idn, url: \"http://bücher.example\"}}\n"
    ))
    .load()
    .unwrap();
    let table = [
        (0, json!({"host": "prom.svc", "port": 9090})),
        (0, json!({"host": "PROM.svc.", "port": "9090"})),
        (0, json!({"host": "prom.svc", "port": 9090.0})),
        (0, json!({"host": "prom.svc", "port": " 9090.0 "})),
        (0, json!({"url": "HTTP://prom.svc.:9090//a///b/"})),
        (0, json!({"url": "http://prom.svc:9090/%61/x/../b"})),
        (0, json!({"host": "prom.svc", "port": 9090, "path": "a//b"})),
        (1, json!({"url": "https://DOT.example:443"})),
        (1, json!({"host": "dot.example", "scheme": "HTTPS"})),
        (
            1,
            json!({"host": "dot.example", "scheme": "https", "port": ""}),
        ),
        (2, json!({"host": "2001:db8:0:0:0:0:0:1", "port": 9090})),
        (2, json!({"host": "[2001:db8::0001]", "port": 9090})),
        (2, json!({"url": "http://[2001:0db8::1]:9090/"})),
        (3, json!({"host": "127.1", "port": 9090})),
        (3, json!({"host": "0x7f.0.0.1", "port": 9090})),
        (3, json!({"host": "2130706433", "port": 9090})),
        (3, json!({"host": "::ffff:127.0.0.1", "port": 9090})),
        (3, json!({"url": "http://127.0.0.1.:9090"})),
        (4, json!({"host": "Prometheus_Prometheus_1", "port": 9090})),
        (5, json!({"url": "http://xn--bcher-kva.example"})),
        (5, json!({"host": "BÜCHER.example", "port": 80})),
    ];
    for (expected, details) in table {
        assert_eq!(
            index(&settings, details.clone()),
            Some(expected),
            "{details}"
        );
    }
    for other in [
        json!({"host": "prom.svc", "port": 9091}),
        json!({"host": "prom.svc", "port": 9090.5}),
        json!({"host": "prom.svc", "port": 65536}),
        json!({"host": "prom.svc"}),
        json!({"host": "prom.svc.x", "port": 9090}),
        json!({"url": "https://prom.svc:9090/a/b"}),
        json!({"url": "http://prom.svc:9090/a/B"}),
        json!({"url": "http://prom.svc:9090/a%2Fb"}),
        json!({"url": "http://prom.svc:9090/a"}),
    ] {
        assert_eq!(index(&settings, other.clone()), None, "{other}");
    }
}

#[test]
fn an_allowed_server_is_reached_by_every_spelling_and_no_other() {
    let settings = Files::new(&format!(
        "{KEY}  targets: [{{name: a, url: \"http://a\"}}]\n  requestTargets:\n    ports: [9090]\n    hosts: [prometheus_prometheus_1, metrics.example.com., \"*.Monitoring.SVC.\", Upper, 10.0.0.1, \"FD00::1\"]\n"
    ))
    .load()
    .unwrap();
    let allowed = |host: &str| chosen(&settings, json!({"host": host, "port": 9090})).is_ok();
    for host in [
        "prometheus_prometheus_1",
        "Prometheus_prometheus_1.",
        "metrics.example.com",
        "METRICS.example.com.",
        "p.monitoring.svc",
        "a.b.Monitoring.svc.",
        "upper",
        "10.1",
        "::ffff:10.0.0.1",
        "fd00:0::1",
        "[fd00::1]",
    ] {
        assert!(allowed(host), "{host}");
    }
    for host in [
        "prometheus-prometheus-1",
        "metrics.example.com.x",
        "monitoring.svc",
        ".monitoring.svc",
        "xmonitoring.svc",
        "10.0.0.2",
        "fd00::2",
        "metrics.example.com..",
    ] {
        assert!(!allowed(host), "{host}");
    }
}

#[test]
fn a_url_that_ends_in_a_page_of_prometheus_is_noted_and_taken_as_it_is() {
    for (url, ending) in [
        ("http://p:9090/graph", "/graph"),
        ("http://p:9090/api/v1", "/api/v1"),
        ("http://p:9090/api/v1/query", "/api/v1/query"),
        ("http://p:9090/x/metrics/", "/metrics"),
        ("http://p:9090/query", "/query"),
        ("http://p:9090/-/ready", "/-/ready"),
    ] {
        let settings = Files::new(&format!("{KEY}  targets: [{{name: a, url: \"{url}\"}}]\n"))
            .load()
            .unwrap();
        let notices: Vec<_> = settings.notices.iter().map(ToString::to_string).collect();
        assert_eq!(
            notices,
            [format!(
                "spec.targets[0].url: ends in {ending}, which Prometheus itself serves (hint: leave out {ending}, unless it is the path prefix)"
            )]
        );
        assert_eq!(
            settings.targets[0].servers.only().unwrap().as_str(),
            url.trim_end_matches('/')
        );
    }
    for fine in [
        "",
        "/",
        "/prometheus",
        "/paragraph",
        "/api/prom",
        "/select/0/prometheus",
        "/metrics/x",
    ] {
        let settings = Files::new(&format!(
            "{KEY}  targets: [{{name: a, url: \"http://p{fine}\"}}]\n"
        ))
        .load()
        .unwrap();
        assert_eq!(settings.notices, [], "{fine}");
    }
}

#[test]
fn a_request_may_not_be_let_to_the_server_of_enforced_matchers() {
    let spec = |hosts: &str| {
        format!(
            "{KEY}  targets:\n    - name: narrow\n      url: http://prometheus.a.svc:9090/x\n      enforcedMatchers: [{{name: team, value: a}}]\n    - {{name: wide, url: \"http://prometheus.a.svc:9090\"}}\n  requestTargets: {{ports: [9090], hosts: {hosts}}}\n"
        )
    };
    let faults = Files::new(&spec("[other.svc, \"*.a.svc\"]")).faults();
    assert_eq!(
        faults,
        [
            "spec.requestTargets.hosts[1]: leads on port 9090 to the server of target narrow, around its enforcedMatchers (hint: leave it out, or declare what else it stands for as targets)"
        ]
    );
    let settings = Files::new(&spec("[other.svc, \"*.b.svc\"]"))
        .load()
        .unwrap();
    let notices: Vec<_> = settings.notices.iter().map(ToString::to_string).collect();
    assert_eq!(
        notices,
        [
            "spec.targets[1].url: is the server of target narrow, here without its enforcedMatchers (hint: a client may name any target: give those who must not a mirror of their own)"
        ]
    );
}

#[test]
fn a_target_is_chosen_by_the_address_of_any_of_its_servers() {
    let settings = Files::new(&format!(
        "{KEY}  targets:\n    \
         - {{name: pair, replicas: [{{url: \"http://a:9090\"}}, {{url: \"http://b:9090/x/\"}}]}}\n    \
         - {{name: shard, shards: [{{replicas: [{{url: \"http://c:9090/graph\"}}]}}]}}\n"
    ))
    .load()
    .unwrap();
    for (host, expected) in [("a", 0), ("b", 0), ("c", 1)] {
        let details = json!({"host": host, "port": 9090});
        assert_eq!(index(&settings, details), Some(expected), "{host}");
    }
    let notices: Vec<_> = settings.notices.iter().map(ToString::to_string).collect();
    assert_eq!(
        notices,
        [
            "spec.targets[1].shards[0].replicas[0].url: ends in /graph, which Prometheus itself serves (hint: leave out /graph, unless it is the path prefix)"
        ]
    );
}

#[test]
fn what_is_wrong_with_a_server_of_several_is_said_with_its_path() {
    let faults = Files::new(&format!(
        "{KEY}  targets:\n    \
         - {{name: pair, replicas: [{{url: \"http://a:0\"}}, {{service: {{name: b, port: 9090}}}}]}}\n"
    ))
    .load()
    .unwrap_err();
    for (path, message) in [
        (
            "spec.targets[0].replicas[0].url",
            "must be http:// or https://",
        ),
        (
            "spec.targets[0].replicas[1].service",
            "is resolved by the operator",
        ),
    ] {
        let is_said = |line: &String| line.starts_with(&format!("{path}: {message}"));
        assert!(faults.iter().any(is_said), "{path}: {faults:?}");
    }
}
