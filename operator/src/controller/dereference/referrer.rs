//! Which objects of other namespaces a resource may know of.

use std::sync::Arc;

use crds::contract::annotations;
use kube::ResourceExt as _;

use crate::cluster::policy::CrossNamespace;
use crate::cluster::prometheus::PrometheusObject;
use crate::cluster::references::NamespacedName;
use crate::cluster::service::KnownService;

/// Who refers, and how far that may lead.
#[derive(Clone, Copy, Debug)]
pub struct Referrer<'a> {
    /// The resource's namespace.
    pub namespace: &'a str,
    /// What holds for objects of other namespaces.
    pub cross_namespace: CrossNamespace,
}

/// What may be open to other namespaces.
pub(super) trait Opened {
    /// The annotation that says to which.
    fn allow_from(&self) -> Option<&str>;
}

impl Opened for KnownService {
    fn allow_from(&self) -> Option<&str> {
        self.allow_from.as_deref()
    }
}

impl Opened for PrometheusObject {
    fn allow_from(&self) -> Option<&str> {
        let annotation = self.annotations().get(annotations::ALLOW_FROM);
        annotation.map(String::as_str)
    }
}

impl Referrer<'_> {
    /// Why an object of another namespace cannot be referred to. The words are the same whether the
    /// object does not exist or is not open to this namespace: a user who may create a resource
    /// must not learn from it what others have.
    fn closed(self, kind: &str, (namespace, name): &NamespacedName) -> String {
        if self.cross_namespace == CrossNamespace::Never {
            return format!(
                "{kind} objects of other namespaces cannot be used in this cluster (hint: write the url instead)"
            );
        }
        format!(
            "{kind} {namespace}/{name} does not exist, or is not open to namespace {own} (hint: its owner can open it, kubectl -n {namespace} annotate {command} {name} {annotation}={own}; or write its url instead)",
            own = self.namespace,
            annotation = annotations::ALLOW_FROM,
            command = kind.to_lowercase(),
        )
    }

    /// The object, if there is one and the referrer may know of it.
    pub(super) fn permitted<K: Opened>(
        self,
        kind: &str,
        at: &NamespacedName,
        there: Option<Arc<K>>,
    ) -> Result<Arc<K>, String> {
        let (namespace, name) = at;
        if namespace == self.namespace || self.cross_namespace == CrossNamespace::Always {
            return there
                .ok_or_else(|| format!("there is no {kind} {name} in namespace {namespace}"));
        }
        there
            .filter(|there| {
                self.cross_namespace
                    .allows(there.allow_from(), self.namespace)
            })
            .ok_or_else(|| self.closed(kind, at))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::{Value, json};

    use super::*;

    fn service(annotations: Value) -> Arc<KnownService> {
        let metadata = json!({"name": "db", "namespace": "finance", "annotations": annotations});
        let service = serde_json::from_value::<Service>(json!({ "metadata": metadata }));
        Arc::new(service.unwrap().into())
    }

    fn said(
        cross_namespace: CrossNamespace,
        at: (&str, &str),
        there: Option<Arc<KnownService>>,
    ) -> Result<(), String> {
        let from = Referrer {
            namespace: "team-a",
            cross_namespace,
        };
        let at = (at.0.to_owned(), at.1.to_owned());
        from.permitted("Service", &at, there).map(|_| ())
    }

    #[test]
    fn what_is_absent_and_what_is_closed_in_another_namespace_sound_the_same() {
        let at = ("finance", "db");
        let closed = [
            None,
            Some(service(json!({}))),
            Some(service(json!({annotations::ALLOW_FROM: "team-b"}))),
        ];
        let message = "Service finance/db does not exist, or is not open to namespace team-a (hint: its owner can open it, \
                       kubectl -n finance annotate service db prometheus-mirror.io/allow-from=team-a; or write its url instead)";
        for there in closed.clone() {
            let found = said(CrossNamespace::Annotated, at, there);
            assert_eq!(found, Err(message.to_owned()));
        }
        let opened = Some(service(json!({annotations::ALLOW_FROM: "team-b,team-a"})));
        assert_eq!(said(CrossNamespace::Annotated, at, opened.clone()), Ok(()));
        let message = "Service objects of other namespaces cannot be used in this cluster (hint: write the url instead)";
        for there in closed.into_iter().chain([opened]) {
            let found = said(CrossNamespace::Never, at, there);
            assert_eq!(found, Err(message.to_owned()));
        }
    }

    #[test]
    fn in_its_own_namespace_a_resource_learns_what_there_is_whatever_the_switch() {
        let own = ("team-a", "db");
        let absent = Err("there is no Service db in namespace team-a".to_owned());
        let other = Err("there is no Service db in namespace finance".to_owned());
        use CrossNamespace::{Always, Annotated, Never};
        for mode in [Never, Annotated, Always] {
            assert_eq!(said(mode, own, Some(service(json!({})))), Ok(()));
            assert_eq!(said(mode, own, None), absent);
        }
        assert_eq!(
            said(Always, ("finance", "db"), Some(service(json!({})))),
            Ok(())
        );
        assert_eq!(said(Always, ("finance", "db"), None), other);
    }
}
