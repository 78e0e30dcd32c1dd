//! Tokens from a token endpoint.

use std::collections::BTreeMap;

use crds::Fault;
use serde_json::Value;
use url::Url;

use super::{Auth, AuthReader, Secret, TokenFile, set};
use crate::settings::target;

/// How tokens are obtained: with the OAuth 2.0 client credentials grant, or in exchange for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    /// Who asks for tokens. Always there except for an exchange.
    pub client_id: Option<Secret>,
    /// What proves it.
    pub proof: Proof,
    /// Where tokens are obtained.
    pub token_url: Url,
    /// What the tokens must be good for.
    pub scopes: Vec<String>,
    /// Further fields of the form. They take the place of the mirror's own.
    pub endpoint_params: BTreeMap<String, String>,
}

/// What a token is obtained with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The client's secret.
    Secret(Secret),
    /// A token as the client's assertion (RFC 7523).
    Assertion(TokenFile),
    /// A token that is exchanged (RFC 8693).
    Exchange(TokenFile),
}

impl AuthReader<'_> {
    pub(super) fn oauth2(&mut self, oauth2: &Value) -> Option<Auth> {
        let client_id = self.client_id(oauth2);
        let proof = if set(oauth2, "clientAssertion").is_some() {
            let file = self.token_file("oauth2.clientAssertion");
            file.map(Proof::Assertion)
        } else if set(oauth2, "tokenExchange").is_some() {
            self.token_file("oauth2.tokenExchange").map(Proof::Exchange)
        } else {
            let field = "oauth2.clientSecretSecretRef";
            self.secret(field, "the client secret").map(Proof::Secret)
        };
        let token_url = self.token_url(oauth2);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let scopes = oauth2["scopes"].as_array().into_iter().flatten();
        let params = oauth2["endpointParams"].as_object().into_iter().flatten();
        Some(Auth::OAuth2(OAuth2 {
            client_id: client_id?,
            proof: proof?,
            token_url: token_url?,
            scopes: scopes.filter_map(text).collect(),
            endpoint_params: params
                .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
                .collect(),
        }))
    }

    /// The outer None: something is wrong, which is reported.
    #[expect(
        clippy::option_option,
        reason = "whether it can be read, and whether there is something"
    )]
    fn client_id(&mut self, oauth2: &Value) -> Option<Option<Secret>> {
        if let Some(id) = oauth2["clientId"].as_str() {
            let plain = Secret::plain(id);
            if plain.is_none() {
                let field = format!("{}.oauth2.clientId", self.path);
                let fault = Fault::new(field, "must not have control characters");
                self.faults.push(fault);
            }
            return plain.map(Some);
        }
        if set(oauth2, "clientIdSecretRef").is_some() {
            let read = self.secret("oauth2.clientIdSecretRef", "the client id");
            return read.map(Some);
        }
        Some(None)
    }

    fn token_url(&mut self, oauth2: &Value) -> Option<Url> {
        match oauth2["tokenUrl"].as_str().map(target::url)? {
            Ok(url) => Some(url),
            Err(message) => {
                let field = format!("{}.oauth2.tokenUrl", self.path);
                // What the schema's rule says is not said a second time.
                if self.faults.iter().all(|fault| fault.path != field) {
                    self.faults.push(Fault::new(field, message));
                }
                None
            }
        }
    }
}
