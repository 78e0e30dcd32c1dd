//! Objects in little memory. As a tree, JSON takes ten times the memory of its text, and most objects are looked at once in half a
//! minute: caches keep the text.

use kube::api::DynamicObject;
use serde_json::Value;

/// Replaces everything but types and metadata by its text.
pub fn pack(object: &mut DynamicObject) {
    if !object.data.is_string() {
        let mut text = object.data.to_string();
        text.shrink_to_fit();
        object.data = Value::String(text);
    }
}

/// The object as it was before it was packed.
#[must_use]
pub fn unpack(object: &DynamicObject) -> DynamicObject {
    let data = match &object.data {
        // It was written by `pack`, so it can be read.
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        whole => whole.clone(),
    };
    DynamicObject {
        types: object.types.clone(),
        metadata: object.metadata.clone(),
        data,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_packed_object_keeps_its_metadata_and_is_whole_again_when_unpacked() {
        let whole: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "labels": {"b": "c"}},
            "spec": {"ports": [{"port": 9900}], "type": "ClusterIP"}, "status": {"loadBalancer": {}},
        }))
        .unwrap();
        let mut packed = whole.clone();
        pack(&mut packed);
        pack(&mut packed);
        assert_eq!(packed.metadata, whole.metadata);
        assert_eq!(
            packed.data,
            r#"{"spec":{"ports":[{"port":9900}],"type":"ClusterIP"},"status":{"loadBalancer":{}}}"#
        );
        assert_eq!(json!(unpack(&packed)), json!(whole));
        assert_eq!(json!(unpack(&whole)), json!(whole));
    }
}
