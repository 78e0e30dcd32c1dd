use k8s_openapi::api::core::v1::{Container, Volume};

use super::super::tests::{defaults, mirror};
use super::*;

fn sidecar(more: Value) -> Sidecar {
    Sidecar::of(&mirror(more), &defaults())
}

#[test]
fn a_sidecar_is_restricted_and_holds_up_nothing() {
    let expected = json!({
        "name": "prometheus-mirror",
        "image": "prometheus-mirror:1",
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "args": ["serve"],
        "env": [
            {"name": "PROMETHEUS_MIRROR_FILE", "value": "/etc/prometheus-mirror/mirror.yaml"},
            {"name": "PROMETHEUS_MIRROR_SECRETS_DIR", "value": "/etc/prometheus-mirror/secrets"},
            {"name": "PROMETHEUS_MIRROR_LISTEN", "value": "[::]:9900"},
            {"name": "PROMETHEUS_MIRROR_ADMIN_LISTEN", "value": "[::]:9901"},
            {"name": "PROMETHEUS_MIRROR_DRAIN_DELAY", "value": "5s"},
            {"name": "PROMETHEUS_MIRROR_DRAIN_TIMEOUT", "value": "30s"},
            {"name": "PROMETHEUS_MIRROR_LOG_FORMAT", "value": "json"},
            {"name": "PROMETHEUS_MIRROR_WAIT_FOR_DOCUMENT", "value": "true"},
        ],
        "ports": [
            {"name": "mirror-api", "containerPort": 9900, "protocol": "TCP"},
            {"name": "mirror-admin", "containerPort": 9901, "protocol": "TCP"},
        ],
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": "mirror-admin"},
            "periodSeconds": 10, "failureThreshold": 3, "timeoutSeconds": 5,
        },
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{
            "name": "prometheus-mirror-configuration", "mountPath": "/etc/prometheus-mirror", "readOnly": true,
        }],
    });
    let rendered = sidecar(json!({}));
    assert_eq!(rendered.container, expected);
    let typed: Container = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!(json!(typed), expected);
}

#[test]
fn everything_that_a_sidecar_mounts_may_be_missing() {
    let expected = json!([{"name": "prometheus-mirror-configuration", "projected": {"defaultMode": 0o444, "sources": [
        {"configMap": {
            "name": "production-mirror", "optional": true, "items": [{"key": "mirror.yaml", "path": "mirror.yaml"}],
        }},
        {"secret": {
            "name": "mirror-key", "optional": true, "items": [{"key": "apiKey", "path": "secrets/mirror-key/apiKey"}],
        }},
        {"secret": {"name": "mirror-key", "optional": true, "items": [
            {"key": "previousApiKey", "path": "secrets/mirror-key/previousApiKey"},
        ]}},
    ]}}]);
    let rendered = sidecar(json!({}));
    assert_eq!(json!(rendered.volumes), expected);
    let typed: Vec<Volume> = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!(json!(typed), expected);
}

#[test]
fn only_what_new_pods_would_get_changes_the_hash() {
    let hash = |more: Value| sidecar(more).hash;
    let plain = hash(json!({}));
    assert_eq!(plain.len(), 64);
    // The mirror reads these from its document.
    for same in [
        json!({"workers": 5}),
        json!({"limits": {"memory": "100Mi"}}),
    ] {
        assert_eq!(hash(same.clone()), plain, "{same}");
    }
    let resources = json!({"limits": {"memory": "100Mi"}});
    for other in [
        json!({"image": "prometheus-mirror:2"}),
        json!({"port": 9800}),
        json!({"resources": resources}),
    ] {
        assert_ne!(hash(other.clone()), plain, "{other}");
    }
}
