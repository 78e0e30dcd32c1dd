//! Credentials that a document refers to: what is taken, what is refused, and that nothing prints
//! them.

use mirror::settings::watch::{Event, Watcher};
use mirror::settings::{Auth, Login, Proof, SigV4};

use super::{Files, KEY};

/// A document whose only target has this `auth`, and what it may refer to.
fn files(auth: &str) -> Files {
    let files = Files::new(&format!(
        "{KEY}  targets: [{{name: a, url: \"https://a\", auth: {auth}}}]\n"
    ));
    files.write("secrets/login/user", "\u{feff}reader\n");
    files.write("secrets/login/password", " päss: word \r\n");
    files.write("secrets/login/token", "abc.def-123\n");
    files
}

const BASIC: &str = "{basic: {usernameSecretRef: {name: login, key: user}, passwordSecretRef: {name: login, key: password}}}";
const BEARER: &str = "{bearer: {tokenSecretRef: {name: login, key: token}}}";
const OAUTH2: &str = "{oauth2: {clientIdSecretRef: {name: login, key: user}, clientSecretSecretRef: {name: login, key: password}, \
     tokenUrl: \"https://login/token\", scopes: [a, b], endpointParams: {audience: c}}}";

const SIG_V4: &str = "{sigV4: {region: eu-central-1, roleArn: \"arn:aws:iam::123456789012:role/a\", \
     accessKeyIdSecretRef: {name: login, key: user}, secretAccessKeySecretRef: {name: login, key: token}}}";

#[test]
fn credentials_come_from_secrets_without_what_editors_add() {
    let auth = |declared: &str| files(declared).load().unwrap().targets[0].auth.clone();
    assert_eq!(auth("null"), None);
    assert_eq!(auth("{}"), None);
    match auth(BASIC) {
        Some(Auth::Basic(login)) => assert_eq!(shown(&login), ("reader", " päss: word ")),
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
            assert_eq!(oauth2.client_id.unwrap().expose(), "reader");
            match oauth2.proof {
                Proof::Secret(secret) => assert_eq!(secret.expose(), " päss: word "),
                other => panic!("{other:?}"),
            }
            assert_eq!(oauth2.token_url.as_str(), "https://login/token");
            assert_eq!(oauth2.scopes, ["a", "b"]);
            assert_eq!(oauth2.endpoint_params["audience"], "c");
        }
        other => panic!("{other:?}"),
    }
    match auth(SIG_V4) {
        Some(Auth::SigV4(sig_v4)) => {
            let key = sig_v4.access_key.unwrap();
            let secrets = (key.id.expose(), key.secret.expose());
            assert_eq!(secrets, ("reader", "abc.def-123"));
            assert_eq!((&*sig_v4.region, &*sig_v4.service), ("eu-central-1", "aps"));
            let role = "arn:aws:iam::123456789012:role/a";
            assert_eq!(sig_v4.role_arn.as_deref(), Some(role));
        }
        other => panic!("{other:?}"),
    }
    match auth("{sigV4: {region: eu-central-1, service: execute-api}}") {
        Some(Auth::SigV4(sig_v4)) => {
            let expected = SigV4 {
                region: "eu-central-1".to_owned(),
                service: "execute-api".to_owned(),
                role_arn: None,
                access_key: None,
            };
            assert_eq!(sig_v4, expected);
        }
        other => panic!("{other:?}"),
    }
}

fn shown(login: &Login) -> (&str, &str) {
    (login.username.expose(), login.password.expose())
}

#[test]
fn a_name_or_a_password_that_is_left_out_is_empty() {
    let login = |declared: &str| match &files(declared).load().unwrap().targets[0].auth {
        Some(Auth::Basic(login)) => {
            let (name, password) = shown(login);
            (name.to_owned(), password.to_owned())
        }
        other => panic!("{other:?}"),
    };
    let pair = |name: &str, password: &str| (name.to_owned(), password.to_owned());
    let name = "{basic: {usernameSecretRef: {name: login, key: user}}}";
    let password = "{basic: {passwordSecretRef: {name: login, key: token}}}";
    assert_eq!(login(name), pair("reader", ""));
    assert_eq!(login(password), pair("", "abc.def-123"));
}

const HEADERS: &str = "{headers: [{name: X-API-Key, valueSecretRef: {name: login, key: token}}, {name: Authorization, valueSecretRef: {name: login, key: scheme}}]}";

#[test]
fn headers_with_credentials_are_sent_beside_the_others_and_marked() {
    let files = Files::new(&format!(
        "{KEY}  targets: [{{name: a, url: \"https://a\", headers: {{X-Scope-OrgID: b}}, auth: {HEADERS}}}]\n"
    ));
    files.write("secrets/login/token", "abc.def-123\n");
    files.write("secrets/login/scheme", "Token the-token\n");
    let headers = &files.load().unwrap().targets[0].headers;
    let mut sent: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap(), value.is_sensitive()))
        .collect();
    sent.sort_unstable();
    let expected = [
        ("authorization", "Token the-token", true),
        ("x-api-key", "abc.def-123", true),
        ("x-scope-orgid", "b", false),
    ];
    assert_eq!(sent, expected);
}

const SERVICE_ACCOUNT: &str = "{bearer: {serviceAccountToken: {audience: b, expiration: 10m}}}";

fn token_file() -> String {
    let token = crds::ProjectedToken {
        audience: Some("b".to_owned()),
        expiration_seconds: 600,
    };
    format!("tokens/{}", token.file())
}

#[test]
fn tokens_of_the_service_account_are_read_where_they_are_used() {
    let wrapped = |field: &str| {
        format!(
            "{{oauth2: {{clientId: app, tokenUrl: \"https://login/token\", {field}: {{serviceAccountToken: {{audience: b, expiration: 600s}}}}}}}}"
        )
    };
    let table = [
        SERVICE_ACCOUNT.to_owned(),
        wrapped("clientAssertion"),
        wrapped("tokenExchange"),
    ];
    for declared in table {
        let files = files(&declared);
        files.write(&token_file(), "one\n");
        let before = files.load().unwrap().targets[0].clone();
        let file = match before.auth.clone().unwrap() {
            Auth::ServiceAccount(file) => file,
            Auth::OAuth2(oauth2) => match oauth2.proof {
                Proof::Assertion(file) | Proof::Exchange(file) => file,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        assert_eq!(file.read().unwrap(), "one");
        let mut watcher = Watcher::new(&files.source());
        files.write(&token_file(), "two");
        assert!(watcher.look().is_none(), "a new token is no change");
        assert_eq!(before, files.load().unwrap().targets[0]);
        assert_eq!(file.read().unwrap(), "two");
    }
}

#[test]
fn nothing_prints_credentials() {
    for auth in [BASIC, BEARER, OAUTH2, SIG_V4, HEADERS, SERVICE_ACCOUNT] {
        let files = files(auth);
        files.write("secrets/login/scheme", "Token abc.def");
        files.write(&token_file(), "abc.def");
        let printed = format!("{:?}", files.load().unwrap());
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
        format!("{{sigV4: {{region: eu-central-1, accessKeyIdSecretRef: {}, secretAccessKeySecretRef: {}}}}}", reference("colon"), reference("empty")),
        format!("{{sigV4: {{region: eu-central-1, accessKeyIdSecretRef: {}, secretAccessKeySecretRef: {}}}}}", reference("absent"), reference("lines")),
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
            "spec.targets[0].auth.basic.passwordSecretRef: the file secrets/odd/empty is empty; it must hold the password (hint: to send it empty, leave passwordSecretRef out)".to_owned(),
            "spec.targets[1].auth.basic.usernameSecretRef: the user name must not hold a colon, which ends it in HTTP basic authentication".to_owned(),
            format!("spec.targets[1].auth.basic.passwordSecretRef: the password in the file secrets/odd/lines {no_header}"),
            format!("spec.targets[2].auth.bearer.tokenSecretRef: the token in the file secrets/odd/lines {no_header}"),
            format!("spec.targets[3].auth.bearer.tokenSecretRef: the token in the file secrets/odd/binary {no_header}"),
            "spec.targets[4].auth.bearer.tokenSecretRef: the token in the file secrets/odd/long is longer than 16384 bytes".to_owned(),
            format!("spec.targets[5].auth.oauth2.clientIdSecretRef: {}", absent("the client id")),
            format!("spec.targets[5].auth.oauth2.clientSecretSecretRef: {}", absent("the client secret")),
            "spec.targets[5].auth.oauth2.tokenUrl: must be http:// or https:// with a host and a port from 1 to 65535".to_owned(),
            format!("spec.targets[6].auth.sigV4.accessKeyIdSecretRef: the access key id in the file secrets/odd/colon {no_header}"),
            "spec.targets[6].auth.sigV4.secretAccessKeySecretRef: the file secrets/odd/empty is empty; it must hold the secret access key".to_owned(),
            format!("spec.targets[7].auth.sigV4.accessKeyIdSecretRef: {}", absent("the access key id")),
            format!("spec.targets[7].auth.sigV4.secretAccessKeySecretRef: the secret access key in the file secrets/odd/lines {no_header}"),
            "spec.targets[8].auth: at most one of basic, bearer, oauth2 and sigV4 may be set".to_owned(),
            "spec.targets[8].auth.basic.usernameSecretRef.key: is missing (hint: The key within the Secret)".to_owned(),
        ]
    );
}

#[test]
fn every_fault_of_a_header_with_a_credential_is_told_at_once() {
    let header = |name: &str, key: &str| {
        format!("{{name: {name}, valueSecretRef: {{name: odd, key: {key}}}}}")
    };
    let headers = [
        header("X-Absent", "absent"),
        header("X-Empty", "empty"),
        header("X-Lines", "lines"),
        header("X-Spaces", "spaces"),
        header("Host", "fine"),
        header("Authorization", "fine"),
        header("X-Scope-orgid", "fine"),
        header("x-absent", "fine"),
    ]
    .join(", ");
    let files = Files::new(&format!(
        "{KEY}  targets: [{{name: a, url: \"https://a\", headers: {{X-Scope-OrgID: b}}, auth: {{basic: {{usernameSecretRef: {{name: odd, key: fine}}}}, headers: [{headers}]}}}}]\n"
    ));
    files.write("secrets/odd/empty", "\n");
    files.write("secrets/odd/lines", "a\nb\n");
    files.write("secrets/odd/spaces", " a");
    files.write("secrets/odd/fine", "fine");
    let no_header = "cannot be sent in an HTTP header (hint: use ASCII letters, digits and signs, without spaces around them and without line breaks)";
    let path = |index: usize, field: &str| format!("spec.targets[0].auth.headers[{index}].{field}");
    assert_eq!(
        files.faults(),
        [
            format!(
                "{}: needs the file secrets/odd/absent, which does not exist (hint: write the value into that file, or say with --secrets-dir where it is)",
                path(0, "valueSecretRef")
            ),
            format!(
                "{}: the file secrets/odd/empty is empty; it must hold the value",
                path(1, "valueSecretRef")
            ),
            format!(
                "{}: the value in the file secrets/odd/lines {no_header}",
                path(2, "valueSecretRef")
            ),
            format!(
                "{}: the value in the file secrets/odd/spaces {no_header}",
                path(3, "valueSecretRef")
            ),
            format!(
                "{}: must not be set here: the mirror sets it itself",
                path(4, "name")
            ),
            format!(
                "{}: the method beside it sets this header: leave one of them out",
                path(5, "name")
            ),
            format!(
                "{}: is set in headers as well: leave one of them out",
                path(6, "name")
            ),
            format!("{}: is set twice: leave one of them out", path(7, "name")),
        ]
    );
}

#[test]
fn every_fault_of_a_service_accounts_token_says_where_its_file_is() {
    let files = files(SERVICE_ACCOUNT);
    let field = "spec.targets[0].auth.bearer.serviceAccountToken";
    let hint = "the operator mounts it into pods; elsewhere write what `kubectl create token SERVICE_ACCOUNT --audience=b` prints into that file, or say with --tokens-dir where it is";
    let file = token_file();
    let expected = |why: &str| {
        vec![format!(
            "{field}: needs a token in the file {file}, which {why} (hint: {hint})"
        )]
    };
    assert_eq!(files.faults(), expected("does not exist"));
    for odd in ["\n", "two words", "a\nb", "tökén"] {
        files.write(&file, odd);
        assert_eq!(files.faults(), expected("does not hold a token"), "{odd}");
    }
}

#[test]
fn every_fault_of_a_proxy_is_told_at_once() {
    let target =
        |name: &str, rest: &str| format!("    - {{name: {name}, url: \"https://a\", {rest}}}\n");
    let targets = [
        target("a", "proxy: {url: \"https://proxy:3128\"}"),
        target("b", "proxy: {url: \"http://proxy:3128/path\"}"),
        target("c", "proxy: {url: \"http://proxy:0\"}"),
        target(
            "d",
            "proxy: {url: \"http://proxy\", credentials: {usernameSecretRef: {name: odd, key: colon}, passwordSecretRef: {name: odd, key: absent}}}",
        ),
        target("e", "proxy: {url: \"http://proxy\"}, tls: {serverName: b}"),
        target("f", "proxy: {url: \"http://me:pass@proxy\"}"),
    ];
    let files = Files::new(&format!("{KEY}  targets:\n{}", targets.concat()));
    files.write("secrets/odd/colon", "a:b");
    let plain = "must be http://HOST:PORT: the mirror speaks plain HTTP with proxies";
    assert_eq!(
        files.faults(),
        [
            format!("spec.targets[0].proxy.url: {plain}"),
            format!("spec.targets[1].proxy.url: {plain}"),
            "spec.targets[2].proxy.url: must be http:// or https:// with a host and a port from 1 to 65535".to_owned(),
            "spec.targets[3].proxy.credentials.usernameSecretRef: the user name must not hold a colon, which ends it in HTTP basic authentication".to_owned(),
            "spec.targets[3].proxy.credentials.passwordSecretRef: needs the file secrets/odd/absent, which does not exist (hint: write the password into that file, or say with --secrets-dir where it is)".to_owned(),
            "spec.targets[4].proxy: cannot be used with tls.serverName: the proxy finds the server by the name that its certificate is checked for (hint: write a URL whose host is in the server's certificate)".to_owned(),
            "spec.targets[5].proxy.url: must be http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], without user name, query and fragment (hint: credentials belong to proxy.credentials)".to_owned(),
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
