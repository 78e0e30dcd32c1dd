//! Declared authorities, and nobody else.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::settings::{Authorities, TargetSettings};

/// For `minVersion: TLS13`.
const ONLY_TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A client's TLS with these authorities and no others.
pub(super) fn pinning(
    authorities: &Authorities,
    settings: &TargetSettings,
) -> Result<ClientConfig, Box<dyn std::error::Error>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.certificates().iter().cloned());
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()?;
    let verifier = Pinning {
        usual,
        authorities: authorities.clone(),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(match settings.tls.only_tls13 {
            true => ONLY_TLS13,
            false => rustls::DEFAULT_VERSIONS,
        })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &settings.tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let only = SingleCertAndKey::from(Arc::clone(identity.certified()));
            builder.with_client_cert_resolver(Arc::new(only))
        }
    };
    config.alpn_protocols = match settings.tls.server_name {
        None => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Some(_) => vec![b"http/1.1".to_vec()],
    };
    Ok(config)
}

/// Verifies as usual, except that a server may present the certificate of an authority as its own
/// (`openssl req -x509` makes such ones) if exactly this certificate was declared. Only the holder
/// of its key can present it, who could as well issue any other certificate that is accepted here.
/// Its time and its names are checked as usual.
#[derive(Debug)]
struct Pinning {
    usual: Arc<WebPkiServerVerifier>,
    authorities: Authorities,
}

impl ServerCertVerifier for Pinning {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.usual.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // It is only found to be an authority's after its time was found to be right.
            Err(rustls::Error::InvalidCertificate(reason))
                if is_authoritys(&reason)
                    && self.authorities.certificates().contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// What rustls passes on from the library below it.
pub(super) fn beneath(reason: &CertificateError) -> Option<&webpki::Error> {
    match reason {
        CertificateError::Other(other) => other.0.downcast_ref(),
        _ => None,
    }
}

pub(super) fn is_authoritys(reason: &CertificateError) -> bool {
    matches!(beneath(reason), Some(webpki::Error::CaUsedAsEndEntity))
}
