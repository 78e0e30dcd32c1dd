//! Objects in little memory. As a tree, JSON takes ten times the memory of its text, and most
//! objects are looked at once in half a minute: caches keep the text, shortened by what it has in
//! common with others (see `text`), and of the metadata as fields only what finds an object and
//! says whose it is.
//!
//! An object may be a megabyte and a half, and a user with rights in one namespace may create
//! many, so only the names of a large one are kept. A child is then read when it is needed; a
//! resource is refused, because to build it takes many times its size.

use std::borrow::Cow;

use kube::Resource;
use kube::api::{DynamicObject, TypeMeta};
use kube::core::{DynamicResourceScope, ObjectMeta};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::kind::Stored;
use super::text::{Samples, Text};

/// The largest text of an object that is kept, in bytes of JSON. 64 targets with all their fields
/// and what the pods say about them, and a pod template of [`LARGEST_POD_TEMPLATE`], are below.
pub const LARGEST: usize = 256 << 10;

/// The largest `spec.podTemplate` of a resource, in bytes of JSON.
pub const LARGEST_POD_TEMPLATE: usize = 64 << 10;

/// `kubectl apply` repeats the whole object in it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Why an object was not kept as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    /// The text would have so many bytes: it has names, `spec.paused` and the status only.
    Object(usize),
    /// `spec.podTemplate` has so many bytes, and is left out.
    PodTemplate(usize),
}

/// An object of any kind. It is packed while an answer of the API server is read, one object after
/// the other: a page of trees is never in memory as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// Names, uid, versions, owners, and whether it is being deleted. Labels and annotations are in
    /// the text only.
    metadata: ObjectMeta,
    /// All of it, but for the record of who manages which field, which is often the larger half.
    text: Text,
    oversize: Option<Oversize>,
}

impl Packed {
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

    pub(super) fn text(&self) -> &Text {
        &self.text
    }

    /// Shortens the text by what it has in common with others of its kind.
    pub(super) fn shorten(&mut self, samples: &mut Samples) {
        samples.shorten(&mut self.text);
    }
}

/// The object with this text, which `deserialize` wrote, so it can be read.
pub(super) fn unpacked(text: &Text) -> DynamicObject {
    let mut data = serde_json::from_slice(&text.bytes()).unwrap_or(Value::Null);
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

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut whole = Value::deserialize(deserializer)?;
        let metadata = match whole.get_mut("metadata").and_then(Value::as_object_mut) {
            Some(metadata) => {
                metadata.remove("managedFields");
                if let Some(annotations) = metadata
                    .get_mut("annotations")
                    .and_then(Value::as_object_mut)
                {
                    annotations.remove(LAST_APPLIED);
                }
                ObjectMeta::deserialize(&whole["metadata"]).map_err(D::Error::custom)?
            }
            None => ObjectMeta::default(),
        };
        let mut oversize = without_pod_template(&mut whole);
        let mut text = whole.to_string();
        if text.len() > LARGEST {
            oversize = Some(Oversize::Object(text.len()));
            text = in_short(whole);
        }
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
            text: text.as_str().into(),
            oversize,
        })
    }
}

/// Takes a pod template away that is too large. No kind but the resource has the field.
fn without_pod_template(whole: &mut Value) -> Option<Oversize> {
    let spec = whole.get_mut("spec").and_then(Value::as_object_mut)?;
    let mut size = Size(0);
    // Counting does not fail.
    serde_json::to_writer(&mut size, spec.get("podTemplate")?).ok()?;
    if size.0 <= LARGEST_POD_TEMPLATE {
        return None;
    }
    spec.remove("podTemplate");
    Some(Oversize::PodTemplate(size.0))
}

/// Of an object that is too large: its names, whether it is paused, and its status if that is not
/// the large part.
fn in_short(mut whole: Value) -> String {
    let names = [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "deletionTimestamp",
        "ownerReferences",
    ];
    let mut short = json!({
        "metadata": {},
        "spec": {"paused": whole["spec"]["paused"] == true},
        "status": whole["status"].take(),
    });
    for name in names {
        let value = whole["metadata"][name].take();
        if !value.is_null() {
            short["metadata"][name] = value;
        }
    }
    let text = short.to_string();
    if text.len() <= LARGEST {
        return text;
    }
    short["status"] = Value::Null;
    short["metadata"]["ownerReferences"] = Value::Null;
    short.to_string()
}

/// Counts what is written to it.
struct Size(usize);

impl std::io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Resource for Packed {
    type DynamicType = Stored;
    type Scope = DynamicResourceScope;

    fn kind(stored: &Stored) -> Cow<'_, str> {
        let [_, _, kind, _] = stored.names();
        kind
    }

    fn group(stored: &Stored) -> Cow<'_, str> {
        let [group, _, _, _] = stored.names();
        group
    }

    fn version(stored: &Stored) -> Cow<'_, str> {
        let [_, version, _, _] = stored.names();
        version
    }

    fn plural(stored: &Stored) -> Cow<'_, str> {
        let [_, _, _, plural] = stored.names();
        plural
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
    fn of_a_large_object_only_names_and_the_status_are_kept_and_of_a_resource_no_large_pod_template()
     {
        let read = |whole: &Value| serde_json::from_value::<Packed>(whole.clone()).unwrap();
        let long = |bytes: usize| "x".repeat(bytes);
        let metadata = json!({"name": "a", "namespace": "n", "uid": "u", "generation": 3});
        let mut whole = json!({
            "metadata": metadata, "status": {"replicas": 1},
            "spec": {"paused": true, "port": 1, "podTemplate": {"a": long(LARGEST_POD_TEMPLATE - 8)}},
        });
        let fits = read(&whole);
        assert_eq!(
            (fits.oversize(), json!(fits.unpack())),
            (None, whole.clone())
        );

        whole["spec"]["podTemplate"]["a"] = json!(long(LARGEST_POD_TEMPLATE - 7));
        let cut = read(&whole);
        assert_eq!(
            cut.oversize(),
            Some(Oversize::PodTemplate(LARGEST_POD_TEMPLATE + 1))
        );
        assert_eq!(
            json!(cut.unpack())["spec"],
            json!({"paused": true, "port": 1})
        );

        whole["metadata"]["annotations"] = json!({"a": long(LARGEST)});
        whole["metadata"]["labels"] = json!({"a": "b"});
        let cut = read(&whole);
        assert!(matches!(cut.oversize(), Some(Oversize::Object(bytes)) if bytes > LARGEST));
        let short =
            json!({"metadata": metadata, "spec": {"paused": true}, "status": {"replicas": 1}});
        assert_eq!(json!(cut.unpack()), short);
        assert_eq!(cut.meta().uid.as_deref(), Some("u"));

        whole["status"] = json!(long(LARGEST));
        assert!(read(&whole).text.size() < 1_000);
    }

    #[test]
    fn what_kubectl_apply_repeats_is_not_kept() {
        let annotations = json!({LAST_APPLIED: "x".repeat(LARGEST), "a": "b"});
        let whole = json!({"metadata": {"name": "a", "annotations": annotations}});
        let packed: Packed = serde_json::from_value(whole).unwrap();
        assert_eq!(packed.oversize(), None);
        assert_eq!(
            json!(packed.unpack().metadata.annotations),
            json!({"a": "b"})
        );
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
