//! Credentials for a target, from Secrets: read, and checked for what HTTP can carry, when a
//! document is loaded.

use std::collections::BTreeMap;
use std::fmt;

use crds::{Fault, field_path};
use http::HeaderValue;
use serde_json::Value;
use url::Url;

use super::files::Files;
use super::target;

/// Longer ones do not fit into the headers that servers take.
const MOST_BYTES: u64 = 16 << 10;

/// How the mirror proves to a target who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// HTTP basic authentication.
    Basic {
        /// Without a colon.
        username: Secret,
        /// Not empty.
        password: Secret,
    },
    /// A token.
    Bearer(Authorization),
    /// Tokens that are obtained with the client credentials grant.
    OAuth2(OAuth2),
}

/// The OAuth 2.0 client credentials grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    /// Who asks for tokens.
    pub client_id: Secret,
    /// Proves it.
    pub client_secret: Secret,
    /// Where tokens are obtained.
    pub token_url: Url,
    /// What the tokens must be good for.
    pub scopes: Vec<String>,
    /// Further fields of the form.
    pub endpoint_params: BTreeMap<String, String>,
}

/// A text from a Secret: not empty, without control characters. Its `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for where it is sent.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The value of an `Authorization` header with a token. Its `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization(HeaderValue);

impl Authorization {
    /// Of a token in visible ASCII; none otherwise.
    #[must_use]
    pub fn bearer(token: &str) -> Option<Self> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// For the request.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization")
    }
}

/// Reads what a target's `auth`, at `path`, refers to. The outer None: something is wrong, which is
/// reported.
#[expect(
    clippy::option_option,
    reason = "whether it can be read, and whether there is something"
)]
pub(super) fn target_auth(
    files: &Files,
    path: &str,
    auth: &Value,
    faults: &mut Vec<Fault>,
) -> Option<Option<Auth>> {
    let set = |kind: &str| auth.get(kind).filter(|value| !value.is_null());
    let mut reader = Reader {
        files,
        path,
        faults,
    };
    if set("basic").is_some() {
        return reader.basic().map(Some);
    }
    if set("bearer").is_some() {
        return reader.bearer().map(Some);
    }
    if let Some(oauth2) = set("oauth2") {
        return reader.oauth2(oauth2).map(Some);
    }
    if set("sigV4").is_some() {
        let fault = Fault::new(field_path(path, "sigV4"), "is not supported yet");
        faults.push(fault);
        return None;
    }
    Some(None)
}

struct Reader<'a> {
    files: &'a Files<'a>,
    path: &'a str,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn basic(&mut self) -> Option<Auth> {
        let username = self.secret("basic.usernameSecretRef", "the user name");
        let password = self.secret("basic.passwordSecretRef", "the password");
        if username.as_ref().is_some_and(|name| name.0.contains(':')) {
            let field = format!("{}.basic.usernameSecretRef", self.path);
            let fault = Fault::new(
                field,
                "the user name must not hold a colon, which ends it in HTTP basic authentication",
            );
            self.faults.push(fault);
            return None;
        }
        Some(Auth::Basic {
            username: username?,
            password: password?,
        })
    }

    fn bearer(&mut self) -> Option<Auth> {
        let field = "bearer.tokenSecretRef";
        let authorization = self.read(field, "the token", Authorization::bearer);
        authorization.map(Auth::Bearer)
    }

    fn oauth2(&mut self, oauth2: &Value) -> Option<Auth> {
        let client_id = self.secret("oauth2.clientIdSecretRef", "the client id");
        let client_secret = self.secret("oauth2.clientSecretSecretRef", "the client secret");
        let field = format!("{}.oauth2.tokenUrl", self.path);
        let token_url = match oauth2["tokenUrl"].as_str().map(target::url) {
            Some(Ok(url)) => Some(url),
            Some(Err(message)) => {
                // What the schema's rule says is not said a second time.
                if self.faults.iter().all(|fault| fault.path != field) {
                    self.faults.push(Fault::new(field, message));
                }
                None
            }
            None => None,
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let scopes = oauth2["scopes"].as_array().into_iter().flatten();
        let params = oauth2["endpointParams"].as_object().into_iter().flatten();
        Some(Auth::OAuth2(OAuth2 {
            client_id: client_id?,
            client_secret: client_secret?,
            token_url: token_url?,
            scopes: scopes.filter_map(text).collect(),
            endpoint_params: params
                .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
                .collect(),
        }))
    }

    fn secret(&mut self, field: &str, what: &'static str) -> Option<Secret> {
        let plain =
            |text: &str| (!text.contains(char::is_control)).then(|| Secret(text.to_owned()));
        self.read(field, what, plain)
    }

    /// Reads the file of a field and makes a value of its text, if it can be one.
    fn read<T>(
        &mut self,
        field: &str,
        what: &'static str,
        make: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let field = format!("{}.{field}", self.path);
        let file = self.files.find(&field, what, self.faults)?;
        let read = file.required(MOST_BYTES).and_then(|bytes| {
            let text = file.text(&bytes)?;
            make(text).ok_or_else(|| file.no_header())
        });
        read.map_err(|fault| self.faults.push(fault)).ok()
    }
}
