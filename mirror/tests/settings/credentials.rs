//! Credentials that a document refers to: what is taken, what is refused, and that nothing prints
//! them.

use mirror::settings::Auth;
use mirror::settings::watch::{Event, Watcher};

use super::{Files, KEY};

/// A document whose only target has this `auth`, and what it may refer to.
fn files(auth: &str) -> Files {
    let files = Files::new(&format!(
        "{KEY}  targets: [{{name: a, url: \"https://a\", auth: {auth}}}]\n"
    ));
    files.write("secrets/login/user", "reader\n");
    files.write("secrets/login/password", " päss: word \r\n");
    files.write("secrets/login/token", "abc.def-123\n");
    files
}

const BASIC: &str = "{basic: {usernameSecretRef: {name: login, key: user}, passwordSecretRef: {name: login, key: password}}}";
const BEARER: &str = "{bearer: {tokenSecretRef: {name: login, key: token}}}";
const OAUTH2: &str = "{oauth2: {clientIdSecretRef: {name: login, key: user}, clientSecretSecretRef: {name: login, key: password}, \
     tokenUrl: \"https://login/token\", scopes: [a, b], endpointParams: {audience: c}}}";

#[test]
fn credentials_come_from_secrets_without_the_line_break_at_their_end() {
    let auth = |declared: &str| files(declared).load().unwrap().targets[0].auth.clone();
    assert_eq!(auth("null"), None);
    assert_eq!(auth("{}"), None);
    match auth(BASIC) {
        Some(Auth::Basic { username, password }) => {
            assert_eq!(
                (username.expose(), password.expose()),
                ("reader", " päss: word ")
            );
        }
        other => panic!("{other:?}"),
    }
    match auth(BEARER) {
        Some(Auth::Bearer(token)) => {
            assert_eq!(token.header_value(), "Bearer abc.def-123");
            assert!(token.header_value().is_sensitive());
        }
        other => panic!("{other:?}"),
    }
    match auth(OAUTH2) {
        Some(Auth::OAuth2(oauth2)) => {
            let secrets = (oauth2.client_id.expose(), oauth2.client_secret.expose());
            assert_eq!(secrets, ("reader", " päss: word "));
            assert_eq!(oauth2.token_url.as_str(), "https://login/token");
            assert_eq!(oauth2.scopes, ["a", "b"]);
            assert_eq!(oauth2.endpoint_params["audience"], "c");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_prints_credentials() {
    for auth in [BASIC, BEARER, OAUTH2] {
        let printed = format!("{:?}", files(auth).load().unwrap());
        for secret in ["reader", "päss", "abc.def"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}

#[test]
fn every_fault_of_credentials_is_told_at_once_with_its_field() {
    let reference = |name: &str| format!("{{name: odd, key: {name}}}");
    let targets = [
        format!("{{basic: {{usernameSecretRef: {}, passwordSecretRef: {}}}}}", reference("absent"), reference("empty")),
        format!("{{basic: {{usernameSecretRef: {}, passwordSecretRef: {}}}}}", reference("colon"), reference("lines")),
        format!("{{bearer: {{tokenSecretRef: {}}}}}", reference("lines")),
        format!("{{bearer: {{tokenSecretRef: {}}}}}", reference("binary")),
        format!("{{bearer: {{tokenSecretRef: {}}}}}", reference("long")),
        format!("{{oauth2: {{clientIdSecretRef: {0}, clientSecretSecretRef: {0}, tokenUrl: \"https://login:0/\"}}}}", reference("absent")),
        "{sigV4: {region: eu-central-1}}".to_owned(),
        "{basic: {usernameSecretRef: {name: odd}}, bearer: {tokenSecretRef: {name: odd, key: colon}}}".to_owned(),
    ];
    let targets: String = targets
        .iter()
        .enumerate()
        .map(|(index, auth)| {
            format!("    - {{name: t{index}, url: \"https://a\", auth: {auth}}}\n")
        })
        .collect();
    let files = Files::new(&format!("{KEY}  defaultTarget: t0\n  targets:\n{targets}"));
    files.write("secrets/odd/empty", "\n");
    files.write("secrets/odd/colon", "a:b");
    files.write("secrets/odd/lines", "a\nb\n");
    files.write("secrets/odd/long", &"a".repeat(16 * 1024 + 1));
    std::fs::write(files.path("secrets/odd/binary"), [0xff, 0xfe]).unwrap();
    let absent = |what: &str| {
        format!(
            "needs the file secrets/odd/absent, which does not exist (hint: write {what} into that file, or say with --secrets-dir where it is)"
        )
    };
    let no_header = "cannot be sent in an HTTP header (hint: use ASCII letters, digits and signs, without spaces around them and without line breaks)";
    assert_eq!(
        files.faults(),
        [
            format!("spec.targets[0].auth.basic.usernameSecretRef: {}", absent("the user name")),
            "spec.targets[0].auth.basic.passwordSecretRef: the file secrets/odd/empty is empty; it must hold the password".to_owned(),
            "spec.targets[1].auth.basic.usernameSecretRef: the user name must not hold a colon, which ends it in HTTP basic authentication".to_owned(),
            format!("spec.targets[1].auth.basic.passwordSecretRef: the password in the file secrets/odd/lines {no_header}"),
            format!("spec.targets[2].auth.bearer.tokenSecretRef: the token in the file secrets/odd/lines {no_header}"),
            format!("spec.targets[3].auth.bearer.tokenSecretRef: the token in the file secrets/odd/binary {no_header}"),
            "spec.targets[4].auth.bearer.tokenSecretRef: the token in the file secrets/odd/long is longer than 16384 bytes".to_owned(),
            format!("spec.targets[5].auth.oauth2.clientIdSecretRef: {}", absent("the client id")),
            format!("spec.targets[5].auth.oauth2.clientSecretSecretRef: {}", absent("the client secret")),
            "spec.targets[5].auth.oauth2.tokenUrl: must be http:// or https:// with a host and a port from 1 to 65535".to_owned(),
            "spec.targets[6].auth.sigV4: is not supported yet".to_owned(),
            "spec.targets[7].auth: at most one of basic, bearer, oauth2 and sigV4 may be set".to_owned(),
            "spec.targets[7].auth.basic.passwordSecretRef: is missing (hint: The key of a Secret with the password)".to_owned(),
            "spec.targets[7].auth.basic.usernameSecretRef.key: is missing (hint: The key within the Secret)".to_owned(),
        ]
    );
}

#[test]
fn a_changed_password_makes_its_target_anew_and_no_other() {
    let files = Files::new(&format!(
        "{KEY}  defaultTarget: a\n  targets:\n    - {{name: a, url: \"https://a\", auth: {BEARER}}}\n    - {{name: b, url: \"https://b\"}}\n"
    ));
    files.write("secrets/login/token", "one");
    let before = files.load().unwrap();
    let mut watcher = Watcher::new(&files.source());
    files.write("secrets/login/token", "two");
    match watcher.look() {
        Some(Event::Changed(after)) => {
            assert_ne!(before.targets[0], after.targets[0]);
            assert_eq!(before.targets[1], after.targets[1]);
        }
        other => panic!("{other:?}"),
    }
}
