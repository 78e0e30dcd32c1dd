//! Hosts and paths in the one form that all their spellings have in common.

use std::net::IpAddr;

use url::{Host, Url};

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
pub(super) fn canonical_path(path: &str) -> String {
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
pub(super) fn path(url: &Url) -> &str {
    url.path().trim_end_matches('/')
}
