//! A request as the API server understands it.

use std::fmt::{Display, Formatter};

use http::Method;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use reqwest::Url;
use serde_json::Value;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Apply,
    Merge,
    Delete,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) verb: Verb,
    /// In the plural, as in the path.
    pub(crate) resource: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
    /// The object, or the options of a deletion.
    pub(crate) body: Value,
    pub(crate) dry_run: bool,
    /// The field manager.
    pub(crate) manager: String,
    /// The version from which on a watch wants changes.
    pub(crate) version: u64,
    /// Whether a list comes in pages: the operator's only do where a watch follows.
    paged: bool,
    label_selector: Option<String>,
    field_selector: Option<String>,
}

impl Asked {
    pub(super) fn parse(head: &Parts, body: &[u8]) -> Self {
        let url = format!(
            "http://api{}",
            head.uri.path_and_query().map_or("", |uri| uri.as_str())
        );
        let url = Url::parse(&url).unwrap();
        let query = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
        };
        let parts: Vec<_> = url.path_segments().unwrap().collect();
        // `/api/v1/…` or `/apis/GROUP/VERSION/…`
        let rest = if parts[0] == "api" {
            &parts[2..]
        } else {
            &parts[3..]
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let part = |index: usize| rest.get(index).map(|&part| part.to_owned());
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let named = part(1).or_else(|| body["metadata"]["name"].as_str().map(str::to_owned));
        let content = head.headers.get(CONTENT_TYPE);
        let content = content.map_or("", |value| value.to_str().unwrap());
        let verb = match (&head.method, part(1)) {
            (&Method::GET, _) if query("watch").is_some() => Verb::Watch,
            (&Method::GET, None) => Verb::List,
            (&Method::GET, Some(_)) => Verb::Get,
            (&Method::POST, _) => Verb::Create,
            (&Method::PATCH, _) if content.starts_with("application/apply-patch") => Verb::Apply,
            (&Method::PATCH, _) if content.starts_with("application/merge-patch") => Verb::Merge,
            (&Method::DELETE, _) => Verb::Delete,
            (method, _) => panic!("{method} {url} with {content}"),
        };
        Self {
            verb,
            resource: part(0).unwrap(),
            namespace: namespace.map(str::to_owned),
            name: named,
            subresource: part(2),
            body,
            dry_run: query("dryRun").is_some(),
            manager: query("fieldManager").unwrap_or_default(),
            version: query("resourceVersion")
                .and_then(|version| version.parse().ok())
                .unwrap_or(0),
            paged: query("limit").is_some(),
            label_selector: query("labelSelector"),
            field_selector: query("fieldSelector"),
        }
    }

    /// Whether a watch will follow.
    pub(super) fn is_list_to_watch(&self) -> bool {
        self.verb == Verb::List && self.paged
    }

    /// Whether it would change something.
    pub(crate) fn writes(&self) -> bool {
        !matches!(self.verb, Verb::Get | Verb::List | Verb::Watch) && !self.dry_run
    }

    /// Whether a list or watch is about this object.
    pub(super) fn selects(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let label = |name: &str| metadata["labels"][name].as_str();
        let labels = self.label_selector.as_ref().is_none_or(|selector| {
            match (selector.split_once("!="), selector.split_once('=')) {
                (Some((name, value)), _) => label(name) != Some(value),
                (None, Some((name, value))) => label(name) == Some(value),
                (None, None) => label(selector).is_some(),
            }
        });
        let named = self.field_selector.as_ref().is_none_or(|selector| {
            let name = selector.strip_prefix("metadata.name=").unwrap();
            metadata["name"] == name
        });
        let here = self
            .namespace
            .as_ref()
            .is_none_or(|here| metadata["namespace"] == **here);
        labels && named && here
    }
}

/// `apply deployments/shop`
impl Display for Asked {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let verb = format!("{:?}", self.verb).to_lowercase();
        write!(f, "{verb} {}", self.resource)?;
        // Events have a time in their names.
        let name = self.name.iter().filter(|_| self.resource != "events");
        for part in name.chain(&self.subresource) {
            write!(f, "/{part}")?;
        }
        f.write_str(if self.dry_run { " (dry run)" } else { "" })
    }
}
