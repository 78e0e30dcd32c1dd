//! TLS of a target: from settings to an HTTP client, and from its failures to words.

mod failure;
mod pinning;

use reqwest::{Certificate, ClientBuilder};
use url::Url;

pub(super) use self::failure::{Failure, failure};
use self::pinning::pinning;
use super::lookup::Lookup;
use crate::settings::{Authorities, TargetSettings, TargetTls, Trust};

/// Applies a target's `tls` to the client of the server at `url`.
pub(super) fn configure(
    mut builder: ClientBuilder,
    settings: &TargetSettings,
    url: &Url,
) -> reqwest::Result<ClientBuilder> {
    // The system's roots cost about a mebibyte.
    let nobody = std::iter::empty;
    if url.scheme() != "https" {
        return Ok(builder.tls_certs_only(nobody()));
    }
    let TargetTls {
        trust,
        identity,
        server_name,
        only_tls13,
    } = &settings.tls;
    if *only_tls13 {
        builder = builder.tls_version_min(reqwest::tls::Version::TLS_1_3);
    }
    builder = match trust {
        Trust::System => builder,
        Trust::Authorities(authorities) => match pinning(authorities, settings) {
            Ok(config) => builder.tls_backend_preconfigured(config),
            // Cannot be: the certificates were read when the document was loaded. Nobody else is
            // trusted then, either.
            Err(_) => builder.tls_certs_only(certificates(authorities)?),
        },
        Trust::Anyone => builder
            .tls_certs_only(nobody())
            .tls_danger_accept_invalid_certs(true),
    };
    if let Some(identity) = identity {
        builder = builder.identity(reqwest::Identity::from_pem(identity.pem())?);
    }
    if server_name.is_some()
        && let Some(host) = url.host_str()
    {
        // In HTTP/2 there is one name for both, in HTTP/1 the Host header is still the URL's.
        builder = builder
            .http1_only()
            .dns_resolver(Lookup::always(host, settings.request_timeout));
    }
    Ok(builder)
}

/// The same for where its tokens come from. That may be a well-known server or one of the
/// authorities of `tls`; whatever `tls` says of the target, the client's secret goes to nobody who
/// is not verified.
pub(super) fn configure_issuer(
    builder: ClientBuilder,
    settings: &TargetSettings,
    url: &Url,
) -> reqwest::Result<ClientBuilder> {
    if url.scheme() != "https" {
        return Ok(builder.tls_certs_only(std::iter::empty()));
    }
    match &settings.tls.trust {
        Trust::Authorities(authorities) => Ok(builder.tls_certs_merge(certificates(authorities)?)),
        Trust::System | Trust::Anyone => Ok(builder),
    }
}

fn certificates(authorities: &Authorities) -> reqwest::Result<Vec<Certificate>> {
    let certificates = authorities.certificates().iter();
    certificates.map(|one| Certificate::from_der(one)).collect()
}

/// The URL to connect to, with the parameters of every call, and with `serverName` in the host's
/// place, because the client takes from there which name it asks for and verifies; [`Lookup`] leads
/// it to the host all the same. Beside it what the Host header then must say.
pub(super) fn named(settings: &TargetSettings, declared: &Url) -> (Url, Option<String>) {
    let mut url = declared.clone();
    url.set_query(settings.parameters.query());
    let Some(name) = &settings.tls.server_name else {
        return (url, None);
    };
    if url.scheme() != "https" || url.set_host(Some(name)).is_err() {
        return (url, None);
    }
    let host = declared.host_str().unwrap_or_default();
    let port = declared.port();
    let host = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    (url, Some(host))
}
