//! Targets of several servers: the pods of Prometheus objects and of headless Services.

use operator::cluster::policy::CrossNamespace;
use operator::cluster::scope::Scope;
use serde_json::{Value, json};

use crate::cluster::{Before, Cluster, HERE, MIRROR};

/// A Prometheus object.
fn prometheus(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus",
        "metadata": {"name": name, "namespace": HERE}, "spec": spec,
    })
}

/// A headless Service with a port that has another number in each pod's slice.
fn headless(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": namespace},
        "spec": {
            "clusterIP": "None", "selector": {"app": "db"},
            "ports": [{"name": "web", "port": 80, "targetPort": "http"}],
        },
    })
}

/// What the EndpointSlice controller writes for it.
fn slice(namespace: &str, endpoints: &Value) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": "db-x2x4x", "namespace": namespace,
            "labels": {"kubernetes.io/service-name": "db", "service.kubernetes.io/headless": ""},
        },
        "ports": [{"name": "web", "port": 9090}],
        "endpoints": endpoints,
    })
}

/// A pod of a StatefulSet in a slice.
fn pod(ordinal: u8) -> Value {
    json!({
        "addresses": [format!("10.0.0.{ordinal}")], "hostname": format!("db-{ordinal}"),
        "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": format!("db-{ordinal}")},
    })
}

/// A spec with one target.
fn target(servers: &Value) -> Value {
    let mut target = json!({"name": "cluster"});
    let fields = servers.as_object().into_iter().flatten();
    fields.for_each(|(name, value)| target[name] = value.clone());
    json!({ "targets": [target] })
}

/// A spec whose target is the pods of the headless Service.
fn pods_as(pods: &str) -> Value {
    target(&json!({"service": {"name": "db", "port": "web", "pods": pods}}))
}

/// The servers of the target, as the pods read them: a text for one, a list for replicas, a list of
/// both for shards.
fn served(cluster: &Cluster) -> Value {
    let config_map = cluster.api.get(&format!("configmaps/{MIRROR}"));
    let text = &config_map.expect("no ConfigMap")["data"]["mirror.yaml"];
    let document: Value = serde_yaml::from_str(text.as_str().unwrap()).unwrap();
    servers(&document["spec"]["targets"][0])
}

fn servers(of: &Value) -> Value {
    assert!(
        of["service"].is_null() && of["prometheus"].is_null(),
        "{of}"
    );
    let set = ["replicas", "shards"].map(|list| of[list].as_array());
    match set.into_iter().flatten().next() {
        Some(list) => list.iter().map(servers).collect(),
        None => of["url"].clone(),
    }
}

fn prometheus_pod(pod: &str) -> String {
    format!("http://prometheus-k8s-{pod}.prometheus-operated.observability.svc:9090")
}

/// Nothing of the pods changed but what they read.
fn only_the_document_changed(cluster: &Cluster) {
    let writes = cluster.writes();
    let expected = [
        "configmaps/shop-mirror",
        "pods/shop-mirror-",
        // That the pods have been notified.
        "merge deployments/shop-mirror",
        "prometheusmirrors/shop/status",
        "events",
    ];
    let other: Vec<_> = writes
        .iter()
        .filter(|write| !expected.iter().any(|allowed| write.contains(allowed)))
        .collect();
    assert!(other.is_empty(), "{other:?}");
    assert!(
        writes.contains(&"apply configmaps/shop-mirror".to_owned()),
        "{writes:?}"
    );
}

#[tokio::test]
async fn the_pods_of_a_prometheus_object_are_followed() {
    let before = Before::new(target(&json!({"prometheus": {"name": "k8s"}})));
    before.api.put(prometheus("k8s", json!({})));
    let cluster = before.start().await;
    cluster.becomes_ready().await;
    let service = "http://prometheus-operated.observability.svc:9090";
    assert_eq!(served(&cluster), json!(service));
    let scale = |spec: Value| {
        cluster
            .api
            .edit("prometheuses/k8s", |object| object["spec"] = spec)
    };
    let becomes = async |expected: Value| {
        cluster.requests();
        cluster.reconciles().await;
        only_the_document_changed(&cluster);
        cluster.becomes_ready().await;
        assert_eq!(served(&cluster), expected);
    };

    scale(json!({"replicas": 2}));
    let pair = json!([prometheus_pod("0"), prometheus_pod("1")]);
    becomes(pair.clone()).await;
    scale(json!({"replicas": 2, "shards": 2}));
    let second = json!([prometheus_pod("shard-1-0"), prometheus_pod("shard-1-1")]);
    becomes(json!([pair, second])).await;
    scale(json!({"shards": 3}));
    becomes(json!(["0", "shard-1-0", "shard-2-0"].map(prometheus_pod))).await;
    scale(json!({"shards": 1}));
    becomes(json!(service)).await;
}

#[tokio::test]
async fn a_prometheus_object_that_cannot_be_queried_is_named() {
    let before = Before::new(target(&json!({"prometheus": {"name": "k8s"}})));
    before.api.put(prometheus("k8s", json!({"replicas": 2})));
    let cluster = before.start().await;
    cluster.becomes_ready().await;
    let served_before = served(&cluster);
    let cases = [
        (
            json!({"listenLocal": true}),
            "from within its own pods only",
        ),
        (json!({"replicas": 0}), "has no replicas"),
        (json!({"replicas": 5}), "has 5 replicas, and at most 4"),
        (json!({"shards": 17}), "has 17 shards, and at most 16"),
    ];
    for (spec, words) in cases {
        cluster
            .api
            .edit("prometheuses/k8s", |object| object["spec"] = spec);
        cluster.reconciles().await;
        assert_eq!(
            cluster.conditions(),
            [
                "Ready False ServersUnusable",
                "Stalled True ServersUnusable",
                "TargetsReachable True Reachable"
            ]
        );
        let said = cluster.says();
        assert!(
            said.starts_with("spec.targets[0].prometheus: Prometheus observability/k8s "),
            "{said}"
        );
        assert!(said.contains(words), "{said}");
        assert_eq!(served(&cluster), served_before);
    }
    // The same reason again is the same event again.
    let event = "Warning ServersUnusable spec.targets[0].prometheus: ";
    let mut events = cluster.events().into_iter();
    assert!(events.any(|one| one.starts_with(event) && one.contains("spec.listenLocal")));
    let service = json!({"replicas": 1});
    cluster
        .api
        .edit("prometheuses/k8s", |object| object["spec"] = service);
    cluster.becomes_ready().await;
}

#[tokio::test]
async fn of_several_objects_on_one_service_only_one_is_asked() {
    let before = Before::new(target(&json!({"prometheus": {"name": "k8s"}})));
    before.api.put(prometheus("k8s", json!({})));
    before.api.put(prometheus("other", json!({"replicas": 2})));
    let cluster = before.start().await;
    cluster.becomes_ready().await;
    assert_eq!(served(&cluster), json!(prometheus_pod("0")));
    cluster.api.edit("prometheuses/other", |object| {
        object["spec"]["serviceName"] = json!("own")
    });
    cluster.becomes_ready().await;
    let service = "http://prometheus-operated.observability.svc:9090";
    assert_eq!(served(&cluster), json!(service));
}

#[tokio::test]
async fn without_the_prometheus_operator_its_objects_are_missing() {
    let before = Before::new(target(&json!({"prometheus": {"name": "k8s"}})));
    before.api.lacks("prometheuses");
    let cluster = before.start().await;
    cluster.reconciles().await;
    assert_eq!(cluster.condition("Stalled")["reason"], "PrometheusMissing");
    assert_eq!(
        cluster.says(),
        "spec.targets[0].prometheus: Prometheus objects (monitoring.coreos.com) cannot be read: \
         its API is not installed in this cluster"
    );
}

#[tokio::test]
async fn the_pods_of_a_headless_service_are_followed() {
    let before = Before::new(pods_as("Shards"));
    before.api.put(headless(HERE));
    before.api.put(slice(HERE, &json!([pod(1), pod(0)])));
    let cluster = before.start().await;
    cluster.becomes_ready().await;
    let url = |ordinal: u8| format!("http://db-{ordinal}.db.observability.svc:9090");
    assert_eq!(served(&cluster), json!([url(0), url(1)]));
    // What is not ready has a part of the series all the same.
    let mut starts = pod(2);
    starts["conditions"] = json!({"ready": false, "serving": false});
    cluster
        .api
        .put(slice(HERE, &json!([pod(1), pod(0), starts])));
    cluster.requests();
    cluster.reconciles().await;
    only_the_document_changed(&cluster);
    cluster.becomes_ready().await;
    assert_eq!(served(&cluster), json!([url(0), url(1), url(2)]));
    cluster.api.put(slice(HERE, &json!([pod(0)])));
    cluster.becomes_ready().await;
    assert_eq!(served(&cluster), json!(url(0)));
}

#[tokio::test]
async fn a_change_of_a_slice_reconciles_who_asks_for_the_pods() {
    let before = Before::new(pods_as("Replicas"));
    before.api.put(headless(HERE));
    before.api.put(slice(HERE, &json!([pod(0)])));
    let cluster = before.run().await;
    let becomes = async |expected: Value| {
        let there = || cluster.api.get(&format!("configmaps/{MIRROR}")).is_some();
        cluster
            .eventually(|| there() && served(&cluster) == expected)
            .await;
    };
    let url = |ordinal: u8| format!("http://db-{ordinal}.db.observability.svc:9090");
    becomes(json!(url(0))).await;
    cluster.rolls_out();
    cluster.rests().await;
    cluster.api.put(slice(HERE, &json!([pod(0), pod(1)])));
    becomes(json!([url(0), url(1)])).await;
    cluster.rests().await;
    cluster.api.remove("endpointslices/db-x2x4x");
    cluster
        .eventually(|| cluster.says().contains("has no pods"))
        .await;
}

#[tokio::test]
async fn pods_without_names_are_asked_by_their_addresses() {
    let before = Before::new(pods_as("Replicas"));
    before.api.put(headless(HERE));
    let pod = |name: &str, address: &str, ends: bool| {
        json!({
            "addresses": [address], "conditions": {"ready": !ends, "terminating": ends},
            "targetRef": {"kind": "Pod", "name": name},
        })
    };
    let pods = [
        pod("db-b", "10.0.0.7", false),
        pod("db-a", "10.0.0.9", false),
    ];
    before.api.put(slice(HERE, &json!(pods)));
    let cluster = before.start().await;
    cluster.becomes_ready().await;
    assert_eq!(
        served(&cluster),
        json!(["http://10.0.0.9:9090", "http://10.0.0.7:9090"])
    );
    // Its successor has another address.
    let pods = [
        pod("db-b", "10.0.0.7", false),
        pod("db-a", "10.0.0.9", true),
    ];
    cluster.api.put(slice(HERE, &json!(pods)));
    cluster.becomes_ready().await;
    assert_eq!(served(&cluster), json!("http://10.0.0.7:9090"));
}

#[tokio::test]
async fn a_service_without_pods_to_query_is_named() {
    let before = Before::new(pods_as("Replicas"));
    before.api.put(headless(HERE));
    let cluster = before.start().await;
    let says = async |words: &str| {
        cluster.reconciles().await;
        assert_eq!(cluster.condition("Stalled")["reason"], "ServersUnusable");
        let said = cluster.says();
        assert!(
            said.starts_with("spec.targets[0].service: Service observability/db "),
            "{said}"
        );
        assert!(said.contains(words), "{said}");
    };
    says("has no pods").await;
    cluster
        .api
        .put(slice(HERE, &json!([0, 1, 2, 3, 4].map(pod))));
    says("has 5 pods, and at most 4").await;
    cluster.api.put(slice(HERE, &json!([pod(0)])));
    cluster.api.edit("services/db", |service| {
        service["spec"]["selector"] = Value::Null
    });
    says("has no selector").await;
    cluster.api.edit("services/db", |service| {
        service["spec"]["clusterIP"] = json!("10.96.0.7");
        service["spec"]["selector"] = json!({"app": "db"});
    });
    says("is not headless").await;
    cluster.api.edit("services/db", |service| {
        service["spec"]["clusterIP"] = json!("None")
    });
    cluster.becomes_ready().await;
}

#[tokio::test]
async fn without_a_right_to_slices_only_pods_cannot_be_asked() {
    let before = Before::new(pods_as("Replicas"));
    before.api.lacks("endpointslices");
    before.api.put(headless(HERE));
    let cluster = before.start().await;
    cluster.reconciles().await;
    assert_eq!(
        cluster.says(),
        "spec.targets[0].service: EndpointSlices (discovery.k8s.io) cannot be read: \
         its API is not installed in this cluster"
    );
    cluster.set(&target(&json!({"service": {"name": "db", "port": "web"}})));
    cluster.becomes_ready().await;
    assert_eq!(served(&cluster), json!("http://db.observability.svc:80"));
}

#[tokio::test]
async fn pods_elsewhere_need_the_permission_of_their_services_owner() {
    let shard = json!({"service": {"name": "db", "namespace": "finance", "port": "web", "pods": "Replicas"}});
    let spec = target(&json!({"shards": [{"url": "http://a"}, shard]}));
    let before = Before::new(spec.clone());
    before.api.put(headless("finance"));
    // A slice decides nothing: whoever opens the Service opens its pods.
    let mut opened = slice("finance", &json!([pod(0), pod(1)]));
    opened["metadata"]["annotations"] = json!({"prometheus-mirror.io/allow-from": HERE});
    before.api.put(opened);
    let cluster = before.start().await;
    cluster.reconciles().await;
    let closed = cluster.says();
    assert!(
        closed.contains("Service finance/db does not exist, or is not open"),
        "{closed}"
    );
    cluster.api.remove("endpointslices/db-x2x4x");
    cluster.api.remove("services/db");
    cluster.reconciles().await;
    assert_eq!(
        cluster.says(),
        closed,
        "what is closed sounds like what is absent"
    );

    let allowed = json!({"prometheus-mirror.io/allow-from": HERE});
    let mut service = headless("finance");
    service["metadata"]["annotations"] = allowed;
    cluster.api.put(service.clone());
    cluster.api.put(slice("finance", &json!([pod(0), pod(1)])));
    cluster.becomes_ready().await;
    let url = |ordinal: u8| format!("http://db-{ordinal}.db.finance.svc:9090");
    assert_eq!(served(&cluster), json!(["http://a", [url(0), url(1)]]));

    for (scope, cross_namespace) in [
        (Scope::Cluster, CrossNamespace::Never),
        (Scope::Namespace(HERE.to_owned()), CrossNamespace::Always),
    ] {
        let mut before = Before::new(spec.clone());
        (before.scope, before.policy.cross_namespace) = (scope, cross_namespace);
        before.api.put(service.clone());
        before.api.put(slice("finance", &json!([pod(0)])));
        let cluster = before.start().await;
        cluster.reconciles().await;
        assert_eq!(cluster.condition("Stalled")["reason"], "ServiceMissing");
    }
}

#[tokio::test]
async fn slices_of_the_own_namespace_are_enough_for_one_that_sees_no_other() {
    let mut before = Before::new(pods_as("Replicas"));
    before.scope = Scope::Namespace(HERE.to_owned());
    before.api.put(headless(HERE));
    before.api.put(slice(HERE, &json!([pod(0), pod(1)])));
    let cluster = before.start().await;
    cluster.becomes_ready().await;
    let url = |ordinal: u8| format!("http://db-{ordinal}.db.observability.svc:9090");
    assert_eq!(served(&cluster), json!([url(0), url(1)]));
}
