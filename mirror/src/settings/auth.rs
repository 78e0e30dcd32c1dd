//! Credentials for a target, from Secrets: read, and checked for what HTTP can carry, when a
//! document is loaded. Tokens of the pod's service account are only located: they change by the
//! hour, and are read where they are used.

mod headers;
mod oauth2;
mod sig_v4;
mod token_file;

use std::fmt;

use crds::Fault;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

pub use self::oauth2::{OAuth2, Proof};
pub use self::sig_v4::{AccessKey, SigV4};
pub use self::token_file::{TokenFile, TokenFileError};
use super::files::Files;

/// Longer ones do not fit into the headers that servers take.
const MOST_BYTES: u64 = 16 << 10;

/// How the mirror proves to a target who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// HTTP basic authentication.
    Basic(Login),
    /// A token.
    Bearer(Authorization),
    /// A token of the pod's service account.
    ServiceAccount(TokenFile),
    /// Tokens that are obtained from a token endpoint.
    OAuth2(OAuth2),
    /// AWS Signature Version 4.
    SigV4(SigV4),
}

/// A user name and a password. One of them may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// Without a colon.
    pub username: Secret,
    /// The password.
    pub password: Secret,
}

/// What a target's `auth` holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TargetAuth {
    /// The method, if one is set.
    pub(super) method: Option<Auth>,
    /// Headers with credentials.
    pub(super) headers: HeaderMap,
}

/// A text from a Secret, without control characters. Its `Debug` prints nothing of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// None if it has control characters.
    fn plain(text: &str) -> Option<Self> {
        (!text.contains(char::is_control)).then(|| Self(text.to_owned()))
    }

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

/// Reads what a target's `auth`, at `path`, refers to. None: something is wrong, which is reported.
/// `plain` are the headers that the target sets beside it.
pub(super) fn target_auth(
    files: &Files,
    path: &str,
    auth: &Value,
    plain: &Value,
    faults: &mut Vec<Fault>,
) -> Option<TargetAuth> {
    let mut reader = AuthReader {
        files,
        path,
        faults,
    };
    let method = reader.method(auth);
    let headers = reader.headers(auth, plain);
    Some(TargetAuth {
        method: method?,
        headers: headers?,
    })
}

/// Reads a user name and a password whose references are at `path`. None: something is wrong, which
/// is reported.
pub(super) fn login(
    files: &Files,
    path: &str,
    declared: &Value,
    faults: &mut Vec<Fault>,
) -> Option<Login> {
    let mut reader = AuthReader {
        files,
        path,
        faults,
    };
    reader.login("", declared)
}

struct AuthReader<'a> {
    files: &'a Files<'a>,
    path: &'a str,
    faults: &'a mut Vec<Fault>,
}

fn set<'a>(auth: &'a Value, kind: &str) -> Option<&'a Value> {
    auth.get(kind).filter(|value| !value.is_null())
}

impl AuthReader<'_> {
    /// The outer None: something is wrong, which is reported.
    #[expect(
        clippy::option_option,
        reason = "whether it can be read, and whether there is something"
    )]
    fn method(&mut self, auth: &Value) -> Option<Option<Auth>> {
        if let Some(basic) = set(auth, "basic") {
            return Some(Some(Auth::Basic(self.login("basic.", basic)?)));
        }
        if let Some(bearer) = set(auth, "bearer") {
            return self.bearer(bearer).map(Some);
        }
        if let Some(oauth2) = set(auth, "oauth2") {
            return self.oauth2(oauth2).map(Some);
        }
        if let Some(sig_v4) = set(auth, "sigV4") {
            return self.sig_v4(sig_v4).map(Some);
        }
        Some(None)
    }

    /// One of the two may be left out: it is then empty, as some services want it.
    fn login(&mut self, within: &str, declared: &Value) -> Option<Login> {
        let mut part = |field: &str, what| {
            if set(declared, field).is_none() {
                return Some(Secret::default());
            }
            let if_empty = format!("to send it empty, leave {field} out");
            let field = format!("{within}{field}");
            self.read_or(&field, what, Some(&if_empty), Secret::plain)
        };
        let username = part("usernameSecretRef", "the user name");
        let password = part("passwordSecretRef", "the password");
        if username.as_ref().is_some_and(|name| name.0.contains(':')) {
            let field = format!("{}.{within}usernameSecretRef", self.path);
            let fault = Fault::new(
                field,
                "the user name must not hold a colon, which ends it in HTTP basic authentication",
            );
            self.faults.push(fault);
            return None;
        }
        Some(Login {
            username: username?,
            password: password?,
        })
    }

    fn bearer(&mut self, bearer: &Value) -> Option<Auth> {
        if set(bearer, "serviceAccountToken").is_some() {
            return self.token_file("bearer").map(Auth::ServiceAccount);
        }
        let field = "bearer.tokenSecretRef";
        let authorization = self.read(field, "the token", Authorization::bearer);
        authorization.map(Auth::Bearer)
    }

    fn secret(&mut self, field: &str, what: &'static str) -> Option<Secret> {
        self.read(field, what, Secret::plain)
    }

    /// Reads the file of a field and makes a value of its text, if it can be one.
    fn read<T>(
        &mut self,
        field: &str,
        what: &'static str,
        make: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.read_or(field, what, None, make)
    }

    /// The same, with a hint for a file that is empty.
    fn read_or<T>(
        &mut self,
        field: &str,
        what: &'static str,
        if_empty: Option<&str>,
        make: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let field = format!("{}.{field}", self.path);
        let file = self.files.find(&field, what, self.faults)?;
        let read = file.required(MOST_BYTES).and_then(|bytes| {
            let text = file.text(&bytes).map_err(|empty| match if_empty {
                Some(hint) => empty.hint(hint),
                None => empty,
            })?;
            make(text).ok_or_else(|| file.no_header())
        });
        read.map_err(|fault| self.faults.push(fault)).ok()
    }
}
