//! Step 2: the spec and what it refers to become a [`ValidatedMirror`], or the reason why they
//! cannot. Pure. The only place where a spec is refused.

use std::collections::BTreeMap;

use crds::{Fault, HttpUrl, Mode, PrometheusMirrorSpec, Scheme};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::dereference::{Dereferenced, KeyFacts, PrometheusFacts, ServiceFacts};
use crate::cluster::packed::{LARGEST, LARGEST_POD_TEMPLATE, Oversize};
use crate::cluster::policy::Policy;
use crate::cluster::references::{Keys, References};

/// A resource that can be built.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedMirror {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// The spec. Every target has a `url`; the references that led to it are gone.
    pub spec: PrometheusMirrorSpec,
    /// What the spec refers to.
    pub references: References,
    /// The version of each Secret, so that a change of one can be told to the pods.
    pub secret_versions: BTreeMap<String, String>,
    /// The version of each ConfigMap, for the same.
    pub config_map_versions: BTreeMap<String, String>,
}

/// Why a resource cannot be built. Only a change of it, or of what it refers to, can help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// In one word, for programs.
    pub reason: &'static str,
    /// For people: what is wrong, where, and what to do.
    pub message: String,
}

/// Refuses a resource that is larger than what the operator keeps.
///
/// # Errors
/// If something was left out of it.
pub fn check_size(oversize: Option<Oversize>) -> Result<(), Invalid> {
    let kib = |bytes: usize| bytes.div_ceil(1024);
    let message = match oversize {
        None => return Ok(()),
        Some(Oversize::Object(bytes)) => format!(
            "the resource must be at most {} KiB of JSON, is {} KiB (hint: shorten spec and annotations)",
            kib(LARGEST),
            kib(bytes)
        ),
        Some(Oversize::PodTemplate(bytes)) => format!(
            "spec.podTemplate: must be at most {} KiB of JSON, is {} KiB (hint: move what is long into a ConfigMap and mount it)",
            kib(LARGEST_POD_TEMPLATE),
            kib(bytes)
        ),
    };
    Err(Invalid {
        reason: "TooLarge",
        message,
    })
}

/// Refuses a spec that sets denied fields.
///
/// # Errors
/// All of the denied fields that it sets.
pub fn check_policy(policy: &Policy, spec: &PrometheusMirrorSpec) -> Result<(), Invalid> {
    let denied = policy.denied_by(spec);
    if denied.is_empty() {
        return Ok(());
    }
    Err(Invalid {
        reason: "FieldDenied",
        message: format!(
            "{}: denied in this cluster (hint: leave it out, or ask whoever runs the operator to take it from --deny-fields)",
            denied.join(", ")
        ),
    })
}

/// The resource as its type.
///
/// # Errors
/// Everything that the schema has against it. The API server has asked the same, but perhaps with
/// an older schema.
pub fn parse(object: &DynamicObject) -> Result<PrometheusMirrorSpec, Invalid> {
    let document = json!({
        "apiVersion": crds::API_VERSION,
        "kind": crds::KIND,
        "metadata": {"name": object.metadata.name, "namespace": object.metadata.namespace},
        "spec": object.data.get("spec").cloned().unwrap_or(Value::Null),
    });
    let mirror = crds::parse(&document).map_err(|faults| invalid("InvalidSpec", &faults))?;
    if mirror.spec.mode == Mode::Sidecar {
        let fault = Fault::new(
            "spec.mode",
            "Sidecar is not supported by this version of the operator",
        );
        return Err(invalid(
            "InvalidSpec",
            &[fault.hint("write Deployment, or leave it out")],
        ));
    }
    Ok(mirror.spec)
}

/// Checks what was found and resolves targets to URLs.
///
/// # Errors
/// Every reference that leads nowhere.
pub fn validate(
    object: &DynamicObject,
    mut spec: PrometheusMirrorSpec,
    found: &Dereferenced,
) -> Result<ValidatedMirror, Invalid> {
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let references = References::of(&spec, &namespace);
    let mut problems = Problems::default();
    let secrets = ["Secret", "SecretMissing", "SecretKeyMissing"];
    let secret_versions =
        problems.versions(secrets, &namespace, &references.secrets, &found.secrets);
    let config_maps = ["ConfigMap", "ConfigMapMissing", "ConfigMapKeyMissing"];
    let config_map_versions = problems.versions(
        config_maps,
        &namespace,
        &references.config_maps,
        &found.config_maps,
    );
    for (index, target) in spec.targets.iter_mut().enumerate() {
        let path = format!("spec.targets[{index}]");
        let here = |other: &Option<String>| other.clone().unwrap_or_else(|| namespace.clone());
        if let Some(service) = target.service.take() {
            let at = (here(&service.namespace), service.name.clone());
            let facts = found
                .services
                .get(&at)
                .cloned()
                .unwrap_or_else(|| Err("was not looked for".to_owned()));
            match facts.and_then(|facts| service_url(&service, &at.0, &facts)) {
                Ok(url) => target.url = Some(HttpUrl(url)),
                Err(message) => problems.add(
                    "ServiceMissing",
                    Fault::new(format!("{path}.service"), message),
                ),
            }
        }
        if let Some(prometheus) = target.prometheus.take() {
            let at = (here(&prometheus.namespace), prometheus.name.clone());
            match found.prometheuses.get(&at) {
                Some(Ok(facts)) => target.url = Some(HttpUrl(prometheus_url(facts, &at.0))),
                Some(Err(message)) => {
                    problems.add(
                        "PrometheusMissing",
                        Fault::new(format!("{path}.prometheus"), message.clone()),
                    );
                }
                None => {}
            }
        }
    }
    problems.none_or_invalid()?;
    Ok(ValidatedMirror {
        name: object.metadata.name.clone().unwrap_or_default(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        namespace,
        spec,
        references,
        secret_versions,
        config_map_versions,
    })
}

/// All problems; the first one's reason stands for them.
#[derive(Default)]
struct Problems {
    reason: Option<&'static str>,
    faults: Vec<Fault>,
}

impl Problems {
    fn add(&mut self, reason: &'static str, fault: Fault) {
        self.reason.get_or_insert(reason);
        self.faults.push(fault);
    }

    /// The versions of the objects of a kind, in which all keys must be.
    fn versions(
        &mut self,
        [kind, missing, key_missing]: [&'static str; 3],
        namespace: &str,
        needed: &BTreeMap<String, Keys>,
        found: &BTreeMap<String, Option<KeyFacts>>,
    ) -> BTreeMap<String, String> {
        let mut versions = BTreeMap::new();
        for (name, keys) in needed {
            let Some(Some(there)) = found.get(name) else {
                let field = keys.needed.values().next().map_or("spec", String::as_str);
                let message = format!("there is no {kind} {name} in namespace {namespace}");
                let fault = Fault::new(field, message);
                self.add(missing, fault.hint("create it, or name another one"));
                continue;
            };
            versions.insert(name.clone(), there.version.clone());
            for (key, field) in &keys.needed {
                if !there.keys.contains(key) {
                    let fault = Fault::new(field, format!("{kind} {name} has no key {key}"));
                    let hint = format!("its keys: {}", list(&there.keys));
                    self.add(key_missing, fault.hint(hint));
                }
            }
        }
        versions
    }

    fn none_or_invalid(self) -> Result<(), Invalid> {
        self.reason
            .map_or(Ok(()), |reason| Err(invalid(reason, &self.faults)))
    }
}

fn invalid(reason: &'static str, faults: &[Fault]) -> Invalid {
    /// A condition is no place for a hundred faults.
    const MOST: usize = 10;
    let mut lines: Vec<_> = faults.iter().take(MOST).map(Fault::to_string).collect();
    if faults.len() > MOST {
        lines.push(format!("and {} more", faults.len() - MOST));
    }
    Invalid {
        reason,
        message: lines.join("; "),
    }
}

fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.into_iter().take(10).map(String::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn service_url(
    reference: &crds::ServiceRef,
    namespace: &str,
    facts: &ServiceFacts,
) -> Result<String, String> {
    let name = &reference.name;
    let port = match &reference.port {
        IntOrString::Int(wanted) => facts.ports.iter().find(|(_, number)| number == wanted),
        IntOrString::String(wanted) => facts
            .ports
            .iter()
            .find(|(name, _)| name.as_deref() == Some(wanted)),
    };
    let Some((_, port)) = port else {
        let ports: Vec<_> = facts
            .ports
            .iter()
            .map(|(name, number)| {
                name.as_ref()
                    .map_or(number.to_string(), |name| format!("{name} ({number})"))
            })
            .collect();
        let wanted = match &reference.port {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(name) => name.clone(),
        };
        return Err(format!(
            "Service {namespace}/{name} has no port {wanted} (hint: its ports: {})",
            list(&ports)
        ));
    };
    let scheme = match reference.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let path = reference
        .path
        .as_deref()
        .unwrap_or_default()
        .trim_end_matches('/');
    Ok(format!("{scheme}://{name}.{namespace}.svc:{port}{path}"))
}

fn prometheus_url(facts: &PrometheusFacts, namespace: &str) -> String {
    let scheme = if facts.tls { "https" } else { "http" };
    let path = facts.route_prefix.trim_end_matches('/');
    format!("{scheme}://{}.{namespace}.svc:9090{path}", facts.service)
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::cluster::policy::Field;

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

    fn refused(spec: Value, found: &Dereferenced) -> (&'static str, String) {
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
            reason: "FieldDenied",
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
        assert_eq!(refused(spec, &found()), ("InvalidSpec", message.to_owned()));
    }

    #[test]
    fn missing_secrets_and_keys_are_named_with_what_is_there() {
        let spec = |name: &str, key: &str| json!({"apiKeySecretRef": {"name": name, "key": key}, "targets": [{"name": "a", "url": "http://a"}]});
        assert_eq!(
            [refused(spec("other", "apiKey"), &found()), refused(spec("mirror-key", "key"), &found())],
            [
                (
                    "SecretMissing",
                    "spec.apiKeySecretRef: there is no Secret other in namespace observability (hint: create it, or name another one)"
                        .to_owned()
                ),
                (
                    "SecretKeyMissing",
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
                "ConfigMapMissing",
                "spec.targets[0].tls.caConfigMapRef: there is no ConfigMap none in namespace observability (hint: create it, or name another one)"
                    .to_owned(),
            ),
            (
                "ConfigMapKeyMissing",
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
            Ok(ServiceFacts { ports }),
        );
        let facts = PrometheusFacts {
            service: "prometheus-operated".to_owned(),
            route_prefix: "/prom/".to_owned(),
            tls: true,
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
    fn references_that_lead_nowhere_are_all_told() {
        let mut found = found();
        let ports = vec![(Some("web".to_owned()), 9090)];
        found.services.insert(
            ("monitoring".to_owned(), "prometheus".to_owned()),
            Ok(ServiceFacts { ports }),
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
            ("ServiceMissing", expected.join("; "))
        );
    }
}
