//! Calls as HTTP requests. Pure.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::uri::{self, Authority, InvalidUri, PathAndQuery, Scheme};
use percent_encoding::{
    AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode,
};
use url::{Position, Url, form_urlencoded};

use super::{Call, MOST_SERIES_COUNTED, MOST_SERIES_LISTED, range_selector};
use crate::model::time::Timestamp;

/// All but RFC 3986's unreserved characters.
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where a server's API is, taken apart once for all calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// With the target's own parameters, which go with every call.
    url: Url,
    /// Its path, without a slash at its end.
    path: String,
    /// Before its path. None if hyper's client cannot have it.
    origin: Option<(Scheme, Authority)>,
    /// How many bytes of the URL come before its path.
    origin_length: usize,
}

impl Base {
    pub(super) fn new(url: Url) -> Self {
        let parts = url.as_str().parse::<Uri>().map(Uri::into_parts);
        let origin = parts
            .ok()
            .and_then(|parts| Some((parts.scheme?, parts.authority?)));
        Self {
            path: url.path().trim_end_matches('/').to_owned(),
            origin,
            origin_length: url[..Position::BeforePath].len(),
            url,
        }
    }

    pub(super) fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// Whether requests to it need a connection and nothing else.
    pub(super) fn is_plain(&self) -> bool {
        let is_http = |(scheme, _): &(Scheme, Authority)| *scheme == Scheme::HTTP;
        self.origin.as_ref().is_some_and(is_http)
    }
}

/// What is sent for a call, in whichever way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    base: &'a Base,
    /// As it stands in the URL.
    path: String,
    /// The target's own parameters.
    own: Option<Cow<'a, str>>,
    /// The call's, encoded as a form, which is how a URL's query takes them as well.
    parameters: Bytes,
    may_post: bool,
}

impl<'a> Request<'a> {
    /// `timeout` is what the store may take for a query.
    pub(super) fn new(base: &'a Base, call: &Call, timeout: Duration) -> Self {
        Self {
            base,
            path: format!("{}/api/v1/{}", base.path, path(call)),
            own: base.url.query().map(Cow::Borrowed),
            parameters: parameters(call, timeout).into(),
            may_post: may_post(call),
        }
    }

    /// Whether servers take this call as a POST.
    pub(super) fn may_post(&self) -> bool {
        self.may_post
    }

    /// How many bytes the URL of a GET has.
    pub(super) fn url_length(&self) -> usize {
        let own = self.own.as_ref().map_or(0, |own| 1 + own.len());
        self.base.origin_length + self.path.len() + own + 1 + self.parameters.len()
    }

    /// What comes behind the origin in the URL of a GET.
    fn target_of_get(&self) -> String {
        // Percent-encoded, so ASCII.
        let parameters = std::str::from_utf8(&self.parameters).unwrap_or_default();
        match &self.own {
            Some(own) => [&self.path, "?", own, "&", parameters].concat(),
            None => [&self.path, "?", parameters].concat(),
        }
    }

    /// The same for a POST.
    fn target_of_form(&self) -> String {
        match &self.own {
            Some(own) => [&self.path, "?", own].concat(),
            None => self.path.clone(),
        }
    }

    /// The URL of a GET.
    pub(super) fn url_of_get(&self) -> Url {
        self.url_of(&self.target_of_get())
    }

    /// The URL and the body of a POST, a form.
    pub(super) fn form(&self) -> (Url, Bytes) {
        (self.url_of(&self.target_of_form()), self.body())
    }

    /// The same URLs, as hyper's client takes them.
    pub(super) fn uri_of_get(&self) -> Result<Uri, InvalidUri> {
        self.uri_of(self.target_of_get())
    }

    pub(super) fn uri_of_form(&self) -> Result<Uri, InvalidUri> {
        self.uri_of(self.target_of_form())
    }

    /// The body of a POST, a form.
    pub(super) fn body(&self) -> Bytes {
        self.parameters.clone()
    }

    fn url_of(&self, target: &str) -> Url {
        let mut url = self.base.url.clone();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        url.set_path(path);
        url.set_query(query);
        url
    }

    fn uri_of(&self, target: String) -> Result<Uri, InvalidUri> {
        let mut parts = uri::Parts::default();
        if let Some((scheme, authority)) = &self.base.origin {
            parts.scheme = Some(scheme.clone());
            parts.authority = Some(authority.clone());
        }
        parts.path_and_query = Some(PathAndQuery::from_maybe_shared(Bytes::from(target))?);
        // With a path, what goes wrong here is that a scheme has no authority or the reverse.
        Ok(Uri::from_parts(parts).unwrap_or_default())
    }

    /// The same with all but unreserved characters percent-encoded, a space as well. Whoever
    /// verifies a signature may decode what arrives and encode it again in this way.
    pub(super) fn strictly_encoded(mut self) -> Self {
        let segments = self.path.split('/').map(|segment| {
            let decoded: Cow<[u8]> = percent_decode_str(segment).into();
            percent_encode(&decoded, SEGMENT).to_string()
        });
        self.path = segments.collect::<Vec<_>>().join("/");
        let own = self.own.take();
        self.own = own.map(|own| strictly(own.as_bytes()).into());
        self.parameters = strictly(&self.parameters).into();
        self
    }
}

/// Parameters of a form or a query with all but unreserved characters percent-encoded.
fn strictly(parameters: &[u8]) -> String {
    let parameters = form_urlencoded::parse(parameters).map(|(name, value)| {
        let strictly = |text| utf8_percent_encode(text, SEGMENT);
        format!("{}={}", strictly(&name), strictly(&value))
    });
    parameters.collect::<Vec<_>>().join("&")
}

/// Prometheus takes the others as GET only.
fn may_post(call: &Call) -> bool {
    match call {
        Call::Instant { .. }
        | Call::Range { .. }
        | Call::Samples { .. }
        | Call::SeriesExist { .. }
        | Call::LabelOfSeries { .. }
        | Call::SeriesCounted { .. }
        | Call::LabelNames { .. } => true,
        Call::LabelValues { .. }
        | Call::LabelValuesOtherwise { .. }
        | Call::Metadata
        | Call::MetadataOf { .. }
        | Call::BuildInfo => false,
    }
}

impl Call {
    /// The path of Prometheus' API that it asks.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/api/v1/{}", path(self))
    }
}

/// The path behind `/api/v1/`.
fn path(call: &Call) -> Cow<'static, str> {
    let values =
        |label: &str| format!("label/{}/values", utf8_percent_encode(label, SEGMENT)).into();
    match call {
        Call::Instant { .. } | Call::Samples { .. } => "query".into(),
        Call::Range { .. } => "query_range".into(),
        Call::SeriesExist { .. } | Call::LabelOfSeries { .. } | Call::SeriesCounted { .. } => {
            "series".into()
        }
        Call::LabelNames { .. } => "labels".into(),
        Call::LabelValues { label, .. } => values(&label_in_path(label)),
        Call::LabelValuesOtherwise { label, .. } => values(&label_in_path_otherwise(label)),
        Call::Metadata | Call::MetadataOf { .. } => "metadata".into(),
        Call::BuildInfo => "status/buildinfo".into(),
    }
}

/// The parameters, encoded as a form.
fn parameters(call: &Call, timeout: Duration) -> String {
    /// Most have fewer bytes.
    const USUAL: usize = 256;
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(USUAL));
    match call {
        Call::Instant { promql, at } => {
            form.append_pair("query", promql)
                .append_pair("time", &at.to_string())
                .append_pair("timeout", &in_seconds(timeout));
        }
        Call::Samples { selector, from, to } => {
            form.append_pair("query", &range_selector(selector, *from, *to))
                .append_pair("time", &to.to_string())
                .append_pair("timeout", &in_seconds(timeout));
        }
        Call::Range {
            promql,
            start,
            end,
            step,
        } => {
            form.append_pair("query", promql)
                .append_pair("start", &start.to_string())
                .append_pair("end", &end.to_string())
                .append_pair("step", &Timestamp(step.0).to_string())
                .append_pair("timeout", &in_seconds(timeout));
        }
        Call::SeriesExist {
            selectors,
            start,
            end,
        } => {
            of_series(&mut form, selectors, *start, *end).append_pair("limit", "1");
        }
        Call::LabelOfSeries {
            selector,
            start,
            end,
            ..
        } => {
            of_series(&mut form, [selector], *start, *end)
                .append_pair("limit", &MOST_SERIES_LISTED.to_string());
        }
        Call::SeriesCounted {
            selector,
            start,
            end,
            ..
        } => {
            of_series(&mut form, [selector], *start, *end)
                .append_pair("limit", &MOST_SERIES_COUNTED.to_string());
        }
        Call::MetadataOf { metric } => {
            form.append_pair("metric", metric)
                .append_pair("limit", "1")
                .append_pair("limit_per_metric", "1");
        }
        Call::LabelNames {
            selector,
            start,
            end,
        }
        | Call::LabelValues {
            selector,
            start,
            end,
            ..
        }
        | Call::LabelValuesOtherwise {
            selector,
            start,
            end,
            ..
        } => {
            of_series(&mut form, selector, *start, *end);
        }
        Call::Metadata | Call::BuildInfo => {}
    }
    form.append_pair("nocache", "1").finish()
}

type Form<'a> = form_urlencoded::Serializer<'a, String>;

/// Adds which series are meant, and of which time.
fn of_series<'a, 'b>(
    form: &'b mut Form<'a>,
    selectors: impl IntoIterator<Item = &'b String>,
    start: Timestamp,
    end: Timestamp,
) -> &'b mut Form<'a> {
    for selector in selectors {
        form.append_pair("match[]", selector);
    }
    form.append_pair("start", &start.to_string())
        .append_pair("end", &end.to_string())
}

/// To the millisecond, and at least one: zero means "at once" to Prometheus.
fn in_seconds(timeout: Duration) -> String {
    let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    Timestamp(i64::try_from(milliseconds.max(1)).unwrap_or(i64::MAX)).to_string()
}

/// A label's name as the path takes it. A slash would end the segment even when percent-encoded
/// (Go's servers decode first), and `U__` announces Prometheus 3's value encoding, so names with
/// either are written in that encoding.
fn label_in_path(label: &str) -> Cow<'_, str> {
    if goes_encoded(label) {
        value_encoded(label).into()
    } else {
        label.into()
    }
}

/// The other of the two forms: some stores know only one of them.
fn label_in_path_otherwise(label: &str) -> Cow<'_, str> {
    if goes_encoded(label) {
        label.into()
    } else {
        value_encoded(label).into()
    }
}

/// Dots alone are steps in a path, to the same folder or the one above.
fn goes_encoded(label: &str) -> bool {
    label.contains('/') || label.starts_with("U__") || matches!(label, "." | "..")
}

/// In the encoding of Prometheus 3 for names that a path cannot carry.
fn value_encoded(label: &str) -> String {
    let mut escaped = String::from("U__");
    for (index, character) in label.chars().enumerate() {
        match character {
            '_' => escaped.push_str("__"),
            'a'..='z' | 'A'..='Z' | ':' => escaped.push(character),
            '0'..='9' if index > 0 => escaped.push(character),
            // Writing to a string cannot fail.
            _ => drop(write!(escaped, "_{:x}_", u32::from(character))),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
