//! Headers with credentials, such as `X-API-Key`.

use crds::Fault;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

use super::{AuthReader, set};
use crate::settings::target;

/// The methods that write an `Authorization` header.
const METHODS: [&str; 4] = ["basic", "bearer", "oauth2", "sigV4"];

impl AuthReader<'_> {
    /// Reads the headers of an `auth`; `plain` are those that the target sets beside it.
    pub(super) fn headers(&mut self, auth: &Value, plain: &Value) -> Option<HeaderMap> {
        let declared = auth["headers"].as_array().into_iter().flatten();
        let read: Vec<_> = declared
            .enumerate()
            .map(|(index, declared)| self.header(index, declared, auth, plain))
            .collect();
        read.into_iter().collect()
    }

    fn header(
        &mut self,
        index: usize,
        declared: &Value,
        auth: &Value,
        plain: &Value,
    ) -> Option<(HeaderName, HeaderValue)> {
        let within = format!("headers[{index}]");
        // A name that the schema's pattern refuses is not reported a second time.
        let name: Option<HeaderName> = declared["name"].as_str().and_then(|name| name.parse().ok());
        let before = &auth["headers"]
            .as_array()
            .map_or(&[][..], |all| &all[..index]);
        let is_it = |other: &Value| is_called(name.as_ref(), other["name"].as_str());
        let refused = match before.iter().any(is_it) {
            true => Some("is set twice: leave one of them out"),
            false => name.as_ref().and_then(|name| refused(name, auth, plain)),
        };
        if let Some(message) = refused {
            let path = format!("{}.{within}.name", self.path);
            self.faults.push(Fault::new(path, message));
        }
        let field = format!("{within}.valueSecretRef");
        let value = self.read(&field, "the value", |text| {
            // A space at an end would be cut on the way.
            let mut value = HeaderValue::from_str(text)
                .ok()
                .filter(|_| text.trim() == text)?;
            value.set_sensitive(true);
            Some(value)
        });
        match refused {
            None => Some((name?, value?)),
            Some(_) => None,
        }
    }
}

fn is_called(name: Option<&HeaderName>, other: Option<&str>) -> bool {
    let both = name.zip(other);
    both.is_some_and(|(name, other)| other.eq_ignore_ascii_case(name.as_str()))
}

/// Why a header with credentials cannot have this name.
fn refused(name: &HeaderName, auth: &Value, plain: &Value) -> Option<&'static str> {
    let mut plain = plain.as_object().into_iter().flatten();
    if *name == header::AUTHORIZATION {
        // Some stores want a scheme of their own, such as `Authorization: Token …`.
        let is_set = METHODS.iter().any(|method| set(auth, method).is_some());
        return is_set.then_some("the method beside it sets this header: leave one of them out");
    }
    if target::is_reserved(name) {
        return Some("must not be set here: the mirror sets it itself");
    }
    plain
        .any(|(other, _)| is_called(Some(name), Some(other)))
        .then_some("is set in headers as well: leave one of them out")
}
