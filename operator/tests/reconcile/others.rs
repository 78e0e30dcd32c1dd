//! Others who change the operator's objects, each time or once.

use serde_json::{Value, json};

use crate::cluster::{Before, Cluster, MIRROR, SHOP};

fn image(deployment: &mut Value) -> &mut Value {
    &mut deployment["spec"]["template"]["spec"]["containers"][0]["image"]
}

/// What is written to children, and how often it is asked what a write would do.
fn to_children(cluster: &Cluster) -> Vec<String> {
    let mut requests = cluster.requests();
    requests.retain(|request| {
        !request.contains("/status") && !request.contains("pods/") && !request.contains("events")
    });
    requests
}

#[tokio::test]
async fn a_policy_that_rewrites_a_field_is_named_and_not_fought() {
    let before = Before::new(json!({}));
    before.api.rewrites("deployments", |deployment| {
        *image(deployment) = json!("registry.corp/prometheus-mirror:1");
    });
    let cluster = before.start().await;
    cluster.reconciles().await;
    cluster.rolls_out();
    to_children(&cluster);
    for expected in [&["apply deployments/shop-mirror (dry run)"][..], &[], &[]] {
        cluster.reconciles().await;
        assert_eq!(to_children(&cluster), expected);
        cluster.rolls_out();
        cluster.time_passes();
    }
    let says = |cluster: &Cluster| cluster.condition("Degraded")["message"].clone();
    assert_eq!(
        cluster.conditions(),
        [
            "Ready True Serving",
            "TargetsReachable True Reachable",
            "Degraded True Overruled"
        ]
    );
    let field = "Deployment shop-mirror: spec.template.spec.containers[mirror].image is \
                 \"registry.corp/prometheus-mirror:1\", not \"prometheus-mirror:1\" (an admission \
                 policy or webhook sets it)";
    assert_eq!(says(&cluster), field);

    // Other fields are kept, and a changed spec is applied.
    cluster
        .api
        .edit(&format!("deployments/{MIRROR}"), |deployment| {
            deployment["spec"]["revisionHistoryLimit"] = json!(9);
        });
    cluster.reconciles().await;
    let there = || cluster.api.get(&format!("deployments/{MIRROR}")).unwrap();
    assert_eq!(there()["spec"]["revisionHistoryLimit"], 3);
    cluster.set(&json!({"replicas": 2}));
    cluster.reconciles().await;
    assert_eq!(there()["spec"]["replicas"], 2);
    cluster.becomes_ready().await;
    assert_eq!(says(&cluster), field);
    cluster.set(&json!({"image": "registry.corp/prometheus-mirror:1"}));
    cluster.becomes_ready().await;
    assert_eq!(says(&cluster), json!(null));
}

#[tokio::test]
async fn a_policy_against_the_operators_own_annotation_is_not_fought() {
    const APPLIED: &str = "prometheus-mirror.io/applied";
    let removes = |object: &mut Value| {
        let annotations = object["metadata"]["annotations"].as_object_mut();
        annotations.and_then(|annotations| annotations.remove(APPLIED));
    };
    let replaces = |object: &mut Value| {
        object["metadata"]["annotations"][APPLIED] = json!("scrubbed");
    };
    let policies: [fn(&mut Value); 2] = [removes, replaces];
    for policy in policies {
        let before = Before::new(json!({}));
        before.api.rewrites("configmaps", policy);
        let cluster = before.start().await;
        for _ in 0..4 {
            cluster.reconciles().await;
            cluster.rolls_out();
            cluster.time_passes();
        }
        to_children(&cluster);
        cluster.reconciles().await;
        assert_eq!(to_children(&cluster), [""; 0]);
        assert_eq!(cluster.conditions()[0], "Ready True Serving");
        let said = cluster.condition("Degraded")["message"].to_string();
        assert!(
            said.contains(
                "ConfigMap shop-mirror: metadata.annotations.prometheus-mirror.io/applied is "
            ),
            "{said}"
        );
        // A changed document is applied all the same, also what it no longer has.
        let document = || cluster.api.get("configmaps/shop-mirror").unwrap()["data"].to_string();
        cluster.set(&json!({"workers": 7}));
        cluster.reconciles().await;
        assert!(document().contains("workers: 7"), "{}", document());
        cluster.set(&json!({"workers": null}));
        cluster.reconciles().await;
        assert!(!document().contains("workers: 7"), "{}", document());
    }
}

#[tokio::test]
async fn a_controller_that_sets_a_field_again_and_again_is_not_fought_for_ever() {
    let service = json!({"annotations": {"balancer": "ours"}});
    let cluster = Cluster::ready(json!({ "service": service })).await;
    let mut writes = 0;
    for _ in 0..10 {
        cluster.api.edit("services/shop", |service| {
            service["metadata"]["annotations"]["balancer"] = json!("theirs");
            service["metadata"]["managedFields"] = json!([{
                "manager": "cloud-controller", "operation": "Update",
                "fieldsV1": {"f:metadata": {"f:annotations": {"f:balancer": {}}}},
            }]);
        });
        to_children(&cluster);
        cluster.reconciles().await;
        let requests = to_children(&cluster);
        writes += requests
            .iter()
            .filter(|it| *it == "apply services/shop")
            .count();
    }
    assert_eq!(writes, 5);
    assert_eq!(cluster.conditions()[0], "Ready True Serving");
    let said = &cluster.condition("Degraded")["message"];
    assert_eq!(
        said,
        "Service shop: metadata.annotations.balancer is \"theirs\", not \"ours\" (cloud-controller \
         sets it again and again)"
    );
}

#[tokio::test]
async fn a_challenge_that_cert_manager_adds_to_the_ingress_stays() {
    let ingress = json!({"host": "mirror.example.org"});
    let cluster = Cluster::ready(json!({ "ingress": ingress })).await;
    let solver = json!({
        "path": "/.well-known/acme-challenge/x", "pathType": "Prefix",
        "backend": {"service": {"name": "cm-acme-http-solver", "port": {"number": 8089}}},
    });
    let there = || cluster.api.get("ingresses/shop-mirror").unwrap();
    let paths = |ingress: &Value| ingress["spec"]["rules"][0]["http"]["paths"].clone();
    cluster.api.edit("ingresses/shop-mirror", |ingress| {
        let paths = &mut ingress["spec"]["rules"][0]["http"]["paths"];
        paths.as_array_mut().unwrap().insert(0, solver.clone());
    });
    to_children(&cluster);
    cluster.reconciles().await;
    assert_eq!(to_children(&cluster), [""; 0]);
    assert_eq!(paths(&there())[0], solver);

    // Ours follow the spec beside it, and go back when it does.
    cluster.set(&json!({"ingress": {"host": "mirror.example.org", "path": "/new"}}));
    cluster.reconciles().await;
    let found = paths(&there());
    assert_eq!((&found[0], &found[1]["path"]), (&solver, &json!("/new")));
    cluster.api.edit("ingresses/shop-mirror", |ingress| {
        let paths = &mut ingress["spec"]["rules"][0]["http"]["paths"];
        paths.as_array_mut().unwrap().remove(0);
    });
    to_children(&cluster);
    cluster.reconciles().await;
    assert_eq!(to_children(&cluster), [""; 0]);
    assert_eq!(paths(&there()).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_rollout_restart_is_left_alone_and_ready_follows_it() {
    let cluster = Cluster::ready(json!({})).await;
    cluster
        .api
        .edit(&format!("deployments/{MIRROR}"), |deployment| {
            let metadata = &mut deployment["spec"]["template"]["metadata"];
            metadata["annotations"]["kubectl.kubernetes.io/restartedAt"] = json!("now");
        });
    cluster.api.asked();
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[0], "Ready False RollingOut");
    assert_eq!(to_children(&cluster), [""; 0]);
    cluster.becomes_ready().await;
    let there = cluster.api.get(&format!("deployments/{MIRROR}")).unwrap();
    let restarted = &there["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(restarted["kubectl.kubernetes.io/restartedAt"], "now");
}

/// A status as another cluster's operator wrote it, or anybody else.
fn foreign_status() -> Value {
    let condition = |type_: &str, reason: &str| {
        json!({
            "type": type_, "status": "True", "reason": reason, "message": "from a backup",
            "observedGeneration": 7, "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    json!({
        "observedGeneration": 7, "endpoint": "http://elsewhere:9900", "replicas": 5,
        "conditions": [
            condition("Ready", "Serving"), condition("TargetsReachable", "Reachable"),
            condition("Stalled", "Foreign"), condition("Foreign", "Foreign"),
        ],
        "targets": [{"name": "cluster", "reachable": true, "version": "1"}],
    })
}

#[tokio::test]
async fn nothing_of_a_restored_status_is_believed_where_nothing_runs() {
    for (spec, expected) in [
        (
            json!({"replicas": -1}),
            &[
                "Ready False InvalidSpec",
                "Stalled True InvalidSpec",
                "TargetsReachable Unknown NotAsked",
            ][..],
        ),
        (
            json!({"paused": true}),
            &[
                "Ready False Paused",
                "TargetsReachable Unknown NotAsked",
                "Paused True Paused",
            ],
        ),
    ] {
        let before = Before::new(spec);
        before
            .api
            .edit(SHOP, |shop| shop["status"] = foreign_status());
        let cluster = before.start().await;
        cluster.reconciles().await;
        assert_eq!(cluster.conditions(), expected);
        let status = cluster.status();
        let fields: Vec<_> = status.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["conditions", "observedGeneration", "operator"]);
        cluster.api.asked();
        cluster.reconciles().await;
        assert_eq!(cluster.writes(), [""; 0]);
    }
}

#[tokio::test]
async fn what_the_cache_has_not_heard_of_is_not_taken_back() {
    let before = Before::new(json!({}));
    // A dry run answers with the version that there is.
    before.api.rewrites("deployments", |deployment| {
        if deployment["spec"]["revisionHistoryLimit"] == json!(3) {
            deployment["metadata"]["resourceVersion"] = json!("newer");
        }
    });
    let cluster = before.start().await;
    cluster.becomes_ready().await;
    cluster.api.edit("deployments/shop-mirror", |deployment| {
        deployment["spec"]["revisionHistoryLimit"] = json!(9);
    });
    to_children(&cluster);
    for _ in 0..2 {
        cluster.reconciles().await;
        let expected = ["apply deployments/shop-mirror (dry run)"];
        assert_eq!(to_children(&cluster), expected);
    }
}

#[tokio::test]
async fn conditions_of_others_are_removed_and_then_nothing_is_written() {
    let before = Before::new(json!({}));
    // As server-side apply leaves what another manager owns.
    before.api.rewrites("prometheusmirrors", |shop| {
        let foreign = foreign_status()["conditions"][3].clone();
        let conditions = shop["status"]["conditions"].as_array_mut().unwrap();
        conditions.push(foreign);
    });
    let cluster = before.start().await;
    cluster.becomes_ready().await;
    assert_eq!(
        cluster.conditions(),
        ["Ready True Serving", "TargetsReachable True Reachable"]
    );
    cluster.reconciles().await;
    assert_eq!(cluster.writes(), [""; 0]);
}
