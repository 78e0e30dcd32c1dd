//! The places that a sidecar can be pasted into, each with its own names for the same fields.

use clap::ValueEnum;
use crds::contract::{annotations, labels};
use serde_json::{Value, json};

use super::Pasted;

/// What to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// The item of a pod's initContainers, alone
    Container,
    /// For kubectl patch of a StatefulSet, Deployment or DaemonSet
    PodPatch,
    /// A patch of a kustomization, which names the workload in the patch's target
    Kustomize,
    /// For kubectl patch --type=merge of a Prometheus object
    Prometheus,
    /// Values of the chart prometheus-community/prometheus
    Values,
    /// Values of the chart prometheus-community/kube-prometheus-stack
    StackValues,
}

impl Form {
    /// YAML, with a comment that says where it belongs.
    pub(super) fn text(self, pasted: &Pasted) -> String {
        let value = self.value(pasted);
        // JSON is YAML, too: nothing is lost should the nicer form ever fail.
        let yaml = serde_yaml::to_string(&value).unwrap_or_else(|_| value.to_string());
        format!("{}{yaml}", self.comment(&pasted.name))
    }

    fn comment(self, mirror: &str) -> String {
        let what = format!("# The sidecar of PrometheusMirror {mirror}");
        match self {
            Self::Container => format!(
                "{what}, for a pod's initContainers. The pod also needs its volumes and label:\n\
                 # -o pod-patch prints them.\n"
            ),
            Self::PodPatch => {
                format!("{what}:\n#   kubectl patch statefulset NAME --patch-file FILE\n")
            }
            Self::Kustomize => {
                format!("{what}:\n#   patches: [{{path: FILE, target: {{kind: …, name: …}}}}]\n")
            }
            Self::Prometheus => format!(
                "{what}. The lists take the place of those that are there; add their items by hand.\n\
                 #   kubectl patch prometheus NAME --type=merge --patch-file FILE\n"
            ),
            Self::Values => format!(
                "{what}:\n#   helm upgrade RELEASE prometheus-community/prometheus --reuse-values --values FILE\n"
            ),
            Self::StackValues => format!(
                "{what}:\n#   helm upgrade RELEASE prometheus-community/kube-prometheus-stack --reuse-values \\\n\
                 #     --values FILE\n"
            ),
        }
    }

    fn value(self, pasted: &Pasted) -> Value {
        let sidecar = &pasted.sidecar;
        let label = json!({ labels::INJECT: pasted.name });
        // Lets the operator see when what was pasted is outdated. Not the annotation of the policy:
        // a restart would bring what was pasted back.
        let annotation = json!({ annotations::PASTED: sidecar.hash });
        let metadata = json!({ "labels": label, "annotations": annotation });
        let mut pod = json!({
            "initContainers": [sidecar.container],
            "volumes": sidecar.volumes,
        });
        let names = sidecar.pull_secrets.iter();
        let pull_secrets: Vec<_> = names.map(|name| json!({ "name": name })).collect();
        if !pull_secrets.is_empty() {
            pod["imagePullSecrets"] = json!(pull_secrets);
        }
        match self {
            Self::Container => sidecar.container.clone(),
            Self::PodPatch => {
                json!({ "spec": { "template": { "metadata": metadata, "spec": pod } } })
            }
            // Kustomize reads no patch without these, and goes by its target.
            Self::Kustomize => json!({
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": { "name": "prometheus" },
                "spec": { "template": { "metadata": metadata, "spec": pod } },
            }),
            Self::Prometheus => json!({ "spec": prometheus(metadata, pod) }),
            Self::StackValues => {
                json!({ "prometheus": { "prometheusSpec": prometheus(metadata, pod) } })
            }
            Self::Values => {
                let mut values = json!({ "server": {
                    "podLabels": label,
                    "podAnnotations": annotation,
                    "extraInitContainers": [sidecar.container],
                    "extraVolumes": sidecar.volumes,
                } });
                if !pull_secrets.is_empty() {
                    values["imagePullSecrets"] = json!(pull_secrets);
                }
                values
            }
        }
    }
}

/// The spec of a Prometheus object.
fn prometheus(metadata: Value, mut pod: Value) -> Value {
    pod["podMetadata"] = metadata;
    pod
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::build::Sidecar;

    fn pasted() -> Pasted {
        Pasted {
            name: "shop".to_owned(),
            sidecar: Sidecar {
                container: json!({"name": "prometheus-mirror"}),
                volumes: vec![json!({"name": "configuration"})],
                hash: "h".to_owned(),
                pull_secrets: vec!["registry".to_owned()],
            },
        }
    }

    #[test]
    fn each_place_has_its_own_names_for_the_same_fields() {
        let metadata = json!({
            "labels": {"prometheus-mirror.io/inject": "shop"},
            "annotations": {"prometheus-mirror.io/pasted-sidecar": "h"},
        });
        let pod = json!({
            "initContainers": [{"name": "prometheus-mirror"}],
            "volumes": [{"name": "configuration"}],
            "imagePullSecrets": [{"name": "registry"}],
        });
        let mut object = pod.clone();
        object["podMetadata"] = metadata.clone();
        let expected = [
            (Form::Container, pod["initContainers"][0].clone()),
            (
                Form::PodPatch,
                json!({"spec": {"template": {"metadata": metadata, "spec": pod}}}),
            ),
            (
                Form::Kustomize,
                json!({
                    "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "prometheus"},
                    "spec": {"template": {"metadata": metadata, "spec": pod}},
                }),
            ),
            (Form::Prometheus, json!({"spec": object})),
            (
                Form::StackValues,
                json!({"prometheus": {"prometheusSpec": object}}),
            ),
            (
                Form::Values,
                json!({
                    "imagePullSecrets": [{"name": "registry"}],
                    "server": {
                        "podLabels": {"prometheus-mirror.io/inject": "shop"},
                        "podAnnotations": {"prometheus-mirror.io/pasted-sidecar": "h"},
                        "extraInitContainers": [{"name": "prometheus-mirror"}],
                        "extraVolumes": [{"name": "configuration"}],
                    },
                }),
            ),
        ];
        for (form, expected) in expected {
            let text = form.text(&pasted());
            assert!(
                text.starts_with("# The sidecar of PrometheusMirror shop"),
                "{text}"
            );
            let read: Value = serde_yaml::from_str(&text).unwrap();
            assert_eq!(read, expected, "{form:?}");
        }
    }

    #[test]
    fn a_public_image_needs_no_pull_secrets() {
        let mut public = pasted();
        public.sidecar.pull_secrets.clear();
        for form in Form::value_variants() {
            assert!(!form.text(&public).contains("imagePullSecrets"), "{form:?}");
        }
    }
}
