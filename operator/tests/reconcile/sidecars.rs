//! Mode Sidecar: what is built, what the status says of the pods that carry the label, and which of
//! them are restarted.

use std::time::Duration;

use kube::runtime::controller::Action;
use operator::cluster::scope::Scope;
use serde_json::{Value, json};

use crate::api_server::Refusal;
use crate::cluster::{Before, Cluster, HERE, MIRROR, SHOP, SIDECAR, forbidden, key};

fn mode(more: Value) -> Value {
    let mut spec = more;
    spec["mode"] = json!("Sidecar");
    spec
}

fn restarting() -> Value {
    json!({"sidecar": {"restartPods": true}})
}

/// `SidecarsCurrent`: its status, reason and message.
fn current(cluster: &Cluster) -> [String; 3] {
    let condition = cluster.condition("SidecarsCurrent");
    ["status", "reason", "message"].map(|part| condition[part].as_str().unwrap().to_owned())
}

/// How many pods are labelled, injected, current and serving.
fn counts(cluster: &Cluster) -> [i64; 4] {
    let sidecar = &cluster.status()["sidecar"];
    ["labelled", "injected", "current", "serving"].map(|count| sidecar[count].as_i64().unwrap())
}

/// The evictions since the last look.
fn evictions(cluster: &Cluster) -> Vec<String> {
    let mut writes = cluster.writes();
    writes.retain(|write| write.ends_with("/eviction"));
    writes
}

#[tokio::test]
async fn in_mode_sidecar_nothing_runs_of_its_own() {
    let cluster = Cluster::with(mode(json!({}))).await;
    cluster.reconciles().await;
    assert_eq!(
        cluster.requests(),
        [
            "get secrets/mirror-key",
            "apply configmaps/shop-mirror",
            "apply services/shop",
            "list mutatingadmissionpolicies",
            "list mutatingadmissionpolicybindings",
            // At once: the next pod should have the sidecar.
            "apply prometheusmirrors/shop/status",
            "create events",
            "create events",
        ]
    );
    let service = cluster.api.get("services/shop").unwrap();
    let expected = json!({
        "type": "ClusterIP", "selector": {"prometheus-mirror.io/inject": "shop"},
        "ports": [{"name": "api", "port": 9900, "targetPort": "mirror-api", "protocol": "TCP"}],
    });
    assert_eq!(service["spec"], expected);
    let sidecar = &cluster.status()["sidecar"];
    assert_eq!(
        (&sidecar["container"]["name"], counts(&cluster)),
        (&json!(SIDECAR), [0; 4])
    );
    assert_eq!(
        cluster.conditions(),
        [
            "Ready False NoPods",
            "TargetsReachable Unknown NotAsked",
            "SidecarsCurrent Unknown NoPods"
        ]
    );
    assert_eq!(
        cluster.says(),
        "No pod in namespace observability carries the label prometheus-mirror.io/inject: shop. Add it to the pod template of Prometheus."
    );
    cluster.reconciles().await;
    assert_eq!(cluster.requests(), [""; 0]);
}

#[tokio::test]
async fn pods_whose_sidecars_serve_it_make_a_resource_ready() {
    let cluster = Cluster::with_sidecars(json!({"replicas": 7}), 2).await;
    let status = cluster.status();
    assert_eq!(
        cluster.conditions(),
        [
            "Ready True Serving",
            "TargetsReachable True Reachable",
            "SidecarsCurrent True UpToDate"
        ]
    );
    assert_eq!(
        cluster.says(),
        "2 of 2 pods serve the current configuration."
    );
    assert_eq!(counts(&cluster), [2; 4]);
    let parts = ["replicas", "readyReplicas", "reachableTargets", "selector"];
    let expected = [json!(2), json!(2), json!("1/1"), Value::Null];
    assert_eq!(parts.map(|part| status[part].clone()), expected);
    let again = cluster.reconciles().await;
    assert_eq!(again, Action::requeue(Duration::from_secs(30)));
    assert_eq!(cluster.requests(), [""; 0]);
}

#[tokio::test]
async fn a_missing_secret_does_not_hold_up_the_sidecar() {
    let cluster = Before::without_key(mode(json!({}))).start().await;
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[1], "Stalled True SecretMissing");
    let before = cluster.status()["sidecar"].clone();
    assert_eq!(before["container"]["name"], SIDECAR);
    cluster.api.put(key());
    cluster.reconciles().await;
    // It is the same: pods that started meanwhile have it.
    assert_eq!(cluster.status()["sidecar"], before);
    // Nor does an invalid change take it away.
    cluster.set(&json!({"workers": 0}));
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[1], "Stalled True InvalidSpec");
    assert_eq!(cluster.status()["sidecar"], before);
}

#[tokio::test]
async fn a_change_of_the_mode_removes_what_is_no_longer_wanted() {
    let cluster = Cluster::ready(json!({})).await;
    let own = || {
        let own = cluster.api.all(&["serviceaccounts", "deployments"]);
        own.len()
    };
    cluster.set(&json!({"mode": "Sidecar"}));
    cluster.reconciles().await;
    assert_eq!(own(), 0);
    cluster.stateful_set(1);
    cluster.labelled_pod(0);
    cluster.injected(0);
    for _ in 0..3 {
        cluster.reconciles().await;
        cluster.time_passes();
    }
    assert_eq!(cluster.conditions()[0], "Ready True Serving");
    cluster.set(&json!({"mode": null}));
    cluster.becomes_ready().await;
    assert_eq!(own(), 2);
    let status = cluster.status();
    assert!(status["sidecar"].is_null() && !status["selector"].is_null());
    assert_eq!(cluster.condition("SidecarsCurrent"), Value::Null);
    let service = cluster.api.get("services/shop").unwrap();
    let expected = json!({
        "app.kubernetes.io/name": "prometheus-mirror", "app.kubernetes.io/instance": "shop",
    });
    assert_eq!(service["spec"]["selector"], expected);
}

#[tokio::test]
async fn pods_without_the_sidecar_are_named() {
    let cluster = Cluster::with(mode(json!({}))).await;
    cluster.reconciles().await;
    for index in 0..5 {
        cluster.labelled_pod(index);
    }
    cluster.injected(0);
    cluster.reconciles().await;
    assert_eq!(
        cluster.conditions(),
        [
            "Ready False SidecarMissing",
            "Stalled True SidecarMissing",
            "TargetsReachable True Reachable",
            "SidecarsCurrent False SidecarMissing"
        ]
    );
    let missing = "No sidecar: Pods prometheus-1, prometheus-2, prometheus-3 and 1 more.";
    let said = format!("{missing} Restart them, or set spec.sidecar.restartPods.");
    assert_eq!((cluster.says(), counts(&cluster)), (said, [5, 1, 1, 0]));
    let mut events = cluster.events();
    events.retain(|event| event.starts_with("Warning"));
    assert_eq!(events.len(), 1, "{events:?}");
}

#[tokio::test]
async fn a_pod_that_no_policy_touched_says_to_look_at_the_policy() {
    let cluster = Cluster::with(mode(json!({}))).await;
    cluster.reconciles().await;
    cluster.rendered_ago(90_000);
    cluster.labelled_pod(0);
    cluster.reconciles().await;
    let said = cluster.says();
    let expected = "The policy added none to Pod prometheus-0, although this resource existed before: check the MutatingAdmissionPolicy and its binding.";
    assert!(said.ends_with(expected), "{said}");
}

#[tokio::test]
async fn without_policies_the_command_that_prints_the_sidecar_is_named() {
    let before = Before::new(mode(json!({})));
    before.api.lacks("mutatingadmissionpolicies");
    let cluster = before.start().await;
    cluster.reconciles().await;
    let command = "prometheus-mirror-operator sidecar shop -n observability prints what";
    assert!(cluster.says().contains(command), "{}", cluster.says());
    cluster.labelled_pod(0);
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[1], "Stalled True InjectionUnavailable");
    assert!(cluster.says().contains(command), "{}", cluster.says());
}

#[tokio::test]
async fn where_the_policy_is_not_installed_no_pod_is_restarted_and_that_is_said() {
    for gone in [
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    ] {
        let before = Before::new(mode(json!({"sidecar": {"restartPods": true}})));
        before.api.remove(&format!("{gone}/sidecar"));
        let cluster = before.start().await;
        cluster.reconciles().await;
        cluster.labelled_pod(0);
        cluster.reconciles().await;
        assert_eq!(cluster.conditions()[1], "Stalled True InjectionUnavailable");
        let said = "No sidecar: Pod prometheus-0. No policy of this cluster adds one: install it with the operator's chart (sidecar.injection) or dist/sidecar-injection.yaml, and restart the pods then. Without it, prometheus-mirror-operator sidecar shop -n observability prints what belongs there.";
        assert_eq!(cluster.says(), said);
        assert!(
            cluster.api.get("pods/prometheus-0").unwrap()["metadata"]["deletionTimestamp"]
                .is_null()
        );
    }
}

#[tokio::test]
async fn an_older_sidecar_stays_while_no_policy_adds_the_current_one() {
    let before = Before::new(mode(json!({"sidecar": {"restartPods": true}})));
    before.api.remove("mutatingadmissionpolicies/sidecar");
    let cluster = before.start().await;
    cluster.reconciles().await;
    cluster.stateful_set(1);
    cluster.labelled_pod(0);
    cluster.injected(0);
    cluster.set(&json!({"image": "prometheus-mirror:2"}));
    cluster.reconciles().await;
    assert_eq!(evictions(&cluster), [""; 0]);
    let said = &current(&cluster)[2];
    let expected = "An older sidecar: Pod prometheus-0. No policy of this cluster adds one:";
    assert!(said.starts_with(expected), "{said}");
}

#[tokio::test]
async fn an_operator_that_may_not_read_policies_supposes_that_one_is_there() {
    let before = Before::new(mode(json!({})));
    let refused = forbidden("no right to list policies");
    before
        .api
        .always_fails("list mutatingadmissionpolicies", refused);
    let cluster = before.start().await;
    cluster.reconciles().await;
    cluster.labelled_pod(0);
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[1], "Stalled True SidecarMissing");
}

#[tokio::test]
async fn an_operator_of_one_namespace_reads_no_policies() {
    let mut before = Before::new(mode(json!({})));
    before.scope = Scope::Namespace(HERE.to_owned());
    let cluster = before.start().await;
    cluster.labelled_pod(0);
    cluster.reconciles().await;
    let requests = cluster.requests();
    let policies = requests.iter().filter(|it| it.contains("policies"));
    assert_eq!(policies.count(), 0, "{requests:?}");
    assert_eq!(cluster.conditions()[1], "Stalled True SidecarMissing");
}

#[tokio::test]
async fn an_older_sidecar_serves_and_is_named() {
    let cluster = Cluster::with_sidecars(json!({}), 2).await;
    let before = cluster.status()["sidecar"]["hash"].clone();
    cluster.set(&json!({"image": "prometheus-mirror:2"}));
    cluster.reconciles().await;
    assert_ne!(cluster.status()["sidecar"]["hash"], before);
    assert_eq!(cluster.conditions()[0], "Ready True Serving");
    let expected = [
        "False",
        "SidecarOutdated",
        "An older sidecar: Pods prometheus-0, prometheus-1. Restart them, or set spec.sidecar.restartPods.",
    ];
    assert_eq!(current(&cluster), expected);
    assert_eq!(counts(&cluster), [2, 2, 0, 2]);
    cluster.injected(0);
    cluster.injected(1);
    cluster.reconciles().await;
    assert_eq!(current(&cluster)[1], "UpToDate");
}

#[tokio::test]
async fn a_sidecar_in_the_template_counts_and_is_compared() {
    let cluster = Cluster::with_sidecars(json!({}), 1).await;
    cluster.pod(0, |pod| {
        let container = pod["spec"]["initContainers"][0].take();
        pod["spec"]["initContainers"] = json!([]);
        pod["spec"]["containers"]
            .as_array_mut()
            .unwrap()
            .push(container);
        let annotations = pod["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.remove("prometheus-mirror.io/sidecar");
    });
    cluster.reconciles().await;
    assert_eq!(counts(&cluster), [1; 4]);
    assert_eq!(current(&cluster)[1], "UpToDate");
    cluster.set(&json!({"image": "prometheus-mirror:2", "sidecar": {"restartPods": true}}));
    for _ in 0..3 {
        cluster.reconciles().await;
    }
    assert_eq!(cluster.conditions()[0], "Ready True Serving");
    let said = &current(&cluster)[2];
    assert!(
        said.contains("in the pod template of Pod prometheus-0"),
        "{said}"
    );
    // Another pod of that template would be the same.
    assert!(
        !cluster
            .writes()
            .iter()
            .any(|write| write.ends_with("/eviction"))
    );
}

#[tokio::test]
async fn a_foreign_container_of_the_name_is_reported() {
    let cluster = Cluster::with_sidecars(json!({}), 1).await;
    cluster.pod(0, |pod| pod["spec"]["initContainers"][0]["env"] = json!([]));
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[1], "Stalled True ContainerNameTaken");
    assert_eq!(
        cluster.says(),
        "A container named prometheus-mirror that is not a mirror is in Pod prometheus-0; the pod gets no sidecar. Rename that container."
    );
}

#[tokio::test]
async fn a_volume_of_the_name_is_reported() {
    let cluster = Cluster::with(mode(restarting())).await;
    cluster.reconciles().await;
    cluster.stateful_set(1);
    cluster.labelled_pod(0);
    cluster.pod(0, |pod| {
        pod["spec"]["volumes"] = json!([{"name": "prometheus-mirror-configuration"}])
    });
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[1], "Stalled True ContainerNameTaken");
    assert_eq!(
        cluster.says(),
        "A volume named prometheus-mirror-configuration is in Pod prometheus-0; the pod gets no sidecar. Rename that volume."
    );
    cluster.reconciles().await;
    assert_eq!(evictions(&cluster), [""; 0]);
}

#[tokio::test]
async fn pods_that_nobody_replaces_are_named() {
    let cluster = Cluster::with(mode(restarting())).await;
    cluster.reconciles().await;
    cluster.stateful_set(1);
    cluster.labelled_pod(0);
    cluster.labelled_pod(1);
    cluster.pod(1, |pod| pod["metadata"]["ownerReferences"] = json!([]));
    cluster.reconciles().await;
    let both = "No sidecar: Pods prometheus-0, prometheus-1.";
    let alone = "Create again by hand: Pod prometheus-1. Only a StatefulSet, a ReplicaSet or a DaemonSet replaces a pod that the operator evicts.";
    let said = format!("{both} The operator restarts one at a time. {alone}");
    assert_eq!(cluster.says(), said);
    cluster.api.remove("pods/prometheus-0");
    cluster.time_passes();
    cluster.reconciles().await;
    let said = format!("No sidecar: Pod prometheus-1. {alone}");
    assert_eq!(cluster.says(), said);
}

#[tokio::test]
async fn a_pasted_sidecar_is_pasted_again_not_restarted() {
    let cluster = Cluster::with_sidecars(restarting(), 1).await;
    let hash = cluster.status()["sidecar"]["hash"].clone();
    cluster.pod(0, |pod| {
        pod["metadata"]["annotations"] = json!({"prometheus-mirror.io/pasted-sidecar": hash});
    });
    cluster.reconciles().await;
    assert_eq!(current(&cluster)[1], "UpToDate");
    // Nothing that is compared of a container changes.
    cluster.set(&json!({"resources": {"limits": {"memory": "1Gi"}}}));
    for _ in 0..3 {
        cluster.reconciles().await;
    }
    let [_, reason, said] = current(&cluster);
    assert_eq!(reason, "SidecarOutdated");
    assert_eq!(
        said,
        "A sidecar that is not the current one is in the pod template of Pod prometheus-0: prometheus-mirror-operator sidecar shop -n observability prints what belongs there."
    );
    assert_eq!(evictions(&cluster), [""; 0]);
}

#[tokio::test]
async fn of_many_labelled_pods_a_hundred_are_asked() {
    let cluster = Cluster::with_sidecars(json!({}), 1).await;
    for index in 1..130 {
        cluster.labelled_pod(index);
        cluster.injected(index);
    }
    for _ in 0..3 {
        cluster.reconciles().await;
        cluster.time_passes();
    }
    let status = cluster.status();
    assert_eq!(counts(&cluster), [130, 130, 130, 100]);
    assert_eq!(status["sidecar"]["unasked"], 30);
    assert_eq!(cluster.conditions()[0], "Ready True Serving");
    assert_eq!(
        cluster.says(),
        "100 of 100 pods serve the current configuration. Of 130 pods with a sidecar, 100 were asked and 30 were not: the operator asks 100 at most."
    );
    // Nor are the others written.
    let writes = cluster.writes();
    let notified = writes
        .iter()
        .filter(|write| write.starts_with("merge pods/"));
    assert!(notified.count() <= 100, "{writes:?}");
    // One that cannot run is among those that are looked at.
    cluster.pod(129, |pod| {
        let status = &mut pod["status"]["initContainerStatuses"][0];
        status["ready"] = json!(false);
        status["state"] = json!({"waiting": {"reason": "ErrImagePull", "message": "none"}});
    });
    cluster.reconciles().await;
    let said = cluster.says();
    assert!(
        said.starts_with("Pod prometheus-129: ErrImagePull: none"),
        "{said}"
    );
}

#[tokio::test]
async fn a_restart_waits_until_the_last_pod_serves() {
    let cluster = Cluster::with_sidecars(restarting(), 2).await;
    cluster.set(&json!({"image": "prometheus-mirror:2"}));
    cluster.reconciles().await;
    cluster.reconciles().await;
    assert_eq!(evictions(&cluster), ["create pods/prometheus-1/eviction"]);
    cluster.api.remove("pods/prometheus-1");
    cluster.labelled_pod(1);
    cluster.injected(1);
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    cluster.pod(1, |pod| {
        pod["status"]["conditions"][0]["lastTransitionTime"] = json!(now);
    });
    let again = cluster.reconciles().await;
    assert_eq!(evictions(&cluster), [""; 0]);
    let said = &current(&cluster)[2];
    let expected = "The next restart waits: Pod prometheus-1 has been ready for less than 10 s.";
    assert!(said.ends_with(expected), "{said}");
    // No watch reports that time has passed.
    assert_ne!(again, Action::requeue(Duration::from_secs(30)));
    cluster.pod(1, |pod| {
        pod["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-01-01T00:00:00Z");
    });
    cluster.reconciles().await;
    assert_eq!(evictions(&cluster), ["create pods/prometheus-0/eviction"]);
}

#[tokio::test]
async fn why_a_labelled_pod_is_not_ready_is_quoted() {
    let cluster = Cluster::with_sidecars(json!({}), 1).await;
    cluster.pod(0, |pod| {
        pod["status"]["conditions"][0]["status"] = json!("False");
        pod["status"]["conditions"][0]["reason"] = json!("ContainersNotReady");
        pod["status"]["containerStatuses"] = json!([{
            "name": "prometheus", "image": "i", "imageID": "", "ready": false, "restartCount": 1,
            "state": {"terminated": {"exitCode": 2, "reason": "Error", "message": "no space left"}},
        }]);
    });
    cluster.reconciles().await;
    assert_eq!(
        cluster.says(),
        "0 of 1 pods with the sidecar are ready; not ready: Pod prometheus-0. Pod prometheus-0: container prometheus: ended with exit code 2: no space left"
    );
}

#[tokio::test]
async fn an_evicted_pod_says_why_there_is_none() {
    let cluster = Cluster::with_sidecars(json!({}), 1).await;
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    cluster.pod(0, |pod| {
        pod["status"] = json!({
            "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory.",
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": now}],
        });
    });
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[0], "Ready False NoPods");
    let said = cluster.says();
    let expected = " Pod prometheus-0 ended: Evicted: The node was low on resource: memory.";
    assert!(said.ends_with(expected), "{said}");
    cluster.labelled_pod(1);
    cluster.injected(1);
    for _ in 0..3 {
        cluster.reconciles().await;
        cluster.time_passes();
    }
    assert_eq!(
        cluster.says(),
        "1 of 1 pods serve the current configuration."
    );
}

#[tokio::test]
async fn a_port_that_another_container_has_is_reported() {
    let cluster = Cluster::with_sidecars(json!({}), 1).await;
    cluster.set(&json!({"port": 9090}));
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[1], "Stalled True PortTaken");
    assert_eq!(
        cluster.says(),
        "Container prometheus declares port 9090, but the mirror needs ports 9090 and 9901: Pod prometheus-0. Change spec.port, or that container."
    );
}

#[tokio::test]
async fn a_sidecar_that_cannot_start_is_quoted_and_its_pod_left_alone() {
    let cluster = Cluster::with_sidecars(restarting(), 1).await;
    cluster.pod(0, |pod| {
        let status = &mut pod["status"]["initContainerStatuses"][0];
        status["ready"] = json!(false);
        status["state"] =
            json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "empty"}});
        pod["status"]["conditions"][0]["status"] = json!("False");
    });
    cluster.api.edit("secrets/mirror-key", |secret| {
        secret["data"]["apiKey"] = json!("bmV3")
    });
    cluster.reconciles().await;
    assert_eq!(cluster.conditions()[0], "Ready False ConfigurationRefused");
    assert_eq!(
        cluster.says(),
        "Pod prometheus-0: ended with exit code 1: empty"
    );
    let notified = "merge pods/prometheus-0";
    assert!(cluster.writes().contains(&notified.to_owned()));
    assert!(cluster.api.get("pods/prometheus-0").is_some());
}

#[tokio::test]
async fn a_pod_that_is_not_ready_holds_up_a_resource() {
    let cluster = Cluster::with_sidecars(json!({}), 2).await;
    cluster.pod(1, |pod| {
        // With a reason, as the kubelet gives it: one without is of a lost node.
        pod["status"]["conditions"][0]["status"] = json!("False");
        pod["status"]["conditions"][0]["reason"] = json!("ContainersNotReady");
    });
    cluster.reconciles().await;
    assert_eq!(
        cluster.conditions()[..2],
        ["Ready False PodsNotReady", "Reconciling True PodsNotReady"]
    );
    assert_eq!(
        cluster.says(),
        "1 of 2 pods with the sidecar are ready; not ready: Pod prometheus-1."
    );
    assert_eq!(counts(&cluster), [2, 2, 2, 1]);
}

#[tokio::test]
async fn a_new_document_reaches_sidecars_by_an_annotation() {
    let cluster = Cluster::with_sidecars(json!({}), 2).await;
    cluster.set(&json!({"workers": 7}));
    cluster.reconciles().await;
    let mut writes = cluster.writes();
    writes.retain(|write| write.contains(" pods/"));
    assert_eq!(
        writes,
        ["merge pods/prometheus-0", "merge pods/prometheus-1"]
    );
    assert_eq!(
        cluster.conditions()[0],
        "Ready False ConfigurationSpreading"
    );
    // It is the same sidecar, though.
    assert_eq!(current(&cluster)[1], "UpToDate");
    cluster.serves(0);
    cluster.serves(1);
    for _ in 0..2 {
        cluster.reconciles().await;
        cluster.time_passes();
    }
    assert_eq!(cluster.conditions()[0], "Ready True Serving");
}

#[tokio::test]
async fn pods_of_other_namespaces_and_resources_do_not_count() {
    let cluster = Cluster::with_sidecars(json!({}), 1).await;
    let mut other = cluster.api.get("pods/prometheus-0").unwrap();
    other["metadata"]["name"] = json!("other");
    other["metadata"]["labels"]["prometheus-mirror.io/inject"] = json!("another");
    cluster.api.put(other.clone());
    other["metadata"]["namespace"] = json!("elsewhere");
    other["metadata"]["labels"]["prometheus-mirror.io/inject"] = json!("shop");
    cluster.api.put(other.clone());
    other["metadata"]["namespace"] = json!(HERE);
    other["metadata"]["name"] = json!("ended");
    other["status"]["phase"] = json!("Succeeded");
    cluster.api.put(other);
    cluster.reconciles().await;
    assert_eq!(counts(&cluster), [1; 4]);
    assert_eq!(cluster.requests(), [""; 0]);
}

#[tokio::test]
async fn a_paused_resource_keeps_its_sidecar_and_restarts_nothing() {
    let cluster = Cluster::with_sidecars(restarting(), 1).await;
    let before = cluster.status()["sidecar"].clone();
    cluster.set(&json!({"paused": true, "image": "prometheus-mirror:2"}));
    for _ in 0..2 {
        cluster.reconciles().await;
    }
    assert_eq!(cluster.status()["sidecar"], before);
    assert_eq!(cluster.writes(), ["apply prometheusmirrors/shop/status"]);
}

#[tokio::test]
async fn pods_are_restarted_one_by_one_if_that_is_asked_for() {
    let cluster = Cluster::with_sidecars(restarting(), 2).await;
    cluster.set(&json!({"image": "prometheus-mirror:2"}));
    cluster.reconciles().await;
    let evictions = || {
        let mut writes = cluster.writes();
        writes.retain(|write| write.ends_with("/eviction"));
        writes
    };
    // The policy must know it first.
    assert_eq!(evictions(), [""; 0]);
    cluster.reconciles().await;
    assert_eq!(evictions(), ["create pods/prometheus-1/eviction"]);
    let event = "Normal Restarted Evicted Pod prometheus-1, which had no sidecar or an older one";
    let events = cluster.events();
    assert!(events.contains(&event.to_owned()), "{events:?}");
    cluster.reconciles().await;
    // It is gone, and the next one is not there yet.
    cluster.api.remove("pods/prometheus-1");
    cluster.reconciles().await;
    assert_eq!(evictions(), [""; 0]);
    cluster.labelled_pod(1);
    cluster.injected(1);
    cluster.reconciles().await;
    assert_eq!(evictions(), ["create pods/prometheus-0/eviction"]);
    cluster.api.remove("pods/prometheus-0");
    cluster.time_passes();
    cluster.reconciles().await;
    // All that are there have it, but one is missing.
    let said = "A pod is being restarted to get the current sidecar.";
    assert_eq!(current(&cluster), ["False", "SidecarOutdated", said]);
    cluster.labelled_pod(0);
    cluster.injected(0);
    for _ in 0..3 {
        cluster.reconciles().await;
        cluster.time_passes();
    }
    assert_eq!(
        (cluster.conditions()[0].as_str(), counts(&cluster)),
        ("Ready True Serving", [2; 4])
    );
    assert_eq!(evictions(), [""; 0]);
}

#[tokio::test]
async fn a_budget_that_allows_no_eviction_is_quoted_and_asked_again() {
    let cluster = Cluster::with_sidecars(restarting(), 2).await;
    let budget = "Cannot evict pod as it would violate the pod's disruption budget.";
    let refusal = Refusal::new(429, "TooManyRequests", budget);
    cluster
        .api
        .always_fails("create pods/prometheus-1/eviction", refusal);
    cluster.set(&json!({"image": "prometheus-mirror:2"}));
    for _ in 0..2 {
        cluster.reconciles().await;
    }
    let said = current(&cluster)[2].clone();
    assert!(
        said.ends_with(&format!("The next restart waits: {budget}")),
        "{said}"
    );
    assert_eq!(cluster.conditions()[0], "Ready True Serving");
    cluster.api.works_again();
    cluster.requests();
    cluster.reconciles().await;
    assert!(
        cluster
            .writes()
            .contains(&"create pods/prometheus-1/eviction".to_owned())
    );
}

#[tokio::test]
async fn nothing_is_restarted_while_its_owner_misses_pods() {
    let cluster = Cluster::with_sidecars(restarting(), 2).await;
    cluster.api.edit("statefulsets/prometheus", |set| {
        set["status"]["readyReplicas"] = json!(1)
    });
    cluster.set(&json!({"image": "prometheus-mirror:2"}));
    for _ in 0..3 {
        cluster.reconciles().await;
    }
    assert!(
        !cluster
            .writes()
            .iter()
            .any(|write| write.ends_with("/eviction"))
    );
    let said = current(&cluster)[2].clone();
    assert!(
        said.ends_with("The next restart waits: StatefulSet prometheus misses pods."),
        "{said}"
    );
}

#[tokio::test]
async fn without_the_request_nothing_is_ever_restarted() {
    let cluster = Cluster::with_sidecars(json!({}), 2).await;
    cluster.set(&json!({"image": "prometheus-mirror:2"}));
    for _ in 0..4 {
        cluster.reconciles().await;
        cluster.time_passes();
    }
    let writes = cluster.writes();
    assert!(
        !writes.iter().any(|write| write.ends_with("/eviction")),
        "{writes:?}"
    );
}

#[tokio::test]
async fn a_labelled_pod_is_noticed_at_once() {
    let cluster = Before::new(mode(json!({}))).run().await;
    let is = |reason: &'static str| {
        move |cluster: &Cluster| cluster.condition("Ready")["reason"] == reason
    };
    cluster.eventually(|| is("NoPods")(&cluster)).await;
    cluster.labelled_pod(0);
    cluster.eventually(|| is("SidecarMissing")(&cluster)).await;
    cluster.injected(0);
    let ready = || cluster.condition("Ready")["status"] == "True";
    cluster.eventually(ready).await;
    cluster.api.remove("pods/prometheus-0");
    cluster.eventually(|| is("NoPods")(&cluster)).await;
    assert!(cluster.api.get(&format!("deployments/{MIRROR}")).is_none());
    assert!(cluster.api.get(SHOP).is_some());
}
