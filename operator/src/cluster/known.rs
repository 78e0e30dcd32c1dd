//! An object of which only its metadata is watched, in a few words: there may be any number of
//! Secrets and ConfigMaps in a cluster.

use kube::Resource;
use kube::api::PartialObjectMeta;
use kube::core::ObjectMeta;

use super::owner::controller;
use super::store::{Kept, Watched};

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    namespace: Box<str>,
    name: Box<str>,
    /// `metadata.uid`, where somebody asks for it; otherwise empty.
    pub uid: Box<str>,
    /// `metadata.resourceVersion`, where somebody asks for it; otherwise empty.
    pub version: Box<str>,
    /// The uid of its controller, where somebody asks for it.
    controller: Option<Box<str>>,
}

impl Kept for Known {
    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn name(&self) -> &str {
        &self.name
    }

    /// Its controller.
    fn group(&self) -> Option<&str> {
        self.controller.as_deref()
    }
}

impl From<&ObjectMeta> for Known {
    fn from(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: text(metadata.namespace.as_deref()),
            name: text(metadata.name.as_deref()),
            uid: text(metadata.uid.as_deref()),
            version: text(metadata.resource_version.as_deref()),
            controller: controller(metadata).map(Into::into),
        }
    }
}

impl<K> Watched for PartialObjectMeta<K>
where
    K: Resource + Clone + std::fmt::Debug + Send + Sync + 'static,
{
    type Kept = Known;

    fn kept(&self) -> Known {
        Known::from(&self.metadata)
    }
}

/// A text in no more memory than it needs, empty if there is none.
pub(super) fn text(text: Option<&str>) -> Box<str> {
    text.unwrap_or_default().into()
}
