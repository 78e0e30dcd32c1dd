use clap::ValueEnum as _;

use super::*;
use crate::cluster::policy::Field;
use crate::controller::dereference::{KeyFacts, PodFacts, PrometheusFacts, ServiceFacts};

pub(crate) fn object(spec: Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": crds::API_VERSION, "kind": crds::KIND,
        "metadata": {"name": "production", "namespace": "observability", "uid": "u-1", "generation": 3},
        "spec": spec,
    }))
    .unwrap()
}

pub(crate) fn found() -> Dereferenced {
    Dereferenced {
        secrets: [(
            "mirror-key".to_owned(),
            Some(KeyFacts {
                version: "7".to_owned(),
                immutable_since: None,
                keys: ["apiKey".to_owned()].into(),
            }),
        )]
        .into(),
        ..Dereferenced::default()
    }
}

fn check(spec: Value, found: &Dereferenced) -> Result<ValidatedMirror, Invalid> {
    let object = object(spec);
    validate(&object, parse(&object)?, found)
}

fn refused(spec: Value, found: &Dereferenced) -> (Reason, String) {
    let invalid = check(spec, found).unwrap_err();
    (invalid.reason, invalid.message)
}

#[test]
fn all_denied_fields_are_reported_at_once() {
    let policy = Policy {
        denied: Field::value_variants().to_vec(),
        ..Policy::default()
    };
    let targets = json!([{"name": "a", "url": "http://a"}]);
    let spec = serde_json::from_value(json!({
        "apiKeySecretRef": {"name": "key"}, "targets": targets,
        "podTemplate": {}, "service": {},
        "ingress": {"host": "h", "annotations": {"a": "b"}},
    }));
    let message = "spec.podTemplate, spec.ingress, spec.ingress.annotations: denied in this cluster \
                   (hint: leave it out, or ask whoever runs the operator to take it from --deny-fields)";
    let refused = Invalid {
        reason: Reason::FieldDenied,
        message: message.to_owned(),
    };
    let spec = spec.unwrap();
    assert_eq!(check_policy(&policy, &spec), Err(refused));
    assert_eq!(check_policy(&Policy::default(), &spec), Ok(()));
}

#[test]
fn what_is_too_large_is_named_with_its_bound() {
    let said = |oversize| check_size(Some(oversize)).unwrap_err().message;
    assert_eq!(
        [
            said(Oversize::Object(LARGEST + 1)),
            said(Oversize::PodTemplate(1_300_000))
        ],
        [
            "the resource must be at most 256 KiB of JSON, is 257 KiB (hint: shorten spec and annotations)",
            "spec.podTemplate: must be at most 64 KiB of JSON, is 1270 KiB (hint: move what is long into a ConfigMap and mount it)",
        ]
    );
    assert_eq!(check_size(None), Ok(()));
}

#[test]
fn a_spec_that_the_schema_refuses_is_invalid_with_the_fields_path() {
    let spec = json!({"apiKeySecretRef": {"name": "mirror-key"}, "targets": [], "port": 9901});
    let message = "spec.port: must not be 9901, where the mirror answers health checks and serves its metrics; \
                   spec.targets: must have at least 1 entry, has 0";
    assert_eq!(
        refused(spec, &found()),
        (Reason::InvalidSpec, message.to_owned())
    );
}

#[test]
fn missing_secrets_and_keys_are_named_with_what_is_there() {
    let spec = |name: &str, key: &str| json!({"apiKeySecretRef": {"name": name, "key": key}, "targets": [{"name": "a", "url": "http://a"}]});
    assert_eq!(
        [refused(spec("other", "apiKey"), &found()), refused(spec("mirror-key", "key"), &found())],
        [
            (
                Reason::SecretMissing,
                "spec.apiKeySecretRef: there is no Secret other in namespace observability (hint: create it, or name another one)"
                    .to_owned()
            ),
            (
                Reason::SecretKeyMissing,
                "spec.apiKeySecretRef: Secret mirror-key has no key key (hint: its keys: apiKey)".to_owned()
            ),
        ]
    );
}

#[test]
fn missing_config_maps_and_keys_are_named_with_what_is_there() {
    let mut found = found();
    let facts = KeyFacts {
        version: "8".to_owned(),
        immutable_since: None,
        keys: ["ca.crt".to_owned()].into(),
    };
    found.config_maps.insert("ca".to_owned(), Some(facts));
    found.config_maps.insert("none".to_owned(), None);
    let spec = |name: &str, key: &str| {
        let tls = json!({"caConfigMapRef": {"name": name, "key": key}});
        let target = json!({"name": "a", "url": "https://a", "tls": tls});
        json!({"apiKeySecretRef": {"name": "mirror-key"}, "targets": [target]})
    };
    let expected = [
        (
            Reason::ConfigMapMissing,
            "spec.targets[0].tls.caConfigMapRef: there is no ConfigMap none in namespace observability (hint: create it, or name another one)"
                .to_owned(),
        ),
        (
            Reason::ConfigMapKeyMissing,
            "spec.targets[0].tls.caConfigMapRef: ConfigMap ca has no key other (hint: its keys: ca.crt)"
                .to_owned(),
        ),
    ];
    let said = [
        refused(spec("none", "ca.crt"), &found),
        refused(spec("ca", "other"), &found),
    ];
    assert_eq!(said, expected);
    let versions = check(spec("ca", "ca.crt"), &found)
        .unwrap()
        .config_map_versions;
    assert_eq!(versions, [("ca".to_owned(), "8".to_owned())].into());
}

#[test]
fn references_become_urls() {
    let mut found = found();
    let ports = vec![(Some("web".to_owned()), 9090), (None, 80)];
    found.services.insert(
        ("monitoring".to_owned(), "prometheus".to_owned()),
        Ok(ServiceFacts {
            ports,
            ..ServiceFacts::default()
        }),
    );
    let facts = PrometheusFacts {
        service: "prometheus-operated".to_owned(),
        route_prefix: "/prom/".to_owned(),
        tls: true,
        shards: 1,
        replicas: 1,
        ..PrometheusFacts::default()
    };
    found
        .prometheuses
        .insert(("observability".to_owned(), "k8s".to_owned()), Ok(facts));
    let spec = json!({"apiKeySecretRef": {"name": "mirror-key"}, "defaultTarget": "a", "targets": [
        {"name": "a", "service": {"name": "prometheus", "namespace": "monitoring", "port": "web", "path": "/p/"}},
        {"name": "b", "service": {"name": "prometheus", "namespace": "monitoring", "port": 80, "scheme": "https"}},
        {"name": "c", "prometheus": {"name": "k8s"}},
    ]});
    let urls: Vec<_> = check(spec, &found)
        .unwrap()
        .spec
        .targets
        .into_iter()
        .map(|target| target.url.unwrap().0)
        .collect();
    assert_eq!(
        urls,
        [
            "http://prometheus.monitoring.svc:9090/p",
            "https://prometheus.monitoring.svc:80",
            "https://prometheus-operated.observability.svc:9090/prom"
        ]
    );
}

#[test]
fn every_reference_to_a_server_becomes_a_url_in_its_place() {
    let mut found = found();
    let at = |name: &str| ("observability".to_owned(), name.to_owned());
    let facts = ServiceFacts {
        ports: vec![(Some("web".to_owned()), 80)],
        is_headless: true,
        selects: true,
        ..ServiceFacts::default()
    };
    found.services.insert(at("p"), Ok(facts));
    let pods = ["p-0", "p-1"].map(|pod| PodFacts {
        host: pod.to_owned(),
        ports: [("web".to_owned(), 9090)].into(),
    });
    found.pods.insert(at("p"), Ok(pods.to_vec()));
    let facts = PrometheusFacts {
        service: "o".to_owned(),
        shards: 2,
        replicas: 2,
        ..PrometheusFacts::default()
    };
    found.prometheuses.insert(at("k8s"), Ok(facts));
    let service = json!({"name": "p", "port": "web"});
    let pods_as = |pods: &str| json!({"name": "p", "port": "web", "pods": pods});
    let spec = json!({"apiKeySecretRef": {"name": "mirror-key"}, "targets": [
        {"name": "a", "service": service},
        {"name": "b", "service": pods_as("Replicas")},
        {"name": "c", "service": pods_as("Shards")},
        {"name": "d", "replicas": [{"url": "http://d"}, {"service": service}]},
        {"name": "e", "shards": [
            {"service": pods_as("Replicas")},
            {"service": service},
            {"replicas": [{"service": service}, {"url": "http://e"}]},
        ]},
        {"name": "f", "prometheus": {"name": "k8s"}},
    ]});
    let url = |url: &str| json!({ "url": url });
    let whole = "http://p.observability.svc:80";
    let pair = json!([url("http://p-0:9090"), url("http://p-1:9090")]);
    let pod = |pod: &str| url(&format!("http://{pod}.o.observability.svc:9090"));
    let expected = [
        url(whole),
        json!({ "replicas": pair }),
        json!({ "shards": pair }),
        json!({"replicas": [url("http://d"), url(whole)]}),
        json!({"shards": [
            {"replicas": pair}, url(whole), {"replicas": [url(whole), url("http://e")]},
        ]}),
        json!({"shards": [
            {"replicas": [pod("prometheus-k8s-0"), pod("prometheus-k8s-1")]},
            {"replicas": [pod("prometheus-k8s-shard-1-0"), pod("prometheus-k8s-shard-1-1")]},
        ]}),
    ];
    let targets = check(spec, &found).unwrap().spec.targets;
    let servers = targets.iter().map(|target| {
        let target = json!(target);
        let fields = ["url", "service", "prometheus", "replicas", "shards"];
        let set = fields.into_iter().filter(|field| !target[field].is_null());
        Value::Object(
            set.map(|field| (field.to_owned(), target[field].clone()))
                .collect(),
        )
    });
    assert_eq!(servers.collect::<Vec<_>>(), expected);
}

#[test]
fn too_many_pods_and_too_long_urls_are_refused() {
    let mut found = found();
    let at = ("observability".to_owned(), "p".to_owned());
    let facts = ServiceFacts {
        ports: vec![(None, 80)],
        is_headless: true,
        selects: true,
        ..ServiceFacts::default()
    };
    found.services.insert(at.clone(), Ok(facts));
    let mut refused_with = |number: usize, service: Value| {
        let pods = (0..number).map(|pod| PodFacts {
            host: format!("p-{pod}"),
            ports: [(String::new(), 9090)].into(),
        });
        found.pods.insert(at.clone(), Ok(pods.collect()));
        let targets = json!([{"name": "a", "service": service}]);
        let spec = json!({"apiKeySecretRef": {"name": "mirror-key"}, "targets": targets});
        refused(spec, &found)
    };
    let long = json!({"name": "p", "port": 80, "pods": "Replicas", "path": format!("/{}", "x".repeat(500))});
    let said = [
        refused_with(5, json!({"name": "p", "port": 80, "pods": "Replicas"})),
        refused_with(17, json!({"name": "p", "port": 80, "pods": "Shards"})),
        refused_with(2, long),
    ];
    let hint = "can be queried (hint: write the url of a Thanos Querier in front of them)";
    let expected = [
        format!(
            "spec.targets[0].service: Service observability/p has 5 pods, and at most 4 {hint}"
        ),
        format!(
            "spec.targets[0].service: Service observability/p has 17 pods, and at most 16 {hint}"
        ),
        "spec.targets[0]: the URL of a replica must have at most 512 characters, has 516 \
         (hint: shorten the path prefix of the server)"
            .to_owned(),
    ];
    assert_eq!(
        said,
        expected.map(|message| (Reason::ServersUnusable, message))
    );
}

#[test]
fn references_that_lead_nowhere_are_all_told() {
    let mut found = found();
    let ports = vec![(Some("web".to_owned()), 9090)];
    found.services.insert(
        ("monitoring".to_owned(), "prometheus".to_owned()),
        Ok(ServiceFacts {
            ports,
            ..ServiceFacts::default()
        }),
    );
    let none = Err("there is no Service none in namespace observability".to_owned());
    found
        .services
        .insert(("observability".to_owned(), "none".to_owned()), none);
    let missing = Err("there is no Prometheus k8s in namespace observability".to_owned());
    found
        .prometheuses
        .insert(("observability".to_owned(), "k8s".to_owned()), missing);
    let spec = json!({"apiKeySecretRef": {"name": "mirror-key"}, "targets": [
        {"name": "a", "service": {"name": "prometheus", "namespace": "monitoring", "port": "grpc"}},
        {"name": "b", "service": {"name": "none", "port": 1}},
        {"name": "c", "prometheus": {"name": "k8s"}},
    ]});
    let expected = [
        "spec.targets[0].service: Service monitoring/prometheus has no port grpc (hint: its ports: web (9090))",
        "spec.targets[1].service: there is no Service none in namespace observability",
        "spec.targets[2].prometheus: there is no Prometheus k8s in namespace observability",
    ];
    assert_eq!(
        refused(spec, &found),
        (Reason::ServiceMissing, expected.join("; "))
    );
}
