//! Objects in little memory. As a tree, JSON takes ten times the memory of its text, and most objects are looked at once in half a
//! minute: caches keep the text, and of the metadata as fields only what finds an object and says whose it is.

use std::borrow::Cow;

use kube::Resource;
use kube::api::{DynamicObject, TypeMeta};
use kube::core::{ApiResource, DynamicResourceScope, ObjectMeta};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// An object of any kind. It is packed while an answer of the API server is read, one object after the other: a page of trees is never
/// in memory as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// Names, uid, versions, owners, and whether it is being deleted. Labels and annotations are in the text only.
    metadata: ObjectMeta,
    /// All of it, but for the record of who manages which field, which is often the larger half.
    text: Box<str>,
}

impl Packed {
    /// The object as it was, without the record of who manages which field.
    #[must_use]
    pub fn unpack(&self) -> DynamicObject {
        // It was written by `deserialize`, so it can be read.
        let mut data = serde_json::from_str(&self.text).unwrap_or(Value::Null);
        let mut take = |field: &str| {
            let fields = data.as_object_mut();
            fields.and_then(|fields| fields.remove(field))
        };
        let metadata = take("metadata").and_then(|metadata| serde_json::from_value(metadata).ok());
        let types = match (take("apiVersion"), take("kind")) {
            (Some(Value::String(api_version)), Some(Value::String(kind))) => {
                Some(TypeMeta { api_version, kind })
            }
            // Items of a list come without them.
            _ => None,
        };
        DynamicObject {
            types,
            metadata: metadata.unwrap_or_default(),
            data,
        }
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut whole = Value::deserialize(deserializer)?;
        let metadata = match whole.get_mut("metadata").and_then(Value::as_object_mut) {
            Some(metadata) => {
                metadata.remove("managedFields");
                ObjectMeta::deserialize(&whole["metadata"]).map_err(D::Error::custom)?
            }
            None => ObjectMeta::default(),
        };
        Ok(Self {
            metadata: ObjectMeta {
                name: metadata.name,
                namespace: metadata.namespace,
                uid: metadata.uid,
                resource_version: metadata.resource_version,
                generation: metadata.generation,
                deletion_timestamp: metadata.deletion_timestamp,
                owner_references: metadata.owner_references,
                ..ObjectMeta::default()
            },
            text: whole.to_string().into_boxed_str(),
        })
    }
}

impl Resource for Packed {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(resource)
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(resource)
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(resource)
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(resource)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_packed_object_is_found_by_its_name_and_owner_and_is_whole_again_when_unpacked() {
        let owner = json!([{"apiVersion": "v", "kind": "k", "name": "o", "uid": "u-1"}]);
        let whole = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "a", "namespace": "n", "labels": {"b": "c"}, "ownerReferences": owner},
            "spec": {"ports": [{"port": 9900}], "type": "ClusterIP"}, "status": {"loadBalancer": {}},
        });
        let mut sent = whole.clone();
        sent["metadata"]["managedFields"] =
            json!([{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]);
        let packed: Packed = serde_json::from_value(sent).unwrap();
        assert_eq!(
            (
                packed.name_any(),
                packed.namespace(),
                json!(packed.owner_references())
            ),
            ("a".to_owned(), Some("n".to_owned()), owner)
        );
        assert_eq!(json!(packed.unpack()), whole);
    }

    #[test]
    fn an_item_of_a_list_has_no_types_and_an_object_may_have_no_metadata() {
        for whole in [
            json!({"metadata": {"name": "a"}, "data": {}}),
            json!({"metadata": {}, "data": {}}),
        ] {
            let packed: Packed = serde_json::from_value(whole.clone()).unwrap();
            assert_eq!(json!(packed.unpack()), whole);
        }
        let packed: Packed = serde_json::from_str("{}").unwrap();
        assert_eq!(json!(packed.unpack().metadata), json!({}));
    }
}
