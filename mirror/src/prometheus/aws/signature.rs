//! AWS Signature Version 4, in the Authorization header. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::keys::Keys;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What a signature is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) region: String,
    pub(super) service: String,
}

/// A request as it will be sent, without what its signature adds.
#[derive(Debug)]
pub(in crate::prometheus) struct Unsigned<'a> {
    pub(in crate::prometheus) method: &'a str,
    /// As the Host header says it.
    pub(in crate::prometheus) host: &'a str,
    /// Encoded, as in the URL.
    pub(in crate::prometheus) path: &'a str,
    /// Encoded, as in the URL.
    pub(in crate::prometheus) query: &'a str,
    /// Further headers that are signed: names in small letters, and values.
    pub(in crate::prometheus) headers: Vec<(&'a str, &'a str)>,
    pub(in crate::prometheus) body: &'a [u8],
}

/// The headers that make a request a signed one: names and values.
pub(super) fn signed(
    request: &Unsigned,
    scope: &Scope,
    keys: &Keys,
    at: Timestamp,
) -> Vec<(&'static str, String)> {
    let time = at.to_zoned(TimeZone::UTC);
    let time = time.strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = &time[..8];
    // Nothing that a proxy may add, drop or change.
    let mut headers: BTreeMap<&str, &str> = request.headers.iter().copied().collect();
    headers.insert("host", request.host);
    headers.insert("x-amz-date", &time);
    if let Some(token) = &keys.session_token {
        headers.insert("x-amz-security-token", token.expose());
    }
    let names: Vec<&str> = headers.keys().copied().collect();
    let names = names.join(";");
    let canonical = canonical(request, &headers, &names);
    let Scope { region, service } = scope;
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!(
        "{ALGORITHM}\n{time}\n{scope}\n{}",
        sha256(canonical.as_bytes())
    );
    let secret = format!("AWS4{}", keys.secret_access_key.expose());
    let key = [date, region, service, "aws4_request"]
        .into_iter()
        .fold(secret.into_bytes(), |key, part| {
            mac(&key, part).as_ref().to_vec()
        });
    let signature = hex(mac(&key, &to_sign).as_ref());
    let id = keys.access_key_id.expose();
    let authorization = format!(
        "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    let mut added = vec![("authorization", authorization), ("x-amz-date", time)];
    if let Some(token) = &keys.session_token {
        added.push(("x-amz-security-token", token.expose().to_owned()));
    }
    added
}

/// The request in the one form that both sides make of it.
fn canonical(request: &Unsigned, headers: &BTreeMap<&str, &str>, names: &str) -> String {
    let mut text = format!(
        "{}\n{}\n{}\n",
        request.method,
        canonical_path(request.path),
        canonical_query(request.query)
    );
    for (name, value) in headers {
        let value: Vec<&str> = value.split_whitespace().collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}:{}", value.join(" "));
    }
    let _ = write!(text, "\n{names}\n{}", sha256(request.body));
    text
}

/// The encoded path, encoded once more, without empty segments. Steps to the same folder and the
/// one above are gone from every URL.
fn canonical_path(path: &str) -> String {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let mut text: String = segments
        .map(|segment| format!("/{}", super::encoded(segment.as_bytes())))
        .collect();
    if path.ends_with('/') || text.is_empty() {
        text.push('/');
    }
    text
}

/// The encoded parameters, sorted by name and then by value.
fn canonical_query(query: &str) -> String {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let mut parameters: Vec<(&str, &str)> = parameters
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .collect();
    parameters.sort_unstable();
    let parameters: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parameters.join("&")
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature of a request in AWS's test suite, which `Signature=` and nothing follows.
    fn signature(request: &Unsigned, scope: [&str; 2], token: Option<&str>) -> String {
        let [region, service] = scope.map(str::to_owned);
        let keys = Keys::for_tests(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            token,
        );
        let at = "2015-08-30T12:36:00Z".parse().unwrap();
        let headers = signed(request, &Scope { region, service }, &keys, at);
        let [
            ("authorization", authorization),
            ("x-amz-date", "20150830T123600Z"),
            rest @ ..,
        ] = &headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect::<Vec<_>>()[..]
        else {
            panic!("{headers:?}")
        };
        let expected: Vec<_> = token
            .map(|token| ("x-amz-security-token", token))
            .into_iter()
            .collect();
        assert_eq!(rest, expected);
        authorization.split_once("Signature=").unwrap().1.to_owned()
    }

    fn request<'a>(method: &'a str, path: &'a str, query: &'a str) -> Unsigned<'a> {
        Unsigned {
            method,
            host: "example.amazonaws.com",
            path,
            query,
            headers: Vec::new(),
            body: b"",
        }
    }

    #[test]
    fn requests_of_awss_test_suite_have_its_signatures() {
        const UNRESERVED: &str =
            "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let unreserved = format!("{0}={0}", &UNRESERVED[1..]);
        let form = |content_type, body| Unsigned {
            headers: vec![("content-type", content_type)],
            body,
            ..request("POST", "/", "")
        };
        let header = |name, value| Unsigned {
            headers: vec![(name, value)],
            ..request("GET", "/", "")
        };
        let table = [
            // get-vanilla
            (
                request("GET", "/", ""),
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            // get-slashes
            (
                request("GET", "//example//", ""),
                "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
            ),
            // get-space; the suite writes paths before they are encoded.
            (
                request("GET", "/example space/", ""),
                "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
            ),
            // get-utf8
            (
                request("GET", "/\u{1234}", ""),
                "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
            ),
            // get-unreserved
            (
                request("GET", UNRESERVED, ""),
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
            // get-vanilla-query-unreserved
            (
                request("GET", "/", &unreserved),
                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            ),
            // get-vanilla-query-order-key-case
            (
                request("GET", "/", "Param2=value2&Param1=value1"),
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            // get-vanilla-empty-query-key
            (
                request("GET", "/", "Param1=value1"),
                "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
            ),
            // get-vanilla-utf8-query
            (
                request("GET", "/", "%E1%88%B4=bar"),
                "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
            ),
            // post-vanilla
            (
                request("POST", "/", ""),
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            // post-vanilla-query
            (
                request("POST", "/", "Param1=value1"),
                "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
            ),
            // post-x-www-form-urlencoded
            (
                form("application/x-www-form-urlencoded", b"Param1=value1"),
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            // post-x-www-form-urlencoded-parameters
            (
                form(
                    "application/x-www-form-urlencoded; charset=utf8",
                    b"Param1=value1",
                ),
                "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
            ),
            // get-header-value-multiline, whose lines are joined before.
            (
                header("my-header1", "value1,value2,value3"),
                "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790",
            ),
        ];
        for (request, expected) in table {
            let found = signature(&request, ["us-east-1", "service"], None);
            assert_eq!(found, expected, "{request:?}");
        }
    }

    #[test]
    fn the_documentations_example_has_its_signature() {
        // ListUsers, in "Create a signed AWS API request".
        let request = Unsigned {
            method: "GET",
            host: "iam.amazonaws.com",
            path: "/",
            query: "Action=ListUsers&Version=2010-05-08",
            headers: vec![(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            )],
            body: b"",
        };
        assert_eq!(
            signature(&request, ["us-east-1", "iam"], None),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn a_session_token_is_sent_and_signed() {
        // post-sts-header-before
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        assert_eq!(
            signature(
                &request("POST", "/", ""),
                ["us-east-1", "service"],
                Some(token)
            ),
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
        );
    }

    #[test]
    fn a_path_is_encoded_once_more_without_empty_segments() {
        let table = [
            ("", "/"),
            ("/", "/"),
            (
                "/workspaces/ws-1/api/v1/query",
                "/workspaces/ws-1/api/v1/query",
            ),
            ("//a///b/", "/a/b/"),
            ("/a%20b/%E1%88%B4", "/a%2520b/%25E1%2588%25B4"),
            ("/a:b@c", "/a%3Ab%40c"),
        ];
        for (path, expected) in table {
            assert_eq!(canonical_path(path), expected);
        }
    }

    #[test]
    fn parameters_are_sorted_by_name_and_then_by_value() {
        let table = [
            ("", ""),
            ("b=2&a=2&a=1", "a=1&a=2&b=2"),
            // As whole texts these would change places.
            ("a-=1&a=1", "a=1&a-=1"),
            ("match%5B%5D=x&a", "a=&match%5B%5D=x"),
        ];
        for (query, expected) in table {
            assert_eq!(canonical_query(query), expected);
        }
    }
}
