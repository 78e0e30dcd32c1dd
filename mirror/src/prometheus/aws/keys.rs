//! The keys that requests are signed with.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;

/// Keys of a user or of a session. Their `Debug` prints nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::prometheus) struct Keys {
    pub(super) access_key_id: Text,
    pub(super) secret_access_key: Text,
    /// Keys of a session have one.
    pub(super) session_token: Option<Text>,
    /// None: they last.
    pub(super) expires: Option<Timestamp>,
}

impl Keys {
    /// None if one of them cannot be sent in a header or is empty.
    pub(super) fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<&str>,
        expires: Option<Timestamp>,
    ) -> Option<Self> {
        let session_token = match session_token.filter(|token| !token.is_empty()) {
            Some(token) => Some(Text::new(token)?),
            None => None,
        };
        Some(Self {
            access_key_id: Text::new(access_key_id)?,
            secret_access_key: Text::new(secret_access_key)?,
            session_token,
            expires,
        })
    }

    /// What must not be shown.
    pub(in crate::prometheus) fn secrets(&self) -> impl Iterator<Item = &str> {
        let always = [&self.secret_access_key, &self.access_key_id];
        always
            .into_iter()
            .chain(&self.session_token)
            .map(Text::expose)
    }

    #[cfg(test)]
    pub(super) fn for_tests(id: &str, secret: &str, token: Option<&str>) -> Self {
        Self::new(id, secret, token, None).unwrap()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

/// Visible ASCII that nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Text(String);

impl Text {
    /// None if it is empty or has anything else.
    pub(super) fn new(text: &str) -> Option<Self> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        (is_visible && !text.is_empty()).then(|| Self(text.to_owned()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text")
    }
}

/// Keys as the endpoints for containers and for instances answer them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeysAnswer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

/// The keys in an answer of the endpoint for containers or for instances, if it is one.
pub(super) fn of_json(body: &[u8]) -> Option<Keys> {
    let answer: KeysAnswer = serde_json::from_slice(body).ok()?;
    let expires = answer.expiration.map(|time| time.parse());
    Keys::new(
        &answer.access_key_id,
        &answer.secret_access_key,
        answer.token.as_deref(),
        expires.transpose().ok()?,
    )
}

/// The keys in an answer of the Security Token Service, which is XML, if it is one.
pub(super) fn of_xml(body: &[u8]) -> Option<Keys> {
    let text = str::from_utf8(body).ok()?;
    Keys::new(
        element(text, "AccessKeyId")?,
        element(text, "SecretAccessKey")?,
        Some(element(text, "SessionToken")?),
        Some(element(text, "Expiration")?.parse().ok()?),
    )
}

/// The text of the first element called so, without the white space around it.
pub(super) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = behind.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRES: &str = "2026-11-28T19:00:00Z";

    fn keys() -> Keys {
        let expires = EXPIRES.parse().unwrap();
        Keys::new("ASIAEXAMPLE", "a/b+c", Some("t=="), Some(expires)).unwrap()
    }

    #[test]
    fn keys_are_read_from_json_and_xml() {
        let json = format!(
            r#"{{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"a/b+c","Token":"t==","Expiration":"{EXPIRES}","AccountId":"1"}}"#
        );
        assert_eq!(of_json(json.as_bytes()), Some(keys()));
        let xml = format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\n  <AccessKeyId>ASIAEXAMPLE</AccessKeyId>\n<SecretAccessKey>a/b+c</SecretAccessKey><SessionToken>\n  t==\n</SessionToken><Expiration>{EXPIRES}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        assert_eq!(of_xml(xml.as_bytes()), Some(keys()));
        for (from, to) in [
            ("a/b+c", ""),
            ("ASIAEXAMPLE", "two words"),
            (EXPIRES, "soon"),
            ("AccessKeyId>", "Other>"),
        ] {
            assert_eq!(of_xml(xml.replace(from, to).as_bytes()), None, "{from}");
        }
        assert_eq!(of_json(b"{}"), None);
        assert_eq!(of_json(json.replace("a/b+c", "").as_bytes()), None);
    }

    #[test]
    fn nothing_prints_keys() {
        assert_eq!(format!("{:?}", keys()), "Keys");
        assert_eq!(format!("{:?}", keys().secret_access_key), "Text");
    }
}
