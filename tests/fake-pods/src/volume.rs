//! The files that a pod finds in its volume.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{KeyToPath, Pod};

/// Content by path.
pub type Files = BTreeMap<String, Vec<u8>>;
/// The ConfigMaps or the Secrets of a cluster: content by namespace and name.
pub type Objects = HashMap<(String, String), Files>;

/// One source of a projected volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Whether it is a Secret, or else a ConfigMap.
    pub secret: bool,
    /// The object's name.
    pub name: String,
    /// Its keys, and the path of each.
    pub items: Vec<(String, String)>,
    /// Missing keys are left out.
    pub optional: bool,
}

/// The sources of a pod's projected volumes; of each those that list their keys.
#[must_use]
pub fn sources(pod: &Pod) -> Vec<Source> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let projected = volumes.filter_map(|volume| volume.projected.as_ref());
    let projections = projected.flat_map(|volume| volume.sources.iter().flatten());
    projections
        .filter_map(|projection| {
            if let Some(of) = &projection.config_map {
                return Some(source(false, &of.name, of.items.as_ref()?, of.optional));
            }
            let of = projection.secret.as_ref()?;
            Some(source(true, &of.name, of.items.as_ref()?, of.optional))
        })
        .collect()
}

fn source(secret: bool, name: &str, items: &[KeyToPath], optional: Option<bool>) -> Source {
    let pairs = items
        .iter()
        .map(|item| (item.key.clone(), item.path.clone()));
    Source {
        secret,
        name: name.to_owned(),
        items: pairs.collect(),
        optional: optional.unwrap_or_default(),
    }
}

/// The files; none if something is missing that is not optional: the kubelet then leaves the volume
/// as it is.
#[must_use]
pub fn files(
    namespace: &str,
    sources: &[Source],
    config_maps: &Objects,
    secrets: &Objects,
) -> Option<Files> {
    let mut files = Files::new();
    for source in sources {
        let objects = if source.secret { secrets } else { config_maps };
        let object = objects.get(&(namespace.to_owned(), source.name.clone()));
        for (key, path) in &source.items {
            match object.and_then(|object| object.get(key)) {
                Some(content) => drop(files.insert(path.clone(), content.clone())),
                None if source.optional => {}
                None => return None,
            }
        }
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({"spec": {"containers": [], "volumes": [{"name": "configuration", "projected": {"sources": [
            {"configMap": {"name": "a-mirror", "items": [{"key": "mirror.yaml", "path": "mirror.yaml"}]}},
            {"secret": {"name": "key", "items": [{"key": "apiKey", "path": "secrets/key/apiKey"}]}},
            {"secret": {"name": "key", "items": [{"key": "previousApiKey", "path": "secrets/key/previousApiKey"}], "optional": true}},
        ]}}]}}))
        .unwrap()
    }

    fn objects(name: &str, key: &str, content: &str) -> Objects {
        let files = Files::from([(key.to_owned(), content.into())]);
        Objects::from([(("n".to_owned(), name.to_owned()), files)])
    }

    #[test]
    fn a_volume_holds_the_keys_that_its_sources_list_under_their_paths() {
        let found = files(
            "n",
            &sources(&pod()),
            &objects("a-mirror", "mirror.yaml", "kind: PrometheusMirror"),
            &objects("key", "apiKey", "secret"),
        );
        let expected = [
            ("mirror.yaml", "kind: PrometheusMirror"),
            ("secrets/key/apiKey", "secret"),
        ];
        let expected = expected.map(|(path, content)| (path.to_owned(), content.into()));
        assert_eq!(found, Some(Files::from(expected)));
    }

    #[test]
    fn there_is_no_volume_without_what_is_not_optional() {
        let document = objects("a-mirror", "mirror.yaml", "");
        let key = objects("key", "apiKey", "secret");
        let other = objects("key", "other", "secret");
        let found = |config_maps, secrets| files("n", &sources(&pod()), config_maps, secrets);
        assert_eq!(found(&document, &other), None);
        assert_eq!(found(&Objects::new(), &key), None);
    }
}
