//! What a run leaves behind, as one comparable value, and the comparison.
//!
//! A snapshot holds every object of the kinds that the operator and the Deployment make, whole, and
//! the resource with its status. Names that are new in each run are replaced by what they stand
//! for: the namespace by `NAMESPACE`, each uid by the object's name. Everything else that may
//! differ between two runs is in [`MASKS`]; nothing may be there that does not differ between clean
//! runs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::cluster::{CHILDREN, Cluster, GRANDCHILDREN, Kind, MIRROR};

/// Carried by what the harness itself puts into a namespace.
pub const FIXTURE_LABEL: &str = "fixture";

/// Objects by kind and name.
pub type Snapshot = BTreeMap<String, Value>;

/// Where two runs may differ: kind (or any), path with `*` for one segment, and why.
pub struct Mask {
    /// Empty: any.
    pub kind: &'static str,
    /// Segments between slashes.
    pub path: &'static str,
    /// Why it differs between clean runs.
    pub why: &'static str,
    /// Whether it may also be there in one of them only.
    pub optional: bool,
}

const fn mask(kind: &'static str, path: &'static str, why: &'static str) -> Mask {
    Mask {
        kind,
        path,
        why,
        optional: false,
    }
}

const fn optional(kind: &'static str, path: &'static str, why: &'static str) -> Mask {
    Mask {
        kind,
        path,
        why,
        optional: true,
    }
}

/// All of them.
pub const MASKS: &[Mask] = &[
    mask(
        "",
        "metadata/resourceVersion",
        "a number of the whole cluster",
    ),
    mask("", "metadata/creationTimestamp", "a time"),
    mask("", "metadata/managedFields/*/time", "a time"),
    mask(
        "",
        "metadata/annotations/prometheus-mirror.io|applied",
        "a hash over the owner's uid and fields that are compared themselves",
    ),
    optional(
        "",
        "metadata/annotations/prometheus-mirror.io|configuration",
        "a hash over the versions of Secrets, on pods only if it changed after they were made; pods are only ready if it is right, and that is compared",
    ),
    mask("Service", "spec/clusterIP", "the API server's choice"),
    mask("Service", "spec/clusterIPs/*", "the API server's choice"),
    mask(
        "Deployment",
        "status/conditions/*/lastTransitionTime",
        "a time",
    ),
    mask("Deployment", "status/conditions/*/lastUpdateTime", "a time"),
    mask(
        "PrometheusMirror",
        "status/conditions/*/lastTransitionTime",
        "a time",
    ),
    mask(
        "PrometheusMirror",
        "status/targets/*/lastProbeTime",
        "a time",
    ),
];

/// What counts how often something was changed, for trials in which it is changed more often than
/// in the reference run.
pub const HISTORY: &[Mask] = &[
    mask("", "metadata/generation", "counts changes"),
    mask("Deployment", "status/observedGeneration", "counts changes"),
    mask(
        "Deployment",
        "metadata/annotations/deployment.kubernetes.io|revision",
        "counts rollouts",
    ),
    mask(
        "ReplicaSet",
        "metadata/annotations/deployment.kubernetes.io|revision",
        "counts rollouts",
    ),
    optional(
        "ReplicaSet",
        "metadata/annotations/deployment.kubernetes.io|revision-history",
        "the Deployment controller's record of rollbacks",
    ),
    optional(
        "Deployment",
        "metadata/managedFields/*/fieldsV1/f:metadata/f:annotations/f:prometheus-mirror.io|configuration",
        "how often the configuration changed decides which of the operator's managers wrote it last",
    ),
    optional(
        "Deployment",
        "metadata/managedFields/prometheus-mirror-operator-configurationUpdate",
        "records that the configuration changed once; the configuration itself is compared",
    ),
    optional(
        "Deployment",
        "metadata/managedFields/prometheus-mirror-operator-configurationUpdate/time",
        "the time of that; absent if the configuration did not change",
    ),
    optional(
        "Deployment",
        "metadata/managedFields/prometheus-mirror-operator-replicasApply",
        "records that the number of replicas was once handed to an autoscaler; the number itself is compared",
    ),
    optional(
        "Deployment",
        "metadata/managedFields/prometheus-mirror-operator-replicasApply/time",
        "the time of that; absent if the number did not change",
    ),
    mask("PrometheusMirror", "status/sidecar/renderedAt", "a time"),
    mask(
        "PrometheusMirror",
        "status/observedGeneration",
        "counts changes",
    ),
    mask(
        "PrometheusMirror",
        "status/conditions/*/observedGeneration",
        "counts changes",
    ),
];

/// Two values in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `Kind name`
    pub object: String,
    /// Segments between slashes; empty if the object is there in one of them only.
    pub path: String,
    /// What the reference has, if anything.
    pub expected: Option<Value>,
    /// What there is instead, if anything.
    pub found: Option<Value>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |value: &Option<Value>| {
            let text = value
                .as_ref()
                .map_or("nothing".to_owned(), Value::to_string);
            text.chars().take(160).collect::<String>()
        };
        let Self { object, path, .. } = self;
        write!(
            formatter,
            "{object} {path}: {} instead of {}",
            short(&self.found),
            short(&self.expected)
        )
    }
}

/// Looks at a namespace.
///
/// # Errors
/// If a request fails.
pub async fn take(cluster: &Cluster, namespace: &str) -> Result<Snapshot> {
    let all = CHILDREN.into_iter().chain(GRANDCHILDREN).chain([MIRROR]);
    take_kinds(cluster, namespace, all).await
}

/// Looks at the resources of a namespace alone: one request instead of one a kind, for whoever only
/// waits for a change.
///
/// # Errors
/// If the request fails.
pub async fn take_mirrors(cluster: &Cluster, namespace: &str) -> Result<Snapshot> {
    take_kinds(cluster, namespace, [MIRROR]).await
}

/// Of a snapshot what [`take_mirrors`] would have found.
#[must_use]
pub fn mirrors(snapshot: &Snapshot) -> Snapshot {
    let of_mirrors = |name: &str| name.split(' ').next() == Some(MIRROR.2);
    let mirrors = snapshot.iter().filter(|(name, _)| of_mirrors(name));
    mirrors
        .map(|(name, object)| (name.clone(), object.clone()))
        .collect()
}

async fn take_kinds(
    cluster: &Cluster,
    namespace: &str,
    kinds: impl IntoIterator<Item = Kind>,
) -> Result<Snapshot> {
    let lists = kinds.into_iter().map(async |kind| {
        let found = cluster.list(kind, namespace).await?;
        Ok::<_, anyhow::Error>(found.into_iter().map(move |object| (kind, object)))
    });
    let lists = futures::future::try_join_all(lists).await?;
    Ok(comparable(lists.into_iter().flatten().collect(), namespace))
}

/// Whether Kubernetes or the harness put it there.
fn is_foreign(kind: Kind, object: &DynamicObject) -> bool {
    object.labels().contains_key(FIXTURE_LABEL)
        || (kind.2 == "ServiceAccount" && object.name_any() == "default")
        || (kind.2 == "ConfigMap" && object.name_any() == "kube-root-ca.crt")
}

fn comparable(objects: Vec<(Kind, DynamicObject)>, namespace: &str) -> Snapshot {
    let mut stand_ins = vec![(namespace.to_owned(), "NAMESPACE".to_owned())];
    for (kind, object) in &objects {
        if let Some(uid) = &object.metadata.uid {
            let name = if kind.2 == "Pod" {
                String::new()
            } else {
                object.name_any()
            };
            stand_ins.push((uid.clone(), format!("uid of {} {name}", kind.2)));
        }
    }
    let mut pods = Vec::new();
    let mut snapshot = Snapshot::new();
    for (kind, object) in objects {
        if is_foreign(kind, &object) {
            continue;
        }
        let mut text = json!(object).to_string();
        for (found, meaning) in &stand_ins {
            text = text.replace(found, meaning);
        }
        // It was JSON before names in it were replaced by names.
        let mut value: Value = serde_json::from_str(&text).unwrap_or_default();
        tidy(kind, &mut value);
        if kind.2 == "Pod" {
            pods.push(value);
        } else {
            snapshot.insert(format!("{} {}", kind.2, object.name_any()), value);
        }
    }
    // Their names are made up; one with the same content is the same.
    pods.sort_by_key(|pod| {
        json!([
            pod["metadata"]["labels"],
            pod["metadata"]["annotations"],
            pod["metadata"]["deletionTimestamp"]
        ])
        .to_string()
    });
    for (number, pod) in pods.into_iter().enumerate() {
        snapshot.insert(format!("Pod {number}"), pod);
    }
    snapshot
}

/// Leaves out what other programs write and the operator neither writes nor reads.
fn tidy(kind: Kind, object: &mut Value) {
    let fields = &mut object["metadata"]["managedFields"];
    let ours = fields.as_array().into_iter().flatten().filter(|entry| {
        entry["manager"]
            .as_str()
            .is_some_and(|manager| manager.starts_with("prometheus-mirror-operator"))
    });
    *fields = ours.cloned().collect();
    let Some(all) = object.as_object_mut() else {
        return;
    };
    match kind.2 {
        "PrometheusMirror" | "Deployment" => {}
        "Pod" => {
            all.retain(|field, _| ["metadata", "spec"].contains(&field.as_str()));
            // The scheduler's choice.
            if let Some(spec) = all["spec"].as_object_mut() {
                spec.remove("nodeName");
            }
            if let Some(metadata) = all["metadata"].as_object_mut() {
                metadata.retain(|field, _| {
                    [
                        "labels",
                        "annotations",
                        "ownerReferences",
                        "deletionTimestamp",
                    ]
                    .contains(&field.as_str())
                });
                // Without any it is left out. One that is missing is to be found by its own name.
                metadata.entry("annotations").or_insert_with(|| json!({}));
            }
        }
        _ => {
            all.remove("status");
        }
    }
}

/// All differences, masked or not.
#[must_use]
pub fn differences(expected: &Snapshot, found: &Snapshot) -> Vec<Difference> {
    let names: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let mut differences = Vec::new();
    for name in names {
        compare(
            name,
            "",
            expected.get(name),
            found.get(name),
            &mut differences,
        );
    }
    differences
}

/// How two snapshots are compared.
#[derive(Clone, Copy)]
pub struct Comparison {
    /// What may differ besides [`MASKS`].
    pub more: &'static [Mask],
    /// Whether ReplicaSets without pods count, which only tell of the past.
    pub past: bool,
    /// Whether only what the operator writes counts, and no status.
    pub written_only: bool,
}

impl Comparison {
    /// After the same changes in the same order.
    pub const EXACT: Self = Self {
        more: &[],
        past: true,
        written_only: false,
    };
    /// After children were changed or deleted by others, or the resource got there on another way.
    pub const STATE: Self = Self {
        more: HISTORY,
        past: false,
        written_only: false,
    };
    /// The same before pods and their controllers have followed.
    pub const WRITTEN: Self = Self {
        more: HISTORY,
        past: false,
        written_only: true,
    };

    /// The differences that no mask explains.
    #[must_use]
    pub fn differences(&self, expected: &Snapshot, found: &Snapshot) -> Vec<Difference> {
        let mut all = differences(&self.relevant(expected), &self.relevant(found));
        all.retain(|difference| {
            !MASKS
                .iter()
                .chain(self.more)
                .any(|mask| mask.hides(difference))
        });
        all
    }

    fn relevant(&self, snapshot: &Snapshot) -> Snapshot {
        let mut relevant = snapshot.clone();
        relevant.retain(|name, object| {
            let kind = name.split(' ').next().unwrap_or_default();
            let past = kind == "ReplicaSet" && object["spec"]["replicas"] == 0;
            let followed = ["ReplicaSet", "Pod", "PrometheusMirror"].contains(&kind);
            (self.past || !past) && !(self.written_only && followed)
        });
        if self.written_only {
            for object in relevant.values_mut() {
                object["status"] = Value::Null;
            }
        }
        relevant
    }
}

impl Mask {
    /// Whether this is why two runs differ there. What is missing altogether is not hidden, unless
    /// the mask says so.
    #[must_use]
    pub fn hides(&self, difference: &Difference) -> bool {
        let kind = difference.object.split(' ').next().unwrap_or_default();
        let same_path = || {
            let (ours, theirs) = (self.path.split('/'), difference.path.split('/'));
            ours.clone().count() == theirs.clone().count()
                && ours
                    .zip(theirs)
                    .all(|(ours, theirs)| ours == "*" || ours == theirs)
        };
        (self.kind.is_empty() || self.kind == kind)
            && (self.optional || difference.expected.is_some() == difference.found.is_some())
            && same_path()
    }
}

fn compare(
    object: &str,
    path: &str,
    expected: Option<&Value>,
    found: Option<&Value>,
    differences: &mut Vec<Difference>,
) {
    let children = |value: Option<&Value>| -> Option<BTreeMap<String, Value>> {
        match value? {
            Value::Object(fields) => Some(
                fields
                    .iter()
                    .map(|(name, value)| (name.replace('/', "|"), value.clone()))
                    .collect(),
            ),
            Value::Array(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| (item_name(index, item), item.clone()))
                    .collect(),
            ),
            _ => None,
        }
    };
    match (children(expected), children(found)) {
        (Some(expected), Some(found)) => {
            let names: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
            for name in names {
                let path = match path {
                    "" => name.clone(),
                    _ => format!("{path}/{name}"),
                };
                compare(
                    object,
                    &path,
                    expected.get(name),
                    found.get(name),
                    differences,
                );
            }
        }
        _ if expected == found => {}
        _ => differences.push(Difference {
            object: object.to_owned(),
            path: path.to_owned(),
            expected: expected.cloned(),
            found: found.cloned(),
        }),
    }
}

/// Items of Kubernetes' lists have names.
fn item_name(index: usize, item: &Value) -> String {
    let named = ["type", "name", "manager"]
        .iter()
        .find_map(|key| item[key].as_str());
    named.map_or_else(
        || index.to_string(),
        |name| {
            let more = ["operation", "subresource", "mountPath", "ip"]
                .map(|key| item[key].as_str().unwrap_or_default());
            format!("{name}{}", more.concat()).replace('/', "|")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::kind;

    fn object(name: &str, uid: &str, namespace: &str) -> (Kind, DynamicObject) {
        let time = format!("2026-01-01T00:00:0{}Z", &uid[2..]);
        let value = json!({
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": time,
                "managedFields": [{"manager": "prometheus-mirror-operator", "time": time}, {"manager": "somebody"}]},
            "spec": {"ports": [{"name": "api", "port": 9900}], "clusterIP": time, "host": format!("a.{namespace}.svc")},
            "status": {"loadBalancer": {}},
        });
        (
            kind("Service").unwrap(),
            serde_json::from_value(value).unwrap(),
        )
    }

    #[test]
    fn two_clean_runs_differ_only_where_masks_say() {
        let one = comparable(vec![object("a", "u-1", "n-1")], "n-1");
        let other = comparable(vec![object("a", "u-2", "n-2")], "n-2");
        let paths: Vec<_> = differences(&one, &other)
            .into_iter()
            .map(|difference| difference.path)
            .collect();
        assert_eq!(
            paths,
            [
                "metadata/managedFields/prometheus-mirror-operator/time",
                "metadata/resourceVersion",
                "spec/clusterIP"
            ]
        );
        assert_eq!(Comparison::EXACT.differences(&one, &other), []);
    }

    #[test]
    fn a_pod_may_have_been_notified_or_made_later_but_carries_nothing_else() {
        let pod = |annotations: Value| {
            let metadata = json!({"name": "a", "annotations": annotations});
            let pod = json!({"metadata": metadata, "spec": {}});
            let pod = (kind("Pod").unwrap(), serde_json::from_value(pod).unwrap());
            comparable(vec![pod], "n-1")
        };
        let notified = pod(json!({"prometheus-mirror.io/configuration": "hash"}));
        let made_later = pod(json!(null));
        for (one, other) in [(&notified, &made_later), (&made_later, &notified)] {
            assert_eq!(Comparison::EXACT.differences(one, other), []);
        }
        let changed = pod(json!({"another": "one"}));
        let found = Comparison::EXACT.differences(&made_later, &changed);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        let said = r#"Pod 0 metadata/annotations/another: "one" instead of nothing"#;
        assert_eq!(found, [said]);
    }

    fn service(snapshot: &mut Snapshot) -> &mut Value {
        snapshot.get_mut("Service a").unwrap()
    }

    #[test]
    fn a_changed_missing_or_additional_field_or_object_is_a_difference() {
        let reference = comparable(vec![object("a", "u-1", "n-1")], "n-1");
        let differs = |edit: fn(&mut Snapshot)| {
            let mut edited = reference.clone();
            edit(&mut edited);
            let found = Comparison::EXACT.differences(&reference, &edited);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        type Edit = fn(&mut Snapshot);
        let table: [(Edit, &str); 4] = [
            (
                |s| service(s)["spec"]["ports"][0]["port"] = json!(1),
                "Service a spec/ports/api/port: 1 instead of 9900",
            ),
            (
                |s| {
                    drop(
                        service(s)["spec"]
                            .as_object_mut()
                            .unwrap()
                            .remove("clusterIP"),
                    )
                },
                r#"Service a spec/clusterIP: nothing instead of "2026-01-01T00:00:01Z""#,
            ),
            (
                |s| service(s)["spec"]["more"] = json!(true),
                "Service a spec/more: true instead of nothing",
            ),
            (
                |s| drop(s.insert("Pod 0".to_owned(), json!(1))),
                "Pod 0 : 1 instead of nothing",
            ),
        ];
        for (edit, expected) in table {
            assert_eq!(differs(edit), [expected]);
        }
    }
}
