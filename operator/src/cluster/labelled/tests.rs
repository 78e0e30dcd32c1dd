use serde_json::Value;

use super::*;

fn read(pod: Value) -> LabelledPod {
    serde_json::from_value(pod).unwrap()
}

fn mirror(more: Value) -> Value {
    let mut container = json!({
        "name": SIDECAR_CONTAINER, "image": "registry/x/prometheus-mirror:1", "args": ["serve"],
        "env": [{"name": environment::FILE, "value": "/f"}],
        "ports": [{"name": "mirror-api", "containerPort": 9900}],
    });
    for (field, value) in more.as_object().unwrap() {
        container[field] = value.clone();
    }
    container
}

fn pod(containers: Value, first: Value, annotations: Value) -> LabelledPod {
    read(json!({
        "metadata": {"name": "p", "annotations": annotations},
        "spec": {"containers": containers, "initContainers": first},
    }))
}

fn plain(container: Value) -> Carried {
    pod(json!([container]), json!([]), json!({})).carried
}

#[test]
fn a_labelled_pod_says_what_it_carries_whose_it_is_and_where_it_answers() {
    let metadata = json!({
        "name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {labels::INJECT: "shop", "app": "prometheus"},
        "annotations": {annotations::SIDECAR: "h", annotations::CONFIGURATION: "c", "other": "o"},
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u-0"},
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "uid": "u-1", "controller": true},
        ],
    });
    let prometheus = json!({
        "name": "prometheus", "ports": [
            {"name": "web", "containerPort": 9090}, {"containerPort": 9900, "protocol": "UDP"},
        ],
    });
    let spec = json!({
        "containers": [prometheus], "initContainers": [mirror(json!({"restartPolicy": "Always"}))],
    });
    let status = json!({
        "phase": "Running", "podIP": "192.0.2.1",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"}],
        "initContainerStatuses": [{
            "name": SIDECAR_CONTAINER, "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}},
        }],
    });
    let found = read(json!({"metadata": metadata, "spec": spec, "status": status}));
    let made = "2026-01-01T00:00:00Z".parse().unwrap();
    let expected = LabelledPod {
        metadata: ObjectMeta {
            name: Some("p".to_owned()),
            namespace: Some("n".to_owned()),
            uid: Some("u".to_owned()),
            resource_version: Some("7".to_owned()),
            creation_timestamp: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(made)),
            ..ObjectMeta::default()
        },
        mirror: "shop".to_owned(),
        owner: Some(Owner {
            api_version: "apps/v1".to_owned(),
            kind: "StatefulSet".to_owned(),
            name: "s".to_owned(),
            uid: "u-1".to_owned(),
        }),
        carried: Carried::Injected("h".to_owned()),
        ports: vec![DeclaredPort {
            container: "prometheus".to_owned(),
            number: 9090,
        }],
        is_ready: true,
        vitals: Vitals {
            ready_since: Some("2026-01-01T00:00:01Z".parse().unwrap()),
            is_meshed: false,
            notified: Some("c".to_owned()),
            problem: Some(Problem::Waiting {
                reason: "ErrImagePull".to_owned(),
                message: "no".to_owned(),
            }),
        },
        beside: None,
        end: None,
        phase: Phase::Running,
        ip: Some("192.0.2.1".to_owned()),
    };
    assert_eq!(found, expected);
    assert_eq!(found.group(), Some("shop"));
    assert_eq!(
        (found.address(), found.made_at()),
        (Some("192.0.2.1"), Some(made))
    );
}

#[test]
fn only_a_container_that_stays_and_reads_a_document_is_a_mirror() {
    let init = |container: Value| pod(json!([]), json!([container]), json!({})).carried;
    let pasted = plain(mirror(json!({})));
    assert!(
        matches!(pasted, Carried::Pasted { hash: None, .. }),
        "{pasted:?}"
    );
    assert_eq!(init(mirror(json!({"restartPolicy": "Always"}))), pasted);
    assert_eq!(init(mirror(json!({}))), Carried::Foreign);
    assert_eq!(plain(mirror(json!({"env": []}))), Carried::Foreign);
    assert_eq!(plain(json!({"name": "other"})), Carried::Nothing);
    // Whoever copies the annotation of another pod has no sidecar.
    let annotations = json!({annotations::SIDECAR: "h"});
    let copied = pod(json!([]), json!([]), annotations).carried;
    assert_eq!(copied, Carried::Nothing);
}

#[test]
fn of_a_pasted_sidecar_image_arguments_and_settings_are_compared() {
    let same = plain(mirror(json!({})));
    let changed = |more: Value| plain(mirror(more)) != same;
    assert!(changed(json!({"image": "registry/x/prometheus-mirror:2"})));
    assert!(changed(json!({"args": ["serve", "-v"]})));
    let file = |value: &str| json!({"name": environment::FILE, "value": value});
    assert!(changed(json!({"env": [file("/g")]})));
    assert!(!changed(
        json!({"env": [{"name": "OTEL", "value": "x"}, file("/f")]})
    ));
    assert!(!changed(json!({"image": "inside/prometheus-mirror:1"})));
    assert!(!changed(
        json!({"resources": {"limits": {"memory": "1Gi"}}})
    ));
}

#[test]
fn what_was_pasted_is_told_from_what_a_policy_added() {
    let carried = |annotations: Value| {
        let first = mirror(json!({"restartPolicy": "Always"}));
        pod(json!([]), json!([first]), annotations).carried
    };
    let pasted = carried(json!({annotations::PASTED: "p"}));
    assert!(
        matches!(&pasted, Carried::Pasted { hash: Some(hash), .. } if hash == "p"),
        "{pasted:?}"
    );
    // A template with the label and without the container.
    let both = json!({annotations::PASTED: "p", annotations::SIDECAR: "h"});
    assert_eq!(carried(both), Carried::Injected("h".to_owned()));
}

#[test]
fn a_volume_of_the_sidecars_name_is_noticed() {
    let beside = |name: &str| {
        let spec = json!({"containers": [], "volumes": [{"name": name}]});
        read(json!({"metadata": {"name": "p"}, "spec": spec})).carried
    };
    assert_eq!(beside(SIDECAR_VOLUME), Carried::NothingBesideVolume);
    assert_eq!(beside("data"), Carried::Nothing);
}

#[test]
fn ports_that_a_mirror_needs_for_itself_collide() {
    let collides = |port: Value| {
        let container = json!({"name": "prometheus", "ports": [port]});
        let pod = pod(json!([container]), json!([]), json!({}));
        pod.ports.iter().any(|port| port.collides_with(9900))
    };
    assert!(collides(json!({"containerPort": 9900})));
    assert!(collides(json!({"containerPort": 9901})));
    assert!(!collides(json!({"containerPort": 80, "name": "api"})));
    assert!(!collides(json!({"containerPort": 9900, "protocol": "UDP"})));
    let own = pod(json!([mirror(json!({}))]), json!([]), json!({}));
    assert_eq!(own.ports, []);
}

#[test]
fn what_others_write_at_length_into_a_labelled_pod_is_bounded() {
    let ports: Vec<_> = (1..1000)
        .map(|port| json!({"containerPort": port}))
        .collect();
    let long = "ü".repeat(100_000);
    let annotations = json!({annotations::SIDECAR: long, annotations::CONFIGURATION: long});
    let containers = json!([mirror(json!({})), {"name": "other", "ports": ports}]);
    let pod = pod(containers, json!([]), annotations);
    let cut = "ü".repeat(1024);
    assert_eq!(
        (pod.ports.len(), pod.carried, pod.vitals.notified),
        (64, Carried::Injected(cut.clone()), Some(cut))
    );
}
