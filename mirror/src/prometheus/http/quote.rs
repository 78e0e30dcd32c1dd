//! Text of others in the mirror's messages: one line, printable, short, and without credentials.

use std::error::Error;

use http::{HeaderValue, header};

use super::redact::without_credentials;
use crate::settings::{Auth, Login, Proof, Secret, TargetSettings};

/// So much of an upstream's text goes into a message.
const MOST_CHARACTERS: usize = 200;

/// The shortest header value that is cut. A tenant `1` is no secret, and cutting it would tear up
/// every number.
const SHORTEST_HEADER_VALUE: usize = 4;

/// What the mirror sends to a server to get in, and so must never show: the longest first.
#[derive(Clone, Default)]
pub(in crate::prometheus) struct Secrets(Vec<String>);

impl Secrets {
    /// Those that stand in a target's settings, in the forms in which a server may repeat them.
    pub(in crate::prometheus) fn of(settings: &TargetSettings) -> Self {
        let mut secrets = Self::default();
        for value in settings.headers.values() {
            // One with a credential may begin with a scheme.
            if value.is_sensitive() {
                secrets.add_authorization(value);
            }
            if let Ok(text) = value.to_str()
                && (value.is_sensitive() || text.len() >= SHORTEST_HEADER_VALUE)
            {
                secrets.add(text);
            }
        }
        let proxy = settings.proxy.as_ref();
        if let Some(login) = proxy.and_then(|proxy| proxy.login.as_ref()) {
            secrets.add_login(login);
        }
        match &settings.auth {
            // A token from a file is added when it is used.
            None | Some(Auth::ServiceAccount(_)) => {}
            Some(Auth::Basic(login)) => secrets.add_login(login),
            Some(Auth::Bearer(token)) => secrets.add_authorization(&token.header_value()),
            Some(Auth::OAuth2(oauth2)) => {
                let client = Login {
                    username: oauth2.client_id.clone().unwrap_or_default(),
                    password: match &oauth2.proof {
                        Proof::Secret(secret) => secret.clone(),
                        Proof::Assertion(_) | Proof::Exchange(_) => Secret::default(),
                    },
                };
                if client != Login::default() {
                    secrets.add_login(&client);
                }
                for value in oauth2.endpoint_params.values() {
                    if value.len() >= SHORTEST_HEADER_VALUE {
                        secrets.add(value);
                    }
                }
            }
            Some(Auth::SigV4(sig_v4)) => {
                if let Some(key) = &sig_v4.access_key {
                    secrets.add(key.id.expose());
                    secrets.add(key.secret.expose());
                }
            }
        }
        secrets
    }

    /// The same, and a token.
    pub(in crate::prometheus) fn and_token(&self, token: &str) -> Self {
        let mut secrets = self.clone();
        secrets.add(token);
        secrets
    }

    /// The same, and what an `Authorization` header holds.
    pub(in crate::prometheus) fn and(&self, authorization: &http::HeaderValue) -> Self {
        let mut secrets = self.clone();
        secrets.add_authorization(authorization);
        secrets
    }

    /// The same, and these.
    pub(in crate::prometheus) fn and_all<'a>(&self, more: impl Iterator<Item = &'a str>) -> Self {
        let mut secrets = self.clone();
        more.for_each(|secret| secrets.add(secret));
        secrets
    }

    fn add_authorization(&mut self, value: &http::HeaderValue) {
        if let Ok(text) = value.to_str() {
            // Without its scheme.
            self.add(text.split_once(' ').map_or(text, |(_, token)| token));
        }
    }

    fn add_login(&mut self, login: &Login) {
        for secret in [&login.username, &login.password] {
            self.add(secret.expose());
            let encoded: String =
                url::form_urlencoded::byte_serialize(secret.expose().as_bytes()).collect();
            self.add(&encoded);
        }
        if let Some(value) = authorization_of(login) {
            self.add_authorization(&value);
        }
    }

    fn add(&mut self, secret: &str) {
        let secret = printable(secret);
        if secret.is_empty() || self.0.contains(&secret) {
            return;
        }
        let longer = self.0.partition_point(|known| known.len() >= secret.len());
        self.0.insert(longer, secret);
    }
}

/// The header for a login, as reqwest writes it. None cannot be.
pub(in crate::prometheus) fn authorization_of(login: &Login) -> Option<HeaderValue> {
    let Login { username, password } = login;
    let client = reqwest::Client::builder().tls_certs_only(std::iter::empty());
    let request = client.build().and_then(|client| {
        client
            .get("http://localhost")
            .basic_auth(username.expose(), Some(password.expose()))
            .build()
    });
    request.ok()?.headers_mut().remove(header::AUTHORIZATION)
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

/// `text` in one line, without what cannot be seen and without credentials, cut to a readable
/// length.
pub(in crate::prometheus) fn quote(text: &str, secrets: &Secrets) -> String {
    shortened(&without_credentials(&printable(text), &secrets.0))
}

/// The first line with text, fit for a message.
pub(in crate::prometheus) fn first_line(text: &str, secrets: &Secrets) -> String {
    let mut lines = text.lines().map(|line| quote(line, secrets));
    lines.find(|line| !line.is_empty()).unwrap_or_default()
}

/// The innermost cause: the outer ones say "error sending request" and repeat the URL.
pub(crate) fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    quote(&cause.to_string(), &Secrets::default())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// `text` without characters that are not seen or that change how others are seen; white space and
/// control characters as single spaces.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if is_invisible(character) {
            continue;
        }
        if character.is_control() || character.is_whitespace() {
            if !printable.is_empty() && !printable.ends_with(' ') {
                printable.push(' ');
            }
        } else {
            printable.push(character);
        }
    }
    printable.truncate(printable.trim_end().len());
    printable
}

/// Zero width, direction of writing, variants and tags: Unicode's format characters, and some more
/// that show nothing.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quoted(text: &str) -> String {
        quote(text, &Secrets::default())
    }

    #[test]
    fn text_becomes_one_printable_line() {
        let table = [
            (" a\r\n\tb \x1b[31mc\u{2028}d\u{0}", "a b [31mc d"),
            ("ad\u{202e}min\u{200b} \u{2066}x\u{2069}\u{feff}", "admin x"),
            ("\u{e0041}tag \u{fe0f}v", "tag v"),
            ("ünï 漢字 🙂", "ünï 漢字 🙂"),
            ("", ""),
        ];
        for (text, expected) in table {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn a_credential_is_cut_before_the_text_is_shortened() {
        let text = format!("{} token=abcdef", "x".repeat(191));
        assert_eq!(quoted(&text), format!("{} token=**…", "x".repeat(191)));
        assert_eq!(quoted(&"é".repeat(201)), "é".repeat(200) + "…");
        assert_eq!(quoted(&"é".repeat(200)), "é".repeat(200));
        // Zero width inside does not hide it.
        assert_eq!(quoted("Bear\u{200b}er ab\u{200d}c1"), "Bearer ***");
    }

    #[test]
    fn the_first_line_with_text_counts() {
        assert_eq!(first_line("\n \u{200b}\n b\nc", &Secrets::default()), "b");
        assert_eq!(first_line("\n", &Secrets::default()), "");
    }

    proptest! {
        #[test]
        fn whatever_is_quoted_is_short_and_printable(text in "\\PC*|.*") {
            let quoted = quoted(&text);
            prop_assert!(quoted.chars().count() <= MOST_CHARACTERS + 1);
            prop_assert!(!quoted.contains(|c: char| c.is_control() || is_invisible(c)));
        }

        #[test]
        fn a_secret_is_never_shown(
            before in "[a-z ]{0,30}", secret in "[a-zA-Z0-9+/=!$]{8,40}", after in "[a-z ]{0,300}",
        ) {
            let mut secrets = Secrets::default();
            secrets.add(&secret);
            let quoted = quote(&format!("{before}{secret}{after}"), &secrets);
            prop_assert!(!quoted.contains(&secret) || before.contains(&secret) || after.contains(&secret), "{quoted}");
        }
    }
}
