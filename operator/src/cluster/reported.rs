//! An object as a watch reports it where only a part is kept: the part, and of the metadata what
//! kube looks at.

use std::borrow::Cow;
use std::fmt::Debug;

use kube::Resource;
use kube::core::{NamespaceResourceScope, ObjectMeta};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::store::{Kept, Watched};

/// What is kept of an object of a kind.
pub trait Part: Kept + Clone + Debug + From<Self::Whole> {
    /// The object as the API server describes it.
    type Whole: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned;
}

/// An object as a watch reports it.
#[derive(Clone, Debug)]
pub struct Reported<T> {
    metadata: ObjectMeta,
    /// What is kept of it.
    pub part: T,
}

impl<'de, T: Part> Deserialize<'de> for Reported<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let whole = T::Whole::deserialize(deserializer)?;
        let metadata = whole.meta();
        Ok(Self {
            metadata: ObjectMeta {
                name: metadata.name.clone(),
                namespace: metadata.namespace.clone(),
                resource_version: metadata.resource_version.clone(),
                ..ObjectMeta::default()
            },
            part: T::from(whole),
        })
    }
}

impl<T: Part> Watched for Reported<T> {
    type Kept = T;

    fn kept(&self) -> T {
        self.part.clone()
    }
}

impl<T: Part> Resource for Reported<T> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        T::Whole::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        T::Whole::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        T::Whole::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        T::Whole::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
