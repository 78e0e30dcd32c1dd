//! What a spec refers to. Pure: from the spec to names.

use std::collections::{BTreeMap, BTreeSet};

use crds::{ApiKeyRef, ConfigMapKeyRef, PrometheusMirrorSpec, SecretKeyRef};
use kube::ResourceExt as _;

/// Beside the API key while it is being replaced; it may be absent.
pub const PREVIOUS_API_KEY: &str = "previousApiKey";

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
    /// Services of targets.
    pub services: BTreeSet<NamespacedName>,
    /// Prometheus objects of targets.
    pub prometheuses: BTreeSet<NamespacedName>,
}

/// The keys of a Secret or ConfigMap that a spec needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Each with the field that names it.
    pub needed: BTreeMap<String, String>,
    /// Mounted if they are there.
    pub optional: BTreeSet<String>,
}

impl References {
    /// What `spec` of a resource in `namespace` refers to.
    #[must_use]
    pub fn of(spec: &PrometheusMirrorSpec, namespace: &str) -> Self {
        let mut references = Self::default();
        let ApiKeyRef { name, key } = &spec.api_key_secret_ref;
        references.need(name, key, "spec.apiKeySecretRef".to_owned());
        let keys = references.secrets.entry(name.clone()).or_default();
        keys.optional.insert(PREVIOUS_API_KEY.to_owned());

        if let Some(tls) = spec.server.as_ref().and_then(|server| server.tls.as_ref()) {
            for key in ["tls.crt", "tls.key"] {
                references.need(
                    &tls.secret_name,
                    key,
                    "spec.server.tls.secretName".to_owned(),
                );
            }
            if let Some(authorities) = &tls.client_ca_secret_name {
                references.need(
                    authorities,
                    "ca.crt",
                    "spec.server.tls.clientCaSecretName".to_owned(),
                );
            }
        }
        for (index, target) in spec.targets.iter().enumerate() {
            let path = format!("spec.targets[{index}]");
            let here =
                |other: &Option<String>| other.clone().unwrap_or_else(|| namespace.to_owned());
            if let Some(service) = &target.service {
                references
                    .services
                    .insert((here(&service.namespace), service.name.clone()));
            }
            if let Some(prometheus) = &target.prometheus {
                references
                    .prometheuses
                    .insert((here(&prometheus.namespace), prometheus.name.clone()));
            }
            references.need_credentials(target, &path);
        }
        references
    }

    fn need_credentials(&mut self, target: &crds::Target, path: &str) {
        let auth = target.auth.clone().unwrap_or_default();
        let mut needed: Vec<(Option<SecretKeyRef>, &str)> = Vec::new();
        if let Some(basic) = auth.basic {
            needed.push((
                Some(basic.username_secret_ref),
                "auth.basic.usernameSecretRef",
            ));
            needed.push((
                Some(basic.password_secret_ref),
                "auth.basic.passwordSecretRef",
            ));
        }
        if let Some(bearer) = auth.bearer {
            needed.push((Some(bearer.token_secret_ref), "auth.bearer.tokenSecretRef"));
        }
        if let Some(oauth2) = auth.oauth2 {
            needed.push((
                Some(oauth2.client_id_secret_ref),
                "auth.oauth2.clientIdSecretRef",
            ));
            needed.push((
                Some(oauth2.client_secret_secret_ref),
                "auth.oauth2.clientSecretSecretRef",
            ));
        }
        if let Some(aws) = auth.sig_v4 {
            needed.push((
                aws.access_key_id_secret_ref,
                "auth.sigV4.accessKeyIdSecretRef",
            ));
            needed.push((
                aws.secret_access_key_secret_ref,
                "auth.sigV4.secretAccessKeySecretRef",
            ));
        }
        if let Some(tls) = &target.tls {
            needed.push((tls.ca_secret_ref.clone(), "tls.caSecretRef"));
            if let Some(ConfigMapKeyRef { name, key }) = &tls.ca_config_map_ref {
                let keys = self.config_maps.entry(name.clone()).or_default();
                keys.need(key, format!("{path}.tls.caConfigMapRef"));
            }
            if let Some(certificate) = &tls.client_certificate_secret_ref {
                for key in ["tls.crt", "tls.key"] {
                    self.need(
                        &certificate.name,
                        key,
                        format!("{path}.tls.clientCertificateSecretRef"),
                    );
                }
            }
        }
        for (reference, field) in needed {
            if let Some(SecretKeyRef { name, key }) = reference {
                self.need(&name, &key, format!("{path}.{field}"));
            }
        }
    }

    fn need(&mut self, secret: &str, key: &str, field: String) {
        let keys = self.secrets.entry(secret.to_owned()).or_default();
        keys.need(key, field);
    }
}

impl Keys {
    /// The first field that names a key is the one that a message mentions.
    fn need(&mut self, key: &str, field: String) {
        self.needed.entry(key.to_owned()).or_insert(field);
    }
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
                {"name": "c", "url": "https://c", "tls": {"caConfigMapRef": {"name": "kube-root-ca.crt", "key": "ca.crt"}}},
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
        let expected = References {
            secrets: secrets
                .into_iter()
                .map(|(name, keys)| (name.to_owned(), keys))
                .collect(),
            config_maps: [(
                "kube-root-ca.crt".to_owned(),
                keys(&[("ca.crt", "spec.targets[2].tls.caConfigMapRef")]),
            )]
            .into(),
            services: [("here".to_owned(), "prometheus".to_owned())].into(),
            prometheuses: [("monitoring".to_owned(), "k8s".to_owned())].into(),
        };
        assert_eq!(References::of(&spec, "here"), expected);
    }
}
