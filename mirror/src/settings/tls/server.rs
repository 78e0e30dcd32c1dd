//! TLS of the API port.

use std::fmt;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};

use super::{Authorities, Identity};

/// How the API port answers over TLS.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerConfig>);

impl ServerTls {
    /// With this certificate; with authorities, clients must present a certificate of one of them.
    pub(super) fn new(identity: &Identity, clients: Option<&Authorities>) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut store = RootCertStore::empty();
                store.add_parsable_certificates(authorities.certificates().iter().cloned());
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
                        .build()
                        .map_err(|error| error.to_string())?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let only = SingleCertAndKey::from(Arc::clone(identity.certified()));
        let mut config = builder.with_cert_resolver(Arc::new(only));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// For a handshake.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.0
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}
