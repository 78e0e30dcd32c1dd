//! Lists in manifests whose items mean something each for itself. In all other lists the order and
//! every item count.

/// A list by the name of its field.
pub(super) struct List {
    name: &'static str,
    /// The field that tells its items apart when a piece of a manifest is merged over another.
    pub(super) key: Option<&'static str>,
    /// Whether others may add items to it: an injected sidecar with its volume stays.
    pub(super) is_shared: bool,
}

const fn list(name: &'static str, key: Option<&'static str>, is_shared: bool) -> List {
    List {
        name,
        key,
        is_shared,
    }
}

const LISTS: &[List] = &[
    list("containers", Some("name"), true),
    list("initContainers", Some("name"), true),
    list("ephemeralContainers", Some("name"), false),
    list("volumes", Some("name"), true),
    list("volumeMounts", Some("mountPath"), true),
    list("volumeDevices", Some("devicePath"), false),
    list("env", Some("name"), true),
    list("ports", Some("containerPort"), true),
    list("imagePullSecrets", Some("name"), true),
    list("topologySpreadConstraints", Some("topologyKey"), true),
    list("hostAliases", Some("ip"), true),
    list("ownerReferences", None, true),
    // Of a Service that may have both, the API server adds the second.
    list("ipFamilies", None, true),
];

/// The list of this name, if its items stand for themselves.
pub(super) fn named(name: &str) -> Option<&'static List> {
    LISTS.iter().find(|list| list.name == name)
}
