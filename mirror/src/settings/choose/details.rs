//! What requests say of the server that they want to ask.

use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use crate::settings::hosts::{canonical_host, canonical_path, is_listed, path};
use crate::settings::{NanInterpretation, RequestTargets, target};

/// The longest text in connection details, in bytes: it is kept with a target and quoted in
/// messages.
const MOST_TEXT_BYTES: usize = 2_047;

/// What `connectionDetails` say, as far as they mean anything here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionDetails {
    pub(super) asked: Asked,
    pub(super) timeout: Option<Duration>,
    pub(super) nan: Option<NanInterpretation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Default,
    Name(String),
    Server(Server),
}

/// A server as a request names it. Scheme and path are compared only when given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// In the form of [`Url::host_str`]: lower case, IPv6 in brackets.
    host: String,
    port: u16,
    scheme: Option<String>,
    /// Without a slash at its end.
    path: Option<String>,
    /// As the request has it, for messages.
    pub(super) shown: String,
}

/// Why connection details cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("connectionDetails.{key} must be {expected}")]
pub struct DetailsError {
    key: &'static str,
    expected: &'static str,
}

impl ConnectionDetails {
    /// Reads connection details leniently: numbers may be text, null is absent, unknown keys are
    /// ignored.
    ///
    /// # Errors
    /// If a key that means something here has a value that does not.
    pub fn parse(details: &Map<String, Value>) -> Result<Self, DetailsError> {
        let milliseconds = number(
            details,
            "requestTimeout",
            "a positive number of milliseconds",
        )?;
        let seconds = number(
            details,
            "request_timeout_seconds",
            "a positive number of seconds",
        )?;
        let timeouts = [milliseconds.map(|ms| ms / 1000.0), seconds];
        // Longer than any target allows means no limit of its own.
        let timeout = timeouts
            .into_iter()
            .flatten()
            .map(|s| Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX))
            .min();
        let nan = match text(details, "nan_interpretation", "ZERO or NONE")? {
            None => None,
            Some(name) if name.eq_ignore_ascii_case("ZERO") => Some(NanInterpretation::Zero),
            Some(name) if name.eq_ignore_ascii_case("NONE") => Some(NanInterpretation::Skip),
            Some(_) => {
                return Err(DetailsError {
                    key: "nan_interpretation",
                    expected: "ZERO or NONE",
                });
            }
        };
        Ok(Self {
            asked: Asked::parse(details)?,
            timeout,
            nan,
        })
    }
}

impl Asked {
    fn parse(details: &Map<String, Value>) -> Result<Self, DetailsError> {
        if let Some(name) = text(details, "target", "the name of a target")? {
            return Ok(Self::Name(name.to_owned()));
        }
        if let Some(url) = text(details, "url", "a URL")? {
            return Server::from_url(url).map(Self::Server);
        }
        match text(details, "host", "a host name or address")? {
            Some(host) => Server::from_host(host, details).map(Self::Server),
            None => Ok(Self::Default),
        }
    }
}

impl Server {
    fn from_url(text: &str) -> Result<Self, DetailsError> {
        let expected = "http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], without user name, query and fragment";
        let url = target::url(text).map_err(|_| DetailsError {
            key: "url",
            expected,
        })?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(DetailsError {
                key: "url",
                expected,
            });
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            scheme: Some(url.scheme().to_owned()),
            path: Some(path(&url).to_owned()),
            shown: text.to_owned(),
        })
    }

    fn from_host(host: &str, details: &Map<String, Value>) -> Result<Self, DetailsError> {
        let scheme = text(details, "scheme", "http or https")?.map(str::to_ascii_lowercase);
        if scheme
            .as_ref()
            .is_some_and(|scheme| !["http", "https"].contains(&scheme.as_str()))
        {
            return Err(DetailsError {
                key: "scheme",
                expected: "http or https",
            });
        }
        let prefix = text(details, "path", "a path such as /prometheus")?;
        let port = port(details, scheme.as_deref())?;
        // A URL is put together to have host and path in the one form that URLs have.
        let bracketed = if host.parse::<std::net::Ipv6Addr>().is_ok() {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let expected = "a host name or address";
        let part_of_something_else = bracketed.contains(['/', '?', '#', '@', '\\'])
            || bracketed.chars().any(char::is_whitespace);
        let mut url = match target::url(&format!("http://{bracketed}")) {
            Ok(url) if !part_of_something_else && url.port().is_none() => url,
            _ => {
                return Err(DetailsError {
                    key: "host",
                    expected,
                });
            }
        };
        if let Some(prefix) = prefix {
            url.set_path(prefix.trim_end_matches('/'));
        }
        Ok(Self {
            host: url.host_str().unwrap_or_default().to_owned(),
            port,
            scheme,
            path: prefix.map(|_| path(&url).to_owned()),
            shown: format!("{bracketed}:{port}"),
        })
    }

    /// Whether this is a declared target.
    pub(super) fn is(&self, declared: &Url) -> bool {
        declared.host_str().map(canonical_host).as_deref() == Some(&*canonical_host(&self.host))
            && declared.port_or_known_default() == Some(self.port)
            && self
                .scheme
                .as_ref()
                .is_none_or(|scheme| scheme == declared.scheme())
            && self
                .path
                .as_ref()
                .is_none_or(|asked| canonical_path(asked) == canonical_path(path(declared)))
    }

    /// Whether a request may name it although it is not declared.
    pub(super) fn is_allowed(&self, allowed: &RequestTargets) -> bool {
        allowed.ports.contains(&self.port) && is_listed(&self.host, &allowed.hosts)
    }

    /// Its base URL.
    pub(super) fn url(&self) -> Option<Url> {
        let scheme = self.scheme.as_deref().unwrap_or("http");
        let path = self.path.as_deref().unwrap_or_default();
        target::url(&format!("{scheme}://{}:{}{path}", self.host, self.port)).ok()
    }
}

/// A text that is there and not empty: forms send empty text for what was left out.
fn text<'a>(
    details: &'a Map<String, Value>,
    key: &'static str,
    expected: &'static str,
) -> Result<Option<&'a str>, DetailsError> {
    match details.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() > MOST_TEXT_BYTES => Err(DetailsError {
            key,
            expected: "shorter than 2,048 bytes",
        }),
        Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(_) => Err(DetailsError { key, expected }),
    }
}

/// A positive number, or a text that is one.
fn number(
    details: &Map<String, Value>,
    key: &'static str,
    expected: &'static str,
) -> Result<Option<f64>, DetailsError> {
    let number = match details.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    match number.filter(|number| number.is_finite() && *number > 0.0) {
        Some(number) => Ok(Some(number)),
        None => Err(DetailsError { key, expected }),
    }
}

/// A port, or the one that goes without saying where a scheme is given.
fn port(details: &Map<String, Value>, scheme: Option<&str>) -> Result<u16, DetailsError> {
    let expected = "a port from 1 to 65535";
    let number = number(details, "port", expected)?;
    // Clients write 9090, "9090" and 9090.0.
    let port = match (number, scheme) {
        (Some(number), _) => number.to_string().parse().ok(),
        (None, Some("https")) => Some(443),
        (None, Some("http")) => Some(80),
        (None, _) => None,
    };
    port.ok_or(DetailsError {
        key: "port",
        expected,
    })
}
