//! Certificates of targets and of the API port: read when a document is loaded.

mod authorities;
mod identity;
mod sections;
mod server;

use crds::{Fault, field_path};
use serde_json::Value;

pub use self::authorities::Authorities;
pub use self::identity::Identity;
use self::identity::Part;
use self::sections::Skipped;
pub use self::server::ServerTls;
use super::Found;
use super::files::{File, Files};

/// What a file of authorities must hold.
const AUTHORITIES: &str = "the certificates of authorities";

/// Secrets and ConfigMaps hold no more.
const MOST_PEM_BYTES: u64 = 1 << 20;

/// How a target's certificate is checked, and what the mirror presents. The default: well-known
/// authorities, and nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetTls {
    /// Whose certificates are good.
    pub trust: Trust,
    /// The mirror's own certificate.
    pub identity: Option<Identity>,
    /// A DNS name: what the certificate must be valid for and the TLS handshake asks for, if not
    /// the URL's host.
    pub server_name: Option<String>,
    /// TLS 1.2 is not spoken.
    pub only_tls13: bool,
}

/// Whose certificates are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those of the system's authorities.
    #[default]
    System,
    /// Those of these authorities and no others.
    Authorities(Authorities),
    /// Anyone's: `insecureSkipVerify`.
    Anyone,
}

/// Reads what a target's `tls`, at `path`, refers to. None if something is wrong, which is
/// reported.
pub(super) fn target_tls(
    files: &Files,
    path: &str,
    tls: &Value,
    found: &mut Found,
) -> Option<TargetTls> {
    let at = |field: &str| field_path(path, field);
    let before = found.faults.len();
    let authorities = ["caSecretRef", "caConfigMapRef"]
        .into_iter()
        .filter_map(|field| {
            let field = at(field);
            let file = files.find(&field, AUTHORITIES, &mut found.faults)?;
            self::authorities(&file, found)
        })
        .next();
    let trust = match authorities {
        Some(authorities) => Trust::Authorities(authorities),
        None if tls["insecureSkipVerify"] == true => Trust::Anyone,
        None => Trust::System,
    };
    let identity = if tls["clientCertificateSecretRef"].is_null() {
        None
    } else {
        identity(files, &at("clientCertificateSecretRef"), found)
    };
    let server_name = tls["serverName"].as_str().map(str::to_owned);
    if let Some(name) = &server_name
        && name.parse::<std::net::IpAddr>().is_ok()
    {
        let fault = Fault::new(at("serverName"), "must be a name, not an address");
        found
            .faults
            .push(fault.hint("name one that the server's certificate has"));
    }
    let is_sound = found.faults.len() == before
        && !found
            .faults
            .iter()
            .any(|fault| fault.path.starts_with(path));
    is_sound.then_some(TargetTls {
        trust,
        identity,
        server_name,
        only_tls13: tls["minVersion"] == "TLS13",
    })
}

/// Reads what `spec.server.tls` refers to. None if something is wrong, which is reported.
pub(super) fn server_tls(files: &Files, tls: &Value, found: &mut Found) -> Option<ServerTls> {
    let clients = "spec.server.tls.clientCaSecretName";
    let authorities = if tls["clientCaSecretName"].is_null() {
        Some(None)
    } else {
        let file = files.find(clients, AUTHORITIES, &mut found.faults);
        file.and_then(|file| self::authorities(&file, found))
            .map(Some)
    };
    let field = "spec.server.tls.secretName";
    let identity = identity(files, field, found);
    let (identity, authorities) = (identity?, authorities?);
    let made = ServerTls::new(&identity, authorities.as_ref());
    made.map_err(|error| {
        found
            .faults
            .push(Fault::new(field, format!("cannot be used: {error}")))
    })
    .ok()
}

/// The authorities in a file.
fn authorities(file: &File, found: &mut Found) -> Option<Authorities> {
    let read = file.required(MOST_PEM_BYTES).and_then(|pem| {
        Authorities::from_pem(&pem)
            .map_err(|error| file.fault(format!("the file {} {error}", file.path.display())))
    });
    match read {
        Ok((authorities, skipped)) => {
            let used = counted(authorities.certificates().len());
            note(file, &used, &skipped, &mut found.notices);
            Some(authorities)
        }
        Err(fault) => {
            found.faults.push(fault);
            None
        }
    }
}

/// Certificate and key of a Secret of type kubernetes.io/tls that a field names.
fn identity(files: &Files, field: &str, found: &mut Found) -> Option<Identity> {
    let what = ["the certificate", "its private key"];
    let files = files.find_all(field, what, &mut found.faults)?;
    let [certificate, key] = &files;
    let read = (
        certificate.required(MOST_PEM_BYTES),
        key.required(MOST_PEM_BYTES),
    );
    let fault = match read {
        (Ok(certificate_pem), Ok(key_pem)) => {
            match Identity::from_pem(&certificate_pem, &key_pem) {
                Ok((identity, skipped)) => {
                    let used = counted(identity.certified().cert.len());
                    for ((file, used), skipped) in files.iter().zip([&used, "1 key"]).zip(&skipped)
                    {
                        note(file, used, skipped, &mut found.notices);
                    }
                    return Some(identity);
                }
                Err((wrong, error)) => {
                    let file = &files[usize::from(wrong == Part::Key)];
                    let message = format!("the file {} {error}", file.path.display());
                    [Some(file.fault(message)), None]
                }
            }
        }
        (certificate, key) => [certificate.err(), key.err()],
    };
    found.faults.extend(fault.into_iter().flatten());
    None
}

/// Says what was skipped in a file, if something was.
fn note(file: &File, used: &str, skipped: &Skipped, notices: &mut Vec<Fault>) {
    if !skipped.0.is_empty() {
        let path = file.path.display();
        let message = format!("uses {used} of the file {path} and skips {skipped}");
        notices.push(file.fault(message));
    }
}

fn counted(certificates: usize) -> String {
    match certificates {
        1 => "1 certificate".to_owned(),
        several => format!("{several} certificates"),
    }
}
