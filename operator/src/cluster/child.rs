//! A child as it is kept: its text, and what finds it and says whose it is.

use kube::Resource as _;
use kube::api::DynamicObject;

use super::known::text;
use super::owner::controller;
use super::packed::{Oversize, Packed, unpacked};
use super::store::{Kept, Watched};
use super::text::Text;

/// A child.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptChild {
    namespace: Box<str>,
    name: Box<str>,
    /// `metadata.uid`
    pub uid: Box<str>,
    /// The uid of its controller.
    controller: Option<Box<str>>,
    /// It is being deleted.
    pub is_ending: bool,
    oversize: Option<Oversize>,
    text: Text,
}

impl KeptChild {
    /// What was left out, if anything.
    #[must_use]
    pub fn oversize(&self) -> Option<Oversize> {
        self.oversize
    }

    /// The object as it was, without the record of who manages which field.
    #[must_use]
    pub fn unpack(&self) -> DynamicObject {
        unpacked(&self.text)
    }

    /// Whether a resource with this uid controls it.
    #[must_use]
    pub fn is_controlled_by(&self, uid: &str) -> bool {
        self.controller.as_deref() == Some(uid)
    }
}

impl Kept for KeptChild {
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

impl Watched for Packed {
    type Kept = KeptChild;

    fn kept(&self) -> KeptChild {
        let metadata = self.meta();
        KeptChild {
            namespace: text(metadata.namespace.as_deref()),
            name: text(metadata.name.as_deref()),
            uid: text(metadata.uid.as_deref()),
            controller: controller(metadata).map(Into::into),
            is_ending: metadata.deletion_timestamp.is_some(),
            oversize: self.oversize(),
            text: self.text().clone(),
        }
    }
}
