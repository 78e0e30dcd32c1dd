//! Certificates and keys that a document refers to: what is taken, what is refused, and what a change does.

use std::fs;

use mirror::settings::watch::{Event, Watcher};
use mirror::settings::{Settings, TargetTls, Trust};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rstest::rstest;

use super::{Files, KEY};

/// A certificate that is its own authority, and its key.
fn certificate(name: &str) -> [String; 2] {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([name.to_owned()]).unwrap();
    [cert.pem(), signing_key.serialize_pem()]
}

/// A document whose only target has this `tls`, and what it may refer to.
fn files(tls: &str) -> Files {
    let files = Files::new(&format!(
        "{KEY}  targets: [{{name: a, url: \"https://a\", tls: {tls}}}]\n"
    ));
    let [authority, _] = certificate("ca");
    files.write("secrets/ca/ca.crt", &authority);
    files.write("configmaps/ca/ca.pem", &format!("{authority}{authority}"));
    let [own, key] = certificate("client");
    files.write("secrets/client/tls.crt", &own);
    files.write("secrets/client/tls.key", &key);
    files
}

fn tls(settings: &Settings) -> &TargetTls {
    &settings.targets[0].tls
}

#[test]
fn without_tls_the_systems_authorities_are_trusted_and_nothing_is_presented() {
    for none in ["null", "{}"] {
        let settings = files(none).load().unwrap();
        assert_eq!(*tls(&settings), TargetTls::default());
    }
}

#[rstest]
#[case("{caSecretRef: {name: ca, key: ca.crt}}", 1)]
#[case(
    "{caConfigMapRef: {name: ca, key: ca.pem}, serverName: prometheus.example}",
    2
)]
fn authorities_come_from_a_secret_or_a_config_map(#[case] declared: &str, #[case] count: usize) {
    let settings = files(declared).load().unwrap();
    let Trust::Authorities(authorities) = &tls(&settings).trust else {
        panic!("{:?}", tls(&settings));
    };
    assert_eq!(authorities.certificates().len(), count);
    let name = declared
        .contains("serverName")
        .then_some("prometheus.example");
    assert_eq!(tls(&settings).server_name.as_deref(), name);
}

#[test]
fn any_certificate_is_trusted_only_when_it_is_asked_for() {
    let settings = files("{insecureSkipVerify: true}").load().unwrap();
    assert_eq!(tls(&settings).trust, Trust::Anyone);
}

#[test]
fn the_mirrors_own_certificate_comes_with_its_key_which_nothing_prints() {
    let settings = files("{clientCertificateSecretRef: {name: client}}")
        .load()
        .unwrap();
    let identity = tls(&settings).identity.as_ref().unwrap();
    assert_eq!(identity.certified().cert.len(), 1);
    let printed = format!("{settings:?}");
    assert!(printed.contains("identity: Some(Identity)"), "{printed}");
}

#[test]
fn every_fault_of_certificates_is_told_at_once_with_its_field() {
    let files = Files::new(&format!(
        "{KEY}  targets:\n    \
         - {{name: a, url: \"https://a\", tls: {{caSecretRef: {{name: absent, key: ca.crt}}}}}}\n    \
         - {{name: b, url: \"https://b\", tls: {{caConfigMapRef: {{name: absent, key: ca.crt}}, clientCertificateSecretRef: {{name: absent}}}}}}\n    \
         - {{name: c, url: \"https://c\", tls: {{caSecretRef: {{name: text, key: ca.crt}}, serverName: 10.0.0.1, surprise: 1}}}}\n    \
         - {{name: d, url: \"https://d\", tls: {{caSecretRef: {{name: cut, key: ca.crt}}}}}}\n    \
         - {{name: e, url: \"https://e\", tls: {{caSecretRef: {{name: odd, key: ca.crt}}}}}}\n    \
         - {{name: f, url: \"https://f\", tls: {{caSecretRef: {{name: ../text, key: ca.crt}}}}}}\n    \
         - {{name: g, url: \"https://g\", tls: {{caSecretRef: {{name: text, key: ..}}}}}}\n  defaultTarget: a\n"
    ));
    let [authority, _] = certificate("ca");
    files.write("secrets/text/ca.crt", "no certificate");
    files.write("secrets/cut/ca.crt", &authority[..authority.len() / 2]);
    files.write(
        "secrets/odd/ca.crt",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    assert_eq!(
        files.faults(),
        [
            "spec.targets[0].tls.caSecretRef: needs the file secrets/absent/ca.crt, which does not exist (hint: write the certificates of authorities into that file, or say with --secrets-dir where it is)",
            "spec.targets[1].tls.caConfigMapRef: needs the file configmaps/absent/ca.crt, which does not exist (hint: write the certificates of authorities into that file, or say with --configmaps-dir where it is)",
            "spec.targets[1].tls.clientCertificateSecretRef: needs the file secrets/absent/tls.crt, which does not exist (hint: write the certificate into that file, or say with --secrets-dir where it is)",
            "spec.targets[1].tls.clientCertificateSecretRef: needs the file secrets/absent/tls.key, which does not exist (hint: write its private key into that file, or say with --secrets-dir where it is)",
            "spec.targets[2].tls.caSecretRef: the file secrets/text/ca.crt holds no certificate in PEM form (BEGIN CERTIFICATE)",
            "spec.targets[2].tls.serverName: must be a name, not an address (hint: name one that the server's certificate has)",
            "spec.targets[2].tls.surprise: is not a known field (hint: known here: caConfigMapRef, caSecretRef, clientCertificateSecretRef, insecureSkipVerify, serverName)",
            "spec.targets[3].tls.caSecretRef: the file secrets/cut/ca.crt is not sound PEM: a section is cut off or holds something else than base64",
            "spec.targets[4].tls.caSecretRef: the file secrets/odd/ca.crt holds a certificate that cannot be read",
            "spec.targets[5].tls.caSecretRef.name: must be lower-case letters, digits, dashes and dots, with a letter or digit at both ends of every part, is \"../text\" (hint: for example mirror-key)",
            "spec.targets[6].tls.caSecretRef.key: must be the name of a file",
        ]
    );
}

#[test]
fn a_key_that_does_not_fit_is_refused_and_never_shown() {
    let files = files("{clientCertificateSecretRef: {name: client}}");
    let field = "spec.targets[0].tls.clientCertificateSecretRef";
    let [other, other_key] = certificate("other");
    let encrypted = other_key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let table = [
        (
            other_key.as_str(),
            "a private key that does not belong to the certificate beside it",
        ),
        (
            &other,
            "no private key in PEM form that is not encrypted (BEGIN PRIVATE KEY)",
        ),
        (
            &encrypted,
            "no private key in PEM form that is not encrypted (BEGIN PRIVATE KEY)",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "a private key of a kind that cannot be used, or that cannot be read",
        ),
    ];
    for (key, holds) in table {
        files.write("secrets/client/tls.key", key);
        let expected = format!("{field}: the file secrets/client/tls.key holds {holds}");
        assert_eq!(files.faults(), [expected]);
    }
}

#[test]
fn keys_of_the_usual_kinds_are_taken() {
    let files = files("{clientCertificateSecretRef: {name: client}}");
    for algorithm in [
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let parameters = rcgen::CertificateParams::new(["client".to_owned()]).unwrap();
        let own = parameters.self_signed(&key).unwrap();
        files.write("secrets/client/tls.crt", &own.pem());
        files.write("secrets/client/tls.key", &key.serialize_pem());
        assert!(files.load().is_ok(), "{algorithm:?}");
    }
}

#[test]
fn a_changed_certificate_is_taken_over_and_a_bad_one_is_not() {
    let files = files("{caConfigMapRef: {name: ca, key: ca.pem}}");
    let mut watcher = Watcher::new(&files.source());
    let before = files.load().unwrap();
    let [other, _] = certificate("other");
    files.write("configmaps/ca/ca.pem", &other);
    match watcher.look() {
        Some(Event::Changed(after)) => {
            assert_ne!(before.targets, after.targets, "made anew");
            assert_eq!(before.document_hash, after.document_hash);
        }
        other => panic!("{other:?}"),
    }
    files.write("configmaps/ca/ca.pem", "nothing");
    assert!(watcher.look().is_none(), "perhaps half written");
    match watcher.look() {
        Some(Event::Refused(error)) => {
            assert!(
                error
                    .to_string()
                    .starts_with("spec.targets[0].tls.caConfigMapRef: ")
            );
        }
        other => panic!("{other:?}"),
    }
    fs::remove_dir_all(files.path("configmaps")).unwrap();
    assert!(watcher.look().is_none());
}

#[test]
fn the_api_ports_certificate_and_its_clients_authorities_come_from_secrets() {
    let with = |server: &str| {
        let files = Files::new(&format!(
            "{KEY}  targets: [{{name: a, url: \"http://a\"}}]\n  server: {server}\n"
        ));
        let [certificate, key] = certificate("mirror");
        files.write("secrets/api/tls.crt", &certificate);
        files.write("secrets/api/tls.key", &key);
        files.write("secrets/clients/ca.crt", &certificate);
        files.write("secrets/empty/ca.crt", "");
        files
    };
    for (server, is_secured) in [
        ("null", false),
        ("{}", false),
        ("{tls: null}", false),
        ("{tls: {secretName: api}}", true),
        (
            "{tls: {secretName: api, clientCaSecretName: clients}}",
            true,
        ),
    ] {
        let settings = with(server).load().unwrap();
        assert_eq!(settings.server_tls.is_some(), is_secured, "{server}");
    }
    let hint = |what: &str| {
        format!("(hint: write {what} into that file, or say with --secrets-dir where it is)")
    };
    assert_eq!(
        with("{tls: {secretName: none, clientCaSecretName: empty}}").faults(),
        [
            format!("spec.server.tls.secretName: needs the file secrets/none/tls.crt, which does not exist {}", hint("the certificate")),
            format!("spec.server.tls.secretName: needs the file secrets/none/tls.key, which does not exist {}", hint("its private key")),
            "spec.server.tls.clientCaSecretName: the file secrets/empty/ca.crt holds no certificate in PEM form (BEGIN CERTIFICATE)".to_owned(),
        ]
    );
}
