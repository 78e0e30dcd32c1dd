//! Cuts credentials out of text that others wrote, before it goes into a message. One pass over the
//! text.

/// Stands for what was cut.
const CUT: &str = "***";

/// A shorter secret is cut only where it is a whole word: as a part of others it would tear up
/// every message.
const SHORTEST_INSIDE_WORDS: usize = 8;

/// Names whose value is a credential, as the end of a name in small letters without punctuation:
/// `X-Vault-Token`, `client_secret`.
const KEYS: [&str; 19] = [
    "token",
    "password",
    "passwd",
    "passwort",
    "passphrase",
    "pwd",
    "secret",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "accesskeyid",
    "credential",
    "credentials",
    "authorization",
    "signature",
    "cookie",
    "sessionid",
    "assertion",
];

/// Of these the value is all that follows, white space included.
const LONG_VALUES: [&str; 2] = ["authorization", "cookie"];

/// Of these the value is often a sentence about them: `invalid_token: it has expired`.
const TALKED_ABOUT: [&str; 5] = [
    "token",
    "credential",
    "credentials",
    "signature",
    "assertion",
];

/// The longest word that is taken for a part of such a sentence.
const LONGEST_WORD: usize = 14;

/// How tokens of well-known makes begin.
const TOKEN_BEGINNINGS: [&str; 12] = [
    "eyJ",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "glsa_",
    "glc_",
    "xoxb-",
    "xoxp-",
    "hvs.",
    "sk-",
];

/// What follows `bearer`, `basic`, `token:` and the like in plain sentences, where nothing needs to
/// be cut.
const PLAIN_WORDS: [&str; 66] = [
    "a",
    "access",
    "an",
    "and",
    "are",
    "auth",
    "authentication",
    "authorization",
    "cannot",
    "contains",
    "could",
    "credential",
    "credentials",
    "denied",
    "did",
    "does",
    "empty",
    "error",
    "expired",
    "failed",
    "for",
    "format",
    "found",
    "has",
    "header",
    "headers",
    "in",
    "invalid",
    "is",
    "issuer",
    "key",
    "malformed",
    "may",
    "missing",
    "must",
    "needed",
    "no",
    "none",
    "not",
    "of",
    "on",
    "only",
    "or",
    "password",
    "provided",
    "realm",
    "rejected",
    "required",
    "revoked",
    "scheme",
    "schema",
    "service",
    "should",
    "signature",
    "that",
    "the",
    "this",
    "to",
    "token",
    "tokens",
    "type",
    "unauthorized",
    "unknown",
    "value",
    "was",
    "with",
];

/// `text` without the secrets, and without what looks like one. `secrets` are the longest first.
pub(super) fn without_credentials(text: &str, secrets: &[String]) -> String {
    let mut known = text.to_owned();
    for secret in secrets {
        if known.contains(secret.as_str()) {
            known = without(&known, secret);
        }
    }
    without_patterns(&known)
}

fn without(text: &str, secret: &str) -> String {
    if secret.len() >= SHORTEST_INSIDE_WORDS {
        return text.replace(secret, CUT);
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(secret) {
        let end = at + secret.len();
        let before = rest[..at].chars().next_back().or(kept.chars().next_back());
        let after = rest[end..].chars().next();
        let is_word = [before, after]
            .into_iter()
            .flatten()
            .all(|neighbour| !neighbour.is_alphanumeric());
        kept.push_str(&rest[..at]);
        kept.push_str(if is_word { CUT } else { secret });
        rest = &rest[end..];
    }
    kept.push_str(rest);
    kept
}

fn without_patterns(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    // What stood before, in small letters, for names of two words: `API key`.
    let mut last_word = "";
    while let Some(first) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("://") {
            kept.push_str("://");
            rest = behind;
            let end = behind.find(|c: char| c.is_whitespace() || "/?#\"'<>\\".contains(c));
            let authority = &behind[..end.unwrap_or(behind.len())];
            if let Some(at) = authority.rfind('@') {
                kept.push_str(CUT);
                rest = &behind[at..];
            }
            continue;
        }
        if !is_name(first) {
            kept.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let word = &rest[..length];
        if is_token(word) {
            kept.push_str(CUT);
            rest = &rest[token_length(rest)..];
            continue;
        }
        kept.push_str(word);
        rest = &rest[length..];
        let cut = of_scheme(word, rest).or_else(|| of_key(last_word, word, rest));
        if let Some((before, value)) = cut {
            kept.push_str(&rest[..before]);
            kept.push_str(CUT);
            rest = &rest[before + value..];
        }
        last_word = word;
    }
    kept
}

/// A credential behind `Bearer` or `Basic`: how many bytes stand before it, and how many it has.
fn of_scheme(word: &str, rest: &str) -> Option<(usize, usize)> {
    let is_basic = word.eq_ignore_ascii_case("basic");
    if !is_basic && !word.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let before =
        leading(rest, |c| c == ' ' || c == '+').max(rest.strip_prefix("%20").map_or(0, |_| 3));
    let value = &rest[before..];
    let length = token_length(value);
    let value = &value[..length];
    let is_plain = PLAIN_WORDS.contains(&value.to_ascii_lowercase().trim_end_matches('.'))
        // Base64 of a name and a password has more than small letters.
        || is_basic && value.chars().all(|c| c.is_ascii_lowercase());
    (before > 0 && length > 0 && !is_plain).then_some((before, length))
}

/// The value of a name that stands for a credential.
fn of_key(last_word: &str, word: &str, rest: &str) -> Option<(usize, usize)> {
    let mut name: String = word
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if name == "key"
        && ["api", "access", "secret"].contains(&last_word.to_ascii_lowercase().as_str())
    {
        name = "apikey".to_owned();
    }
    let key = KEYS.into_iter().find(|key| name.ends_with(key))?;
    let mut at = leading(rest, |c| "\"'\\]".contains(c));
    at += leading(&rest[at..], |c| c == ' ');
    let separator = &rest[at..];
    let encoded = ["%3d", "%3a", "%3D", "%3A"];
    let is_assigned =
        separator.starts_with('=') || encoded.iter().any(|e| separator.starts_with(e));
    at += if is_assigned || separator.starts_with(':') {
        if separator.starts_with('%') { 3 } else { 1 }
    } else {
        return None;
    };
    at += leading(&rest[at..], |c| c == '>' || c == ' ');
    let quotes = leading(&rest[at..], |c| "\"'\\".contains(c));
    at += quotes;
    let value = &rest[at..];
    let is_long = LONG_VALUES.contains(&key);
    let end = |c: char| match quotes {
        0 if is_long => "\"'<,;".contains(c),
        0 => c.is_whitespace() || "&,;)}]\"'<".contains(c),
        _ => "\"'\\".contains(c),
    };
    let length = value.find(end).unwrap_or(value.len());
    let first = value[..length].split(' ').next().unwrap_or_default();
    let is_word = PLAIN_WORDS.contains(&first.to_ascii_lowercase().trim_end_matches('.'))
        // Not behind the name of a header.
        || TALKED_ABOUT.contains(&key)
            && !word.contains('-')
            && first.len() <= LONGEST_WORD
            && first.chars().skip(1).all(|c| c.is_ascii_lowercase());
    let is_plain = !is_assigned && quotes == 0 && is_word;
    (length > 0 && !is_plain && !value.starts_with(CUT)).then_some((at, length))
}

/// What names of fields and tokens consist of.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn is_token(word: &str) -> bool {
    let is_known =
        |beginning: &&str| word.starts_with(*beginning) && word.len() >= beginning.len() + 8;
    let is_amazon = (word.starts_with("AKIA") || word.starts_with("ASIA"))
        && word.len() == 20
        && word
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    is_amazon || TOKEN_BEGINNINGS.iter().any(is_known)
}

/// How many bytes a token has that `text` begins with.
fn token_length(text: &str) -> usize {
    leading(text, |c| is_name(c) || "~+/=".contains(c))
}

/// How many bytes of `text` are of that kind.
fn leading(text: &str, is: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> String {
        without_credentials(text, &[])
    }

    #[test]
    fn what_looks_like_a_credential_is_cut() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl_-x";
        let table = [
            (format!("token {jwt} has expired"), "token *** has expired"),
            (format!("Bearer {jwt}"), "Bearer ***"),
            (
                "bad header: Authorization: Bearer abc.def/g+h==".to_owned(),
                "bad header: Authorization: ***",
            ),
            (
                "got bearer mytoken, sorry".to_owned(),
                "got bearer ***, sorry",
            ),
            ("Basic dXNlcjpwYXNz refused".to_owned(), "Basic *** refused"),
            ("Bearer%20abc1".to_owned(), "Bearer%20***"),
            (
                "/login?token=abc&next=/&password=x%20y#z".to_owned(),
                "/login?token=***&next=/&password=***",
            ),
            (
                "api_key=abc api-key: def apikey='g h'".to_owned(),
                "api_key=*** api-key: *** apikey='***'",
            ),
            ("Invalid API key: abc123".to_owned(), "Invalid API key: ***"),
            (
                r#"{"password":"a b","user":"u"}"#.to_owned(),
                r#"{"password":"***","user":"u"}"#,
            ),
            (
                r#"{\"client_secret\": \"a\", \"n\": 1}"#.to_owned(),
                r#"{\"client_secret\": \"***\", \"n\": 1}"#,
            ),
            ("X-Vault-Token: hunter2;".to_owned(), "X-Vault-Token: ***;"),
            ("password: hunter2".to_owned(), "password: ***"),
            ("Cookie: a=b c=d, x".to_owned(), "Cookie: ***, x"),
            (
                "X-Amz-Signature=0a1b&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE/20260101".to_owned(),
                "X-Amz-Signature=***&X-Amz-Credential=***",
            ),
            (
                "key AKIAIOSFODNN7EXAMPLE is unknown".to_owned(),
                "key *** is unknown",
            ),
            (
                "glsa_abcdefgh12345678 and ghp_abcdefgh1234".to_owned(),
                "*** and ***",
            ),
            (
                "no route to http://user:p@ss@host:1/x@y".to_owned(),
                "no route to http://***@host:1/x@y",
            ),
            ("https://token@host".to_owned(), "https://***@host"),
            ("access_token%3Dabc".to_owned(), "access_token%3D***"),
        ];
        for (text, expected) in table {
            assert_eq!(cut(&text), expected, "{text}");
        }
    }

    #[test]
    fn plain_sentences_stay_as_they_are() {
        for text in [
            "Bearer token is missing",
            "Basic authentication is required",
            "invalid token: signature is invalid",
            "invalid_token: it has expired",
            "Bearer realm",
            "the token has expired",
            "no password was given",
            "max tokens exceeded: 5",
            "1:5: parse error: unexpected identifier \"x\"",
            "see https://example.com/a@b?c",
            "the request id is 550e8400-e29b-41d4-a716-446655440000",
            "",
        ] {
            assert_eq!(cut(text), text);
        }
    }

    #[test]
    fn known_secrets_are_cut_verbatim_and_short_ones_only_as_words() {
        let secrets = ["long secret!".to_owned(), "team".to_owned(), "é".to_owned()];
        let cut = |text: &str| without_credentials(text, &secrets);
        assert_eq!(cut("xlong secret!y"), "x***y");
        assert_eq!(
            cut("team teams steam (team) team"),
            "*** teams steam (***) ***"
        );
        assert_eq!(cut("teamteam é"), "teamteam ***");
    }

    #[test]
    fn long_texts_take_linear_time() {
        for text in ["token=", "Bearer ", "://", "a", "eyJ", "\"", "key:\\"] {
            let _ = cut(&text.repeat(20_000));
        }
    }
}
