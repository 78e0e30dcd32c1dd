//! What a spec refers to, by object. Pure: from the spec to names.

use std::collections::{BTreeMap, BTreeSet};

use crds::{DataKind, ProjectedToken, PrometheusMirrorSpec, Replica, ServiceRef, Target};
use kube::ResourceExt as _;
use serde_json::json;

/// Namespace and name.
pub type NamespacedName = (String, String);

/// How an object is found.
#[must_use]
pub fn key(object: &impl kube::Resource) -> NamespacedName {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// The objects that a spec refers to, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Secrets of the resource's namespace.
    pub secrets: BTreeMap<String, Keys>,
    /// ConfigMaps of the resource's namespace.
    pub config_maps: BTreeMap<String, Keys>,
    /// Tokens of the pods' service account.
    pub tokens: BTreeSet<ProjectedToken>,
    /// Services of targets, with those of their replicas and shards.
    pub services: BTreeSet<NamespacedName>,
    /// Those of them whose pods are asked one by one.
    pub pods_of: BTreeSet<NamespacedName>,
    /// Prometheus objects of targets.
    pub prometheuses: BTreeSet<NamespacedName>,
}

/// The keys of a Secret or ConfigMap that a spec needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Each with the first field that names it.
    pub needed: BTreeMap<String, String>,
    /// Mounted if they exist.
    pub optional: BTreeSet<String>,
}

impl References {
    /// What `spec` of a resource in `namespace` refers to.
    #[must_use]
    pub fn of(spec: &PrometheusMirrorSpec, namespace: &str) -> Self {
        let mut references = Self::default();
        let document = json!(spec);
        references.tokens = crds::tokens(&document).into_values().collect();
        for reference in crds::references(&document) {
            let objects = match reference.kind {
                DataKind::Secret => &mut references.secrets,
                DataKind::ConfigMap => &mut references.config_maps,
            };
            let keys = objects.entry(reference.name).or_default();
            if reference.is_optional {
                keys.optional.insert(reference.key);
            } else {
                keys.needed.entry(reference.key).or_insert(reference.field);
            }
        }
        let at = |other: &Option<String>, name: &str| {
            let namespace = other.as_deref().unwrap_or(namespace);
            (namespace.to_owned(), name.to_owned())
        };
        for target in &spec.targets {
            for service in services(target) {
                let at = at(&service.namespace, &service.name);
                if service.pods.is_some() {
                    references.pods_of.insert(at.clone());
                }
                references.services.insert(at);
            }
            let prometheus = target.prometheus.as_ref();
            let prometheus = prometheus.map(|object| at(&object.namespace, &object.name));
            references.prometheuses.extend(prometheus);
        }
        references
    }

    /// The objects of a kind, and the keys of each.
    #[must_use]
    pub fn of_kind(&self, kind: DataKind) -> &BTreeMap<String, Keys> {
        match kind {
            DataKind::Secret => &self.secrets,
            DataKind::ConfigMap => &self.config_maps,
        }
    }
}

/// Every Service that a target names.
fn services(target: &Target) -> impl Iterator<Item = &ServiceRef> {
    let shards = target.shards.iter();
    let of_shards =
        shards.flat_map(|shard| shard.service.iter().chain(of_replicas(&shard.replicas)));
    let alone = target.service.iter();
    alone.chain(of_replicas(&target.replicas)).chain(of_shards)
}

fn of_replicas(replicas: &[Replica]) -> impl Iterator<Item = &ServiceRef> {
    replicas
        .iter()
        .filter_map(|replica| replica.service.as_ref())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_key_is_found_with_the_field_that_names_it() {
        let spec: PrometheusMirrorSpec = serde_json::from_value(json!({
            "apiKeySecretRef": {"name": "key"},
            "targets": [
                {"name": "a", "service": {"name": "prometheus", "port": "web"},
                 "auth": {"basic": {"usernameSecretRef": {"name": "login", "key": "user"}, "passwordSecretRef": {"name": "login", "key": "password"}}}},
                {"name": "b", "prometheus": {"name": "k8s", "namespace": "monitoring"},
                 "tls": {"clientCertificateSecretRef": {"name": "client"}, "caSecretRef": {"name": "ca", "key": "ca.pem"}}},
                {"name": "d", "replicas": [{"service": {"name": "a", "port": 1}}, {"url": "http://d"}]},
                {"name": "e", "shards": [
                    {"service": {"name": "b", "port": 1, "pods": "Replicas"}},
                    {"replicas": [{"service": {"name": "c", "port": 1}}]},
                ]},
                {"name": "c", "url": "https://c", "tls": {"caConfigMapRef": {"name": "kube-root-ca.crt", "key": "ca.crt"}},
                 "auth": {"bearer": {"serviceAccountToken": {"audience": "c"}}}},
            ],
            "server": {"tls": {"secretName": "certificate", "clientCaSecretName": "ca"}},
        }))
        .unwrap();
        let keys = |needed: &[(&str, &str)]| Keys {
            needed: needed
                .iter()
                .map(|(key, field)| ((*key).to_owned(), (*field).to_owned()))
                .collect(),
            optional: BTreeSet::new(),
        };
        let mut api_key = keys(&[("apiKey", "spec.apiKeySecretRef")]);
        api_key.optional.insert("previousApiKey".to_owned());
        let secrets = [
            ("key", api_key),
            (
                "login",
                keys(&[
                    ("user", "spec.targets[0].auth.basic.usernameSecretRef"),
                    ("password", "spec.targets[0].auth.basic.passwordSecretRef"),
                ]),
            ),
            (
                "client",
                keys(&[
                    ("tls.crt", "spec.targets[1].tls.clientCertificateSecretRef"),
                    ("tls.key", "spec.targets[1].tls.clientCertificateSecretRef"),
                ]),
            ),
            (
                "certificate",
                keys(&[
                    ("tls.crt", "spec.server.tls.secretName"),
                    ("tls.key", "spec.server.tls.secretName"),
                ]),
            ),
            (
                "ca",
                keys(&[
                    ("ca.crt", "spec.server.tls.clientCaSecretName"),
                    ("ca.pem", "spec.targets[1].tls.caSecretRef"),
                ]),
            ),
        ];
        let here = |name: &str| ("here".to_owned(), name.to_owned());
        let expected = References {
            secrets: secrets
                .into_iter()
                .map(|(name, keys)| (name.to_owned(), keys))
                .collect(),
            config_maps: [(
                "kube-root-ca.crt".to_owned(),
                keys(&[("ca.crt", "spec.targets[4].tls.caConfigMapRef")]),
            )]
            .into(),
            tokens: [ProjectedToken {
                audience: Some("c".to_owned()),
                expiration_seconds: 3600,
            }]
            .into(),
            services: ["prometheus", "a", "b", "c"].map(here).into(),
            pods_of: [here("b")].into(),
            prometheuses: [("monitoring".to_owned(), "k8s".to_owned())].into(),
        };
        assert_eq!(References::of(&spec, "here"), expected);
    }
}
