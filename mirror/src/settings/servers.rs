//! The servers of a target: shards, each with replicas.

use crds::{Fault, field_path};
use serde_json::Value;
use url::Url;

use super::target;

/// The servers of a target: shards that each hold a part of the series, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers(Vec<Replicas>);

/// Servers that scrape the same, by their base URLs, the preferred one first; at least one. A base
/// URL is `http` or `https`, a host, no query, no user info, a path without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas(Vec<Url>);

impl Servers {
    /// A single server.
    #[must_use]
    pub fn one(url: Url) -> Self {
        Self(vec![Replicas(vec![url])])
    }

    /// Shards with the URLs of their replicas. `None` if there is no shard, or one without a
    /// replica.
    #[must_use]
    pub fn of(shards: Vec<Vec<Url>>) -> Option<Self> {
        let is_sound = !shards.is_empty() && shards.iter().all(|shard| !shard.is_empty());
        is_sound.then(|| Self(shards.into_iter().map(Replicas).collect()))
    }

    /// The shards.
    #[must_use]
    pub fn shards(&self) -> &[Replicas] {
        &self.0
    }

    /// All URLs, in the document's order.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        self.0.iter().flat_map(Replicas::urls)
    }

    /// How many servers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.urls().count()
    }

    /// The only server. None if there are several.
    #[must_use]
    pub fn only(&self) -> Option<&Url> {
        match &self.0[..] {
            [Replicas(urls)] if urls.len() == 1 => urls.first(),
            _ => None,
        }
    }
}

impl Replicas {
    /// Their URLs.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        self.0.iter()
    }
}

/// A place in a document that declares one server: its path, and what stands there.
pub(super) struct Declared<'a> {
    pub(super) path: String,
    value: &'a Value,
}

impl Declared<'_> {
    /// The path of a field of the place.
    pub(super) fn field(&self, name: &str) -> String {
        field_path(&self.path, name)
    }

    /// What a field of the place holds.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.value.get(name)
    }

    /// The URL, as far as it is sound.
    pub(super) fn url(&self) -> Option<Url> {
        target::url(self.get("url")?.as_str()?).ok()
    }
}

/// The places in a target that declare servers, by shard. Every array with entries counts, even
/// where the schema lets only one of them be.
pub(super) fn declared<'a>(path: &str, target: &'a Value) -> Vec<Vec<Declared<'a>>> {
    let mut shards: Vec<_> = entries(path, target, "shards")
        .map(|shard| replicas(&shard.path, shard.value))
        .collect();
    if shards.is_empty() {
        shards.push(replicas(path, target));
    }
    shards
}

fn replicas<'a>(path: &str, shard: &'a Value) -> Vec<Declared<'a>> {
    let mut replicas: Vec<_> = entries(path, shard, "replicas").collect();
    if replicas.is_empty() {
        let path = path.to_owned();
        replicas.push(Declared { path, value: shard });
    }
    replicas
}

fn entries<'a>(path: &str, of: &'a Value, field: &str) -> impl Iterator<Item = Declared<'a>> {
    let path = field_path(path, field);
    let entries = of[field].as_array().into_iter().flatten().enumerate();
    entries.map(move |(index, value)| Declared {
        path: format!("{path}[{index}]"),
        value,
    })
}

/// The servers that a target declares.
///
/// # Errors
/// If a URL is missing or not sound.
pub(super) fn servers(path: &str, target: &Value) -> Result<Servers, Fault> {
    let url = |place: &Declared<'_>| {
        let text = place.get("url").and_then(Value::as_str).unwrap_or_default();
        target::url(text).map_err(|message| Fault::new(place.field("url"), message))
    };
    let shards = declared(path, target);
    let shards: Vec<Vec<Url>> = shards
        .iter()
        .map(|shard| shard.iter().map(url).collect())
        .collect::<Result<_, _>>()?;
    Servers::of(shards).ok_or_else(|| Fault::new(path, "has no server"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_target_is_one_server_or_replicas_or_shards_of_either() {
        let table = [
            (json!({"url": "http://a/"}), vec![vec![url("http://a")]]),
            (
                json!({"replicas": [{"url": "http://a"}, {"url": "http://b/x/"}], "shards": []}),
                vec![vec![url("http://a"), url("http://b/x")]],
            ),
            (
                json!({"shards": [
                    {"url": "http://a"},
                    {"replicas": [{"url": "http://b"}, {"url": "http://c"}]},
                ]}),
                vec![
                    vec![url("http://a")],
                    vec![url("http://b"), url("http://c")],
                ],
            ),
        ];
        for (target, shards) in table {
            let found = servers("t", &target).ok();
            assert_eq!(found, Servers::of(shards), "{target}");
        }
    }

    #[test]
    fn a_wrong_url_is_named_by_its_path() {
        let fault = |target: Value| servers("t", &target).unwrap_err().path;
        assert_eq!(
            [
                fault(json!({"name": "a"})),
                fault(json!({"replicas": [{"url": "http://a"}, {"url": "b"}]})),
                fault(json!({"shards": [{"replicas": [{"url": "ftp://a"}]}]})),
            ],
            ["t.url", "t.replicas[1].url", "t.shards[0].replicas[0].url"]
        );
    }

    #[test]
    fn there_is_always_a_server() {
        assert_eq!(Servers::of(vec![]), None);
        assert_eq!(Servers::of(vec![vec![url("http://a")], vec![]]), None);
        let one = Servers::one(url("http://a"));
        assert_eq!((one.only(), one.count()), (Some(&url("http://a")), 1));
        let pair = Servers::of(vec![vec![url("http://a"), url("http://b")]]);
        assert_eq!(
            pair.map(|pair| (pair.only().is_none(), pair.count())),
            Some((true, 2))
        );
    }
}
