//! Where the operator looks: everywhere, in selected namespaces, or in one.

use kube::api::Api;
use kube::{Client, Resource};

/// Where the operator looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every namespace.
    Cluster,
    /// In namespaces with matching labels; what their resources refer to may be anywhere.
    Selected(String),
    /// In one namespace only, with rights in that namespace only.
    Namespace(String),
}

impl Scope {
    pub(super) fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match self {
            Self::Cluster | Self::Selected(_) => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }

    pub(super) fn dynamic<K>(&self, client: &Client, resource: &K::DynamicType) -> Api<K>
    where
        K: Resource<Scope = kube::core::DynamicResourceScope>,
    {
        match self {
            Self::Cluster | Self::Selected(_) => Api::all_with(client.clone(), resource),
            Self::Namespace(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        }
    }

    /// The one namespace that it is limited to.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Cluster | Self::Selected(_) => None,
            Self::Namespace(own) => Some(own),
        }
    }

    /// Whether objects of `namespace` are seen.
    #[must_use]
    pub fn sees(&self, namespace: &str) -> bool {
        match self {
            Self::Cluster | Self::Selected(_) => true,
            Self::Namespace(own) => own == namespace,
        }
    }
}
