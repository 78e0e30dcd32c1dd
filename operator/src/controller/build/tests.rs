use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::controller::dereference::{Dereferenced, KeyFacts};
use crate::controller::validate::tests::{found, object as resource};
use crate::controller::validate::{parse, validate};

pub(super) fn mirror(more: Value) -> ValidatedMirror {
    let mut spec = json!({
        "apiKeySecretRef": {"name": "mirror-key"},
        "targets": [{"name": "cluster", "url": "http://prometheus:9090"}],
    });
    merge::merge(&mut spec, more);
    let object = resource(spec);
    validate(&object, parse(&object).unwrap(), &found()).unwrap()
}

pub(super) fn defaults() -> Defaults {
    Defaults {
        image: "prometheus-mirror:1".to_owned(),
        image_pull_secrets: vec![],
        operator_namespace: "system".to_owned(),
        platform_assigns_users: false,
    }
}

fn built(more: Value) -> Vec<(Kind, Value)> {
    let children = build(&mirror(more), &defaults()).children;
    children
        .into_iter()
        .map(|child| (child.kind, child.manifest))
        .collect()
}

/// The only child of a kind.
fn child(kind: Kind, more: Value) -> Value {
    let mut found: Vec<_> = built(more)
        .into_iter()
        .filter(|(found, _)| *found == kind)
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0).1
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "namespace": "observability",
        "labels": {
            "app.kubernetes.io/name": "prometheus-mirror",
            "app.kubernetes.io/instance": "production",
            "app.kubernetes.io/managed-by": "prometheus-mirror-operator",
        },
        "ownerReferences": [{
            "apiVersion": "prometheus-mirror.io/v1alpha1", "kind": "PrometheusMirror", "name": "production", "uid": "u-1",
            "controller": true, "blockOwnerDeletion": true,
        }],
    })
}

fn selector() -> Value {
    json!({"app.kubernetes.io/name": "prometheus-mirror", "app.kubernetes.io/instance": "production"})
}

/// A spec that asks for every child.
fn everything() -> Value {
    json!({
        "replicas": 2, "port": 9800,
        "networkPolicy": {"allowedFrom": [{"podSelector": {"matchLabels": {"app": "stackstate"}}}]},
        "podDisruptionBudget": {},
        "autoscaling": {"minReplicas": 2, "maxReplicas": 5},
        "ingress": {"host": "mirror.example.org", "className": "nginx", "tlsSecretName": "certificate", "annotations": {"a": "b"}},
        "httpRoute": {"parentRefs": [{"name": "gateway", "namespace": "infra", "sectionName": "https"}], "hostnames": ["mirror.example.org"]},
        "monitor": {"interval": "30s", "labels": {"release": "prometheus", "app.kubernetes.io/managed-by": "me"}},
        "service": {"type": "LoadBalancer", "annotations": {"c": "d"}},
        "imagePullSecrets": [{"name": "registry"}],
    })
}

#[test]
fn only_what_is_asked_for_is_built() {
    let kinds = |more: Value| {
        built(more)
            .into_iter()
            .map(|(kind, _)| kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(json!({})),
        [
            Kind::ServiceAccount,
            Kind::ConfigMap,
            Kind::Service,
            Kind::Deployment
        ]
    );
    let mut all = Kind::ALL.to_vec();
    // The second Service is the one that is scraped.
    all.insert(3, Kind::Service);
    assert_eq!(kinds(everything()), all);
}

#[test]
fn kubernetes_types_know_every_field_of_every_child() {
    fn comes_back<K: DeserializeOwned + Serialize>(manifest: &Value) {
        let typed: K = serde_json::from_value(manifest.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), *manifest);
    }
    for (kind, manifest) in built(everything()) {
        match kind {
            Kind::ServiceAccount => comes_back::<ServiceAccount>(&manifest),
            Kind::ConfigMap => comes_back::<ConfigMap>(&manifest),
            Kind::Service => comes_back::<Service>(&manifest),
            Kind::NetworkPolicy => comes_back::<NetworkPolicy>(&manifest),
            Kind::Deployment => comes_back::<Deployment>(&manifest),
            Kind::PodDisruptionBudget => comes_back::<PodDisruptionBudget>(&manifest),
            Kind::HorizontalPodAutoscaler => comes_back::<HorizontalPodAutoscaler>(&manifest),
            Kind::Ingress => comes_back::<Ingress>(&manifest),
            // No types of these; the tests below have them whole.
            Kind::HttpRoute | Kind::ServiceMonitor => {}
        }
    }
}

#[test]
fn the_document_is_what_the_mirror_reads_and_nothing_else() {
    let document = |more: Value| build(&mirror(more), &defaults()).document;
    let plain = document(json!({}));
    let read: Value = serde_yaml::from_str(&plain.text).unwrap();
    assert_eq!(
        read,
        json!({
            "apiVersion": "prometheus-mirror.io/v1alpha1", "kind": "PrometheusMirror",
            "metadata": {"name": "production", "namespace": "observability"},
            "spec": {
                "apiKeySecretRef": {"name": "mirror-key", "key": "apiKey"},
                "targets": [{
                    "name": "cluster", "url": "http://prometheus:9090", "requestTimeout": "15s", "scrapeInterval": "15s",
                    "nanInterpretation": "Zero",
                }],
                "workers": 20, "port": 9900,
            },
        })
    );
    assert_eq!(crds::validate(&read), []);
    assert_eq!(
        document(
            json!({"replicas": 3, "image": "other", "podTemplate": {"metadata": {"labels": {"a": "b"}}}})
        ),
        plain
    );
    assert_ne!(document(json!({"workers": 21})).hash, plain.hash);
    let limits = json!({"memory": "400Mi", "upstreamCallsPerRequest": 100});
    let limited: Value = serde_yaml::from_str(&document(json!({"limits": limits})).text).unwrap();
    assert_eq!(limited["spec"]["limits"], limits);
}

#[test]
fn a_changed_secret_or_config_map_is_another_configuration_of_the_same_document() {
    let mut mirror = mirror(json!({}));
    let before = build(&mirror, &defaults());
    mirror
        .secret_versions
        .insert("mirror-key".to_owned(), "8".to_owned());
    let after = build(&mirror, &defaults());
    assert_eq!(after.document.hash, before.document.hash);
    assert_ne!(after.document.configuration, before.document.configuration);
    assert_eq!(after.children, before.children, "nothing rolls");
    let version = ("ca".to_owned(), "9".to_owned());
    mirror.config_map_versions.extend([version]);
    let again = build(&mirror, &defaults());
    assert_ne!(again.document.configuration, after.document.configuration);
    assert_eq!(again.children, after.children, "nothing rolls");
}

#[test]
fn certificates_and_credentials_are_mounted_key_by_key() {
    let target = json!({
        "name": "cluster", "url": "https://prometheus:9090",
        "tls": {
            "caConfigMapRef": {"name": "authorities", "key": "ca.crt"},
            "clientCertificateSecretRef": {"name": "client"},
        },
        "auth": {"basic": {
            "usernameSecretRef": {"name": "mirror-key", "key": "user"},
            "passwordSecretRef": {"name": "mirror-key", "key": "password"},
        }},
    });
    let mut spec = json!({"apiKeySecretRef": {"name": "mirror-key"}});
    spec["targets"] = json!([target]);
    let facts = |keys: &[&str]| {
        Some(KeyFacts {
            version: "7".to_owned(),
            immutable_since: None,
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        })
    };
    let secrets = [
        ("mirror-key", facts(&["apiKey", "user", "password"])),
        ("client", facts(&["tls.crt", "tls.key", "ca.crt"])),
    ];
    let found = Dereferenced {
        secrets: secrets.map(|(name, facts)| (name.to_owned(), facts)).into(),
        config_maps: [("authorities".to_owned(), facts(&["ca.crt"]))].into(),
        ..Dereferenced::default()
    };
    let object = resource(spec);
    let mirror = validate(&object, parse(&object).unwrap(), &found).unwrap();
    let deployment = build(&mirror, &defaults()).children;
    let deployment = deployment
        .into_iter()
        .find(|child| child.kind == Kind::Deployment)
        .unwrap();
    let item = |folder: &str, key: &str| json!({"key": key, "path": format!("{folder}/{key}")});
    assert_eq!(
        deployment.manifest["spec"]["template"]["spec"]["volumes"][0]["projected"]["sources"],
        json!([
            {"configMap": {"name": "production-mirror", "items": [{"key": "mirror.yaml", "path": "mirror.yaml"}]}},
            {"secret": {"name": "client", "items": [item("secrets/client", "tls.crt"), item("secrets/client", "tls.key")]}},
            {"secret": {"name": "mirror-key", "items": [
                item("secrets/mirror-key", "apiKey"), item("secrets/mirror-key", "password"), item("secrets/mirror-key", "user"),
            ]}},
            {"secret": {"name": "mirror-key", "optional": true, "items": [item("secrets/mirror-key", "previousApiKey")]}},
            {"configMap": {"name": "authorities", "items": [item("configmaps/authorities", "ca.crt")]}},
        ])
    );
}

#[test]
fn the_deployment_is_restricted_graceful_and_mounts_only_what_is_referred_to() {
    let probe = |path: &str, period: u32, failures: u32, timeout: u32| json!({"httpGet": {"path": path, "port": "admin"}, "periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": timeout});
    let spread = |key: &str| {
        json!({
            "topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector()}, "matchLabelKeys": ["pod-template-hash"],
        })
    };
    let expected = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": metadata("production-mirror"),
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": selector()},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "template": {
                "metadata": {"labels": metadata("")["labels"]},
                "spec": {
                    "serviceAccountName": "production-mirror",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": 45,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [{
                        "name": "mirror",
                        "image": "prometheus-mirror:1",
                        "args": ["serve"],
                        "env": [
                            {"name": "PROMETHEUS_MIRROR_FILE", "value": "/etc/prometheus-mirror/mirror.yaml"},
                            {"name": "PROMETHEUS_MIRROR_SECRETS_DIR", "value": "/etc/prometheus-mirror/secrets"},
                            {"name": "PROMETHEUS_MIRROR_LISTEN", "value": "[::]:9900"},
                            {"name": "PROMETHEUS_MIRROR_ADMIN_LISTEN", "value": "[::]:9901"},
                            {"name": "PROMETHEUS_MIRROR_DRAIN_DELAY", "value": "5s"},
                            {"name": "PROMETHEUS_MIRROR_DRAIN_TIMEOUT", "value": "30s"},
                            {"name": "PROMETHEUS_MIRROR_LOG_FORMAT", "value": "json"},
                        ],
                        "ports": [
                            {"name": "api", "containerPort": 9900, "protocol": "TCP"},
                            {"name": "admin", "containerPort": 9901, "protocol": "TCP"},
                        ],
                        "startupProbe": probe("/livez", 1, 60, 2),
                        "readinessProbe": probe("/readyz", 2, 2, 2),
                        "livenessProbe": probe("/livez", 10, 3, 5),
                        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
                        "securityContext": {
                            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                        },
                        "terminationMessagePolicy": "FallbackToLogsOnError",
                        "volumeMounts": [{"name": "configuration", "mountPath": "/etc/prometheus-mirror", "readOnly": true}],
                    }],
                    "volumes": [{"name": "configuration", "projected": {"defaultMode": 288, "sources": [
                        {"configMap": {"name": "production-mirror", "items": [{"key": "mirror.yaml", "path": "mirror.yaml"}]}},
                        {"secret": {"name": "mirror-key", "items": [{"key": "apiKey", "path": "secrets/mirror-key/apiKey"}]}},
                        {"secret": {"name": "mirror-key", "optional": true, "items": [
                            {"key": "previousApiKey", "path": "secrets/mirror-key/previousApiKey"},
                        ]}},
                    ]}}],
                    "topologySpreadConstraints": [spread("kubernetes.io/hostname"), spread("topology.kubernetes.io/zone")],
                },
            },
        },
    });
    assert_eq!(child(Kind::Deployment, json!({})), expected);
}

#[test]
fn a_pod_template_is_merged_over_but_cannot_lose_the_labels_that_pods_are_found_by() {
    let over = json!({"podTemplate": {
        "metadata": {"labels": {"team": "a", "app.kubernetes.io/instance": "x"}, "annotations": {"b": "c"}},
        "spec": {"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "mirror", "env": [{"name": "RUST_LOG", "value": "debug"}]}]},
    }});
    let mut expected = child(Kind::Deployment, json!({}));
    let template = &mut expected["spec"]["template"];
    template["metadata"]["labels"]["team"] = json!("a");
    template["metadata"]["annotations"] = json!({"b": "c"});
    template["spec"]["nodeSelector"] = json!({"disk": "ssd"});
    let env = template["spec"]["containers"][0]["env"]
        .as_array_mut()
        .unwrap();
    env.push(json!({"name": "RUST_LOG", "value": "debug"}));
    assert_eq!(child(Kind::Deployment, over), expected);
}

#[test]
fn an_autoscaler_takes_the_place_of_replicas() {
    let asked = json!({"replicas": 4, "autoscaling": {"minReplicas": 2, "maxReplicas": 5, "targetCPUUtilizationPercentage": 60}});
    assert_eq!(
        child(Kind::Deployment, asked.clone())["spec"].get("replicas"),
        None
    );
    assert_eq!(
        child(Kind::HorizontalPodAutoscaler, asked),
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata("production-mirror"),
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "production-mirror"},
                "minReplicas": 2, "maxReplicas": 5,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}],
            },
        })
    );
}

#[test]
fn a_network_policy_without_peers_lets_nobody_to_the_api() {
    let ingress = |more: Value| child(Kind::NetworkPolicy, more)["spec"]["ingress"].clone();
    let operator =
        json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "system"}}}]);
    let admin =
        |from: Value| json!({"from": from, "ports": [{"port": "admin", "protocol": "TCP"}]});
    assert_eq!(
        ingress(json!({"networkPolicy": {}})),
        json!([admin(operator.clone())])
    );
    let peer = json!({"ipBlock": {"cidr": "10.0.0.0/8"}});
    assert_eq!(
        ingress(json!({"networkPolicy": {"allowedFrom": [peer]}})),
        json!([admin(operator), {"from": [peer], "ports": [{"port": "api", "protocol": "TCP"}]}])
    );
    assert_eq!(
        ingress(json!({"networkPolicy": {}, "monitor": {}})),
        json!([admin(json!([{"namespaceSelector": {}}]))])
    );
}

#[test]
fn the_services_are_one_for_stackstate_and_one_for_scraping() {
    let services: Vec<_> = built(everything())
        .into_iter()
        .filter(|(kind, _)| *kind == Kind::Service)
        .map(|(_, service)| service)
        .collect();
    let mut api = metadata("production");
    api["annotations"] = json!({"c": "d"});
    let mut scraped = metadata("production-mirror-metrics");
    scraped["labels"]["app.kubernetes.io/component"] = json!("metrics");
    assert_eq!(
        services,
        [
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": api,
                "spec": {
                    "type": "LoadBalancer", "selector": selector(),
                    "ports": [{"name": "api", "port": 9800, "targetPort": "api", "protocol": "TCP"}],
                },
            }),
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": scraped,
                "spec": {
                    "clusterIP": "None", "selector": selector(),
                    "ports": [{"name": "admin", "port": 9901, "targetPort": "admin", "protocol": "TCP"}],
                },
            }),
        ]
    );
}

#[test]
fn no_name_of_a_child_is_longer_than_its_kind_takes() {
    for length in 1..=50 {
        let mut mirror = mirror(everything());
        mirror.name = "a".repeat(length);
        let children = build(&mirror, &defaults()).children;
        let names: std::collections::BTreeSet<_> = children
            .iter()
            .map(|child| (child.kind, child.name().to_owned()))
            .collect();
        assert_eq!(names.len(), children.len(), "{names:?}");
        for (kind, name) in names {
            assert!(name.len() <= 63, "{kind:?} {name}");
        }
    }
}

#[test]
fn where_the_platform_assigns_users_a_pod_names_none() {
    let of = |defaults: &Defaults| {
        let children = build(&mirror(json!({})), defaults).children;
        let found = children.into_iter().find(|it| it.kind == Kind::Deployment);
        found.unwrap().manifest
    };
    let mut expected = of(&defaults());
    let pod = &mut expected["spec"]["template"]["spec"];
    pod["securityContext"] =
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    pod["volumes"][0]["projected"]["defaultMode"] = json!(0o444);
    let assigned = Defaults {
        platform_assigns_users: true,
        ..defaults()
    };
    assert_eq!(of(&assigned), expected);
}

#[test]
fn what_is_removed_is_removed_before_the_template_is_merged() {
    let template = |more: Value| {
        let deployment = child(Kind::Deployment, more);
        deployment["spec"]["template"]["spec"].clone()
    };
    let mut expected = template(json!({}));
    let context = expected["securityContext"].as_object_mut().unwrap();
    context.remove("runAsUser");
    context.insert("runAsGroup".to_owned(), json!(7));
    expected["containers"][0]["resources"] = json!({"requests": {"cpu": "50m", "memory": "64Mi"}});
    let removed = template(json!({
        "podTemplateRemove": [
            "/spec/securityContext/runAsUser", "/spec/securityContext/runAsGroup",
            "/spec/containers/mirror/resources/limits", "/spec/hostNetwork",
        ],
        "podTemplate": {"spec": {"securityContext": {"runAsGroup": 7}}},
    }));
    assert_eq!(removed, expected);
}

#[test]
fn a_service_has_the_fields_that_were_asked_for_and_no_others() {
    let asked = json!({
        "type": "LoadBalancer", "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"],
        "loadBalancerClass": "example.com/internal", "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "externalTrafficPolicy": "Local",
    });
    let spec = |service: Value| child(Kind::Service, json!({"service": service}))["spec"].clone();
    let mut expected = json!({
        "selector": selector(),
        "ports": [{"name": "api", "port": 9900, "targetPort": "api", "protocol": "TCP"}],
    });
    merge::merge(&mut expected, asked.clone());
    assert_eq!(spec(asked), expected);
    let mut plain = expected.clone();
    plain
        .as_object_mut()
        .unwrap()
        .retain(|name, _| name == "selector" || name == "ports");
    plain["type"] = json!("ClusterIP");
    assert_eq!(spec(json!({})), plain);
}

#[test]
fn what_leads_in_from_outside_leads_to_the_service() {
    let mut of_ingress = metadata("production-mirror");
    of_ingress["annotations"] = json!({"a": "b"});
    assert_eq!(
        child(Kind::Ingress, everything()),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": of_ingress,
            "spec": {
                "ingressClassName": "nginx",
                "tls": [{"hosts": ["mirror.example.org"], "secretName": "certificate"}],
                "rules": [{"host": "mirror.example.org", "http": {"paths": [
                    {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "production", "port": {"name": "api"}}}},
                ]}}],
            },
        })
    );
    assert_eq!(
        child(Kind::HttpRoute, everything()),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata("production-mirror"),
            "spec": {
                "parentRefs": [{"name": "gateway", "namespace": "infra", "sectionName": "https"}],
                "hostnames": ["mirror.example.org"],
                "rules": [{"backendRefs": [{"name": "production", "port": 9800}]}],
            },
        })
    );
}

#[test]
fn a_service_monitor_has_the_labels_that_were_asked_for_and_stays_ours() {
    let mut labelled = metadata("production-mirror");
    labelled["labels"]["release"] = json!("prometheus");
    assert_eq!(
        child(Kind::ServiceMonitor, everything()),
        json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": labelled,
            "spec": {
                "selector": {"matchLabels": {"app.kubernetes.io/instance": "production", "app.kubernetes.io/component": "metrics"}},
                "endpoints": [{"port": "admin", "path": "/metrics", "interval": "30s"}],
            },
        })
    );
}

#[test]
fn a_disruption_budget_says_what_was_asked_or_one() {
    let spec = |asked: Value| {
        child(
            Kind::PodDisruptionBudget,
            json!({"podDisruptionBudget": asked}),
        )["spec"]
            .clone()
    };
    let expected = |field: &str, value: Value| {
        let mut spec = json!({"selector": {"matchLabels": selector()}, "unhealthyPodEvictionPolicy": "AlwaysAllow"});
        spec[field] = value;
        spec
    };
    assert_eq!(
        [
            spec(json!({})),
            spec(json!({"minAvailable": "50%"})),
            spec(json!({"maxUnavailable": 2}))
        ],
        [
            expected("maxUnavailable", json!(1)),
            expected("minAvailable", json!("50%")),
            expected("maxUnavailable", json!(2))
        ]
    );
}

#[test]
fn the_operators_pull_secrets_are_for_mirrors_without() {
    let defaults = Defaults {
        image_pull_secrets: vec!["login".to_owned()],
        ..defaults()
    };
    let secrets = |more: Value| {
        let children = build(&mirror(more), &defaults).children;
        let deployment = children.iter().find(|child| child.kind == Kind::Deployment);
        deployment.unwrap().manifest["spec"]["template"]["spec"]["imagePullSecrets"].clone()
    };
    assert_eq!(secrets(json!({})), json!([{"name": "login"}]));
    let own = json!({"imagePullSecrets": [{"name": "own"}]});
    assert_eq!(secrets(own.clone()), json!([{"name": "own"}]));
    let of_sidecar = |more: Value| Sidecar::of(&mirror(more), &defaults).pull_secrets;
    assert_eq!(
        [of_sidecar(json!({})), of_sidecar(own)],
        [["login"], ["own"]]
    );
}
