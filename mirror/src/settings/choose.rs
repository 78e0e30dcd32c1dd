//! Which target a request asks: connection details against the declared targets. Pure.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value};
use url::{Host, Url};

use super::undeclared::TIMEOUT as UNDECLARED_TIMEOUT;
use super::{NanInterpretation, RequestTargets, Settings, target};

/// The longest text in connection details, in bytes: it is kept with a target and quoted in
/// messages.
const MOST_TEXT_BYTES: usize = 2_047;

/// What `connectionDetails` say, as far as they mean anything here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionDetails {
    asked: Asked,
    timeout: Option<Duration>,
    nan: Option<NanInterpretation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Default,
    Name(String),
    Server(Server),
}

/// A server as a request names it. Scheme and path are compared only when given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    /// In the form of [`Url::host_str`]: lower case, IPv6 in brackets.
    host: String,
    port: u16,
    scheme: Option<String>,
    /// Without a slash at its end.
    path: Option<String>,
    /// As the request has it, for messages.
    shown: String,
}

/// Why connection details cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("connectionDetails.{key} must be {expected}")]
pub struct DetailsError {
    key: &'static str,
    expected: &'static str,
}

/// What a request asks, and on which terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The target.
    pub target: ChosenTarget,
    /// The longest that the request may take.
    pub timeout: Duration,
    /// What a NaN becomes.
    pub nan: NanInterpretation,
}

/// A declared target or another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChosenTarget {
    /// An index into [`Settings::targets`].
    Declared(usize),
    /// A server that `spec.requestTargets` allows.
    Undeclared {
        /// Its base URL.
        url: Url,
    },
}

/// Why no target answers a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// Nothing is declared under this name or address, and it is not allowed undeclared.
    #[error("{asked} is not a target of this mirror; it has: {}", .targets.join(", "))]
    Unknown {
        /// What was asked for.
        asked: String,
        /// The names of the targets.
        targets: Vec<String>,
    },
    /// `{}`, but several targets and no default.
    #[error("the connection details name no target and this mirror has no default; it has: {0}; write for example {{\"target\": \"{first}\"}}", .targets.join(", "), first = .targets.first().map_or("", String::as_str))]
    NoDefault {
        /// The names of the targets.
        targets: Vec<String>,
    },
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

    fn is(&self, declared: &Url) -> bool {
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

    fn is_allowed(&self, allowed: &RequestTargets) -> bool {
        allowed.ports.contains(&self.port) && is_listed(&self.host, &allowed.hosts)
    }

    fn url(&self) -> Option<Url> {
        let scheme = self.scheme.as_deref().unwrap_or("http");
        let path = self.path.as_deref().unwrap_or_default();
        target::url(&format!("{scheme}://{}:{}{path}", self.host, self.port)).ok()
    }
}

/// Which target a request asks.
///
/// # Errors
/// If it is none of this mirror's.
pub fn choose(settings: &Settings, details: &ConnectionDetails) -> Result<Choice, ChooseError> {
    let names = || {
        settings
            .targets
            .iter()
            .map(|target| target.name.to_string())
            .collect()
    };
    let unknown = |asked: &str| ChooseError::Unknown {
        asked: asked.to_owned(),
        targets: names(),
    };
    let target = match &details.asked {
        Asked::Default => {
            let default = settings
                .default_target
                .ok_or_else(|| ChooseError::NoDefault { targets: names() })?;
            ChosenTarget::Declared(default)
        }
        Asked::Name(name) => {
            let declared = settings
                .targets
                .iter()
                .position(|target| *target.name.0 == **name);
            ChosenTarget::Declared(declared.ok_or_else(|| unknown(name))?)
        }
        Asked::Server(server) => match settings
            .targets
            .iter()
            .position(|target| server.is(&target.url))
        {
            Some(declared) => ChosenTarget::Declared(declared),
            None => {
                let allowed = settings
                    .request_targets
                    .as_ref()
                    .filter(|allowed| server.is_allowed(allowed));
                let url = allowed
                    .and_then(|_| server.url())
                    .ok_or_else(|| unknown(&server.shown))?;
                ChosenTarget::Undeclared { url }
            }
        },
    };
    let (timeout, nan) = match &target {
        ChosenTarget::Declared(index) => {
            let declared = settings.targets.get(*index);
            declared.map_or(
                (UNDECLARED_TIMEOUT, NanInterpretation::default()),
                |target| (target.request_timeout, target.nan_interpretation),
            )
        }
        ChosenTarget::Undeclared { .. } => (UNDECLARED_TIMEOUT, NanInterpretation::default()),
    };
    Ok(Choice {
        target,
        timeout: details
            .timeout
            .map_or(timeout, |shorter| shorter.min(timeout)),
        nan: details.nan.unwrap_or(nan),
    })
}

/// The one form of a host that all its spellings have in common: lower case, without the final dot
/// of DNS and the brackets of IPv6, an address as it is usually written, one of IPv4 within IPv6 as
/// IPv4.
pub(super) fn canonical_host(host: &str) -> String {
    let bare = host.trim_matches(['[', ']']);
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    let address = bare
        .parse::<IpAddr>()
        .ok()
        .or_else(|| match Host::parse(bare) {
            // Such as 127.1.
            Ok(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            _ => None,
        });
    address.map_or_else(
        || bare.to_ascii_lowercase(),
        |address| address.to_canonical().to_string(),
    )
}

/// Whether `host`, in any of its spellings, is one of `listed`, which [`host_pattern`] made.
pub(crate) fn is_listed(host: &str, listed: &[String]) -> bool {
    let host = canonical_host(host);
    let is_address = host.parse::<IpAddr>().is_ok();
    listed
        .iter()
        .any(|pattern| match pattern.strip_prefix("*.") {
            Some(_) if is_address => false,
            Some(domain) => host
                .strip_suffix(domain)
                .and_then(|labels| labels.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
            None => *pattern == host,
        })
}

/// An entry of `requestTargets.hosts` or `server.allowedHosts` in the form in which hosts are
/// compared.
pub(super) fn host_pattern(declared: &str) -> String {
    match declared.strip_prefix("*.") {
        Some(domain) => format!("*.{}", domain.trim_end_matches('.').to_ascii_lowercase()),
        None => canonical_host(declared),
    }
}

/// The one form of a path that all its spellings have in common: slashes in a row are one, none is
/// at the end, and nothing is percent-encoded that need not be.
fn canonical_path(path: &str) -> String {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments
        .flat_map(|segment| ["/".to_owned(), unreserved_decoded(segment)])
        .collect()
}

fn unreserved_decoded(segment: &str) -> String {
    let mut parts = segment.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let rest = part.get(2..).unwrap_or_default();
        match code {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                text.push(char::from(byte));
                text.push_str(rest);
            }
            Some(byte) => text.push_str(&format!("%{byte:02X}{rest}")),
            None => text.push_str(&format!("%{part}")),
        }
    }
    text
}

/// The path of a base URL without the slash that stands for none.
fn path(url: &Url) -> &str {
    url.path().trim_end_matches('/')
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
