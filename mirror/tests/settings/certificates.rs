//! Certificates and keys that a document refers to: what is taken, what is refused, and what a
//! change does.

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
            "spec.targets[2].tls.surprise: is not a known field (hint: known here: caConfigMapRef, caSecretRef, clientCertificateSecretRef, insecureSkipVerify, minVersion, serverName)",
            "spec.targets[3].tls.caSecretRef: the file secrets/cut/ca.crt holds no certificate that can be used: the only certificate: it is cut off, its END line is missing",
            "spec.targets[4].tls.caSecretRef: the file secrets/odd/ca.crt holds no certificate that can be used: the only certificate: its encoding (DER) is damaged",
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
        (&other, "no private key in PEM form (BEGIN PRIVATE KEY)"),
        (
            &encrypted,
            "no private key that can be used: the ENCRYPTED PRIVATE KEY: it is encrypted, openssl pkey writes it without a password",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "no private key that can be used: the PRIVATE KEY: it is of a kind that cannot be used, or damaged",
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

/// The notices of a document, without the folder of the test.
fn notices(files: &Files) -> Vec<String> {
    let settings = files.load().unwrap();
    let folder = format!("{}/", files.0.path().display());
    let shown = settings.notices.iter();
    shown
        .map(|notice| notice.to_string().replace(&folder, ""))
        .collect()
}

/// One that is damaged after its 40th byte, as a certificate with a broken serial number, version
/// or time is.
fn damaged() -> String {
    let der = rcgen::generate_simple_self_signed(["broken".to_owned()])
        .unwrap()
        .cert
        .der()
        .to_vec();
    let mut zeroed = der;
    zeroed[40..].fill(0);
    pem_of(&zeroed)
}

fn pem_of(der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut base64 = String::new();
    for bytes in der.chunks(3) {
        let number = (0..3).fold(0_usize, |number, at| {
            (number << 8) | usize::from(bytes.get(at).copied().unwrap_or_default())
        });
        for at in 0..=bytes.len() {
            base64.push(char::from(ALPHABET[(number >> (18 - 6 * at)) & 63]));
        }
        base64.push_str(&"=".repeat(3 - bytes.len()));
    }
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}

#[test]
fn authorities_are_found_however_the_file_was_put_together() {
    let files = files("{caSecretRef: {name: ca, key: ca.crt}}");
    let ([a, _], [b, _]) = (certificate("a"), certificate("b"));
    for bundle in [
        format!("{}{b}", a.trim_end()),
        format!("\u{feff}{a}{b}").replace('\n', "\r\n"),
        format!(
            "# ours\n  {}\ntext {}",
            a.replace('\n', "\n  "),
            b.trim_end()
        ),
    ] {
        files.write("secrets/ca/ca.crt", &bundle);
        let settings = files.load().unwrap();
        let Trust::Authorities(authorities) = &tls(&settings).trust else {
            panic!("{:?}", tls(&settings));
        };
        assert_eq!(authorities.certificates().len(), 2, "{bundle}");
        assert_eq!(
            authorities.subjects().collect::<Vec<_>>(),
            ["CN=rcgen self signed cert"; 2]
        );
        assert_eq!(settings.notices, []);
    }
}

#[test]
fn what_is_skipped_among_authorities_is_said_once_with_its_place_and_reason() {
    let files = files("{caSecretRef: {name: ca, key: ca.crt}}");
    let ([a, key], [b, _]) = (certificate("a"), certificate("b"));
    let lead = "spec.targets[0].tls.caSecretRef: uses 2 certificates of the file secrets/ca/ca.crt and skips ";
    let table = [
        (
            format!("{a}{}{b}", damaged()),
            "the 2nd of 3 certificates: its encoding (DER) is damaged",
        ),
        (
            format!("{}{a}{b}", &damaged()[..100]),
            "the 1st of 3 certificates: it is cut off, its END line is missing",
        ),
        (
            format!("{a}{key}{b}"),
            "the PRIVATE KEY (2nd of 3 sections): it does not belong to authorities",
        ),
        (
            format!("{a}{b}-----BEGIN X509 CRL-----\nQUFB\n-----END X509 CRL-----"),
            "the X509 CRL (3rd of 3 sections): lists of revoked certificates are not used",
        ),
    ];
    for (bundle, skipped) in table {
        files.write("secrets/ca/ca.crt", &bundle);
        assert_eq!(notices(&files), [format!("{lead}{skipped}")]);
    }
    files.write(
        "secrets/ca/ca.crt",
        &format!("{a}{b}{}", damaged().repeat(30)),
    );
    let [long] = &notices(&files)[..] else {
        panic!("one notice");
    };
    assert!(long.ends_with("; and 20 more"), "{long}");
    files.write("secrets/ca/ca.crt", &damaged().repeat(2));
    assert_eq!(
        files.faults(),
        [
            "spec.targets[0].tls.caSecretRef: the file secrets/ca/ca.crt holds no certificate that can be used: the 1st of 2 certificates: its encoding (DER) is damaged; the 2nd of 2 certificates: its encoding (DER) is damaged"
        ]
    );
    files.write(
        "secrets/ca/ca.crt",
        &"-----BEGIN A-----\n-----END A-----\n".repeat(3000),
    );
    assert_eq!(
        files.faults(),
        [
            "spec.targets[0].tls.caSecretRef: the file secrets/ca/ca.crt holds more than 2000 sections"
        ]
    );
}

#[test]
fn the_key_that_fits_is_used_and_the_others_are_named() {
    let files = files("{clientCertificateSecretRef: {name: client}}");
    let ([own, key], [other, other_key]) = (certificate("own"), certificate("other"));
    let encrypted = other_key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let lead = "spec.targets[0].tls.clientCertificateSecretRef: uses 1 key of the file secrets/client/tls.key and skips ";
    let table = [
        (
            format!("{parameters}{key}"),
            "the EC PARAMETERS (1st of 2 sections): the key itself says which curve it is on",
        ),
        (
            format!("{own}{key}"),
            "the CERTIFICATE (1st of 2 sections): certificates are taken from the other file",
        ),
        (
            format!("{other_key}{key}"),
            "the PRIVATE KEY (1st of 2 sections): it does not belong to the certificate",
        ),
        (
            format!("{key}{other_key}"),
            "the PRIVATE KEY (2nd of 2 sections): another key is used",
        ),
        (
            format!("{encrypted}{key}"),
            "the ENCRYPTED PRIVATE KEY (1st of 2 sections): it is encrypted, openssl pkey writes it without a password",
        ),
    ];
    files.write("secrets/client/tls.crt", &own);
    for (keys, skipped) in table {
        files.write("secrets/client/tls.key", &keys);
        assert_eq!(notices(&files), [format!("{lead}{skipped}")]);
    }
    // In any order of the chain, the one that fits is sent first.
    files.write("secrets/client/tls.key", &key.replace('\n', "\r\n"));
    files.write(
        "secrets/client/tls.crt",
        &format!("{other}{}", own.trim_end()),
    );
    let settings = files.load().unwrap();
    let identity = tls(&settings).identity.as_ref().unwrap();
    assert_eq!(identity.certified().cert.len(), 2);
    assert!(
        identity
            .pem()
            .starts_with(own.replace("\r\n", "\n").as_bytes())
    );
    files.write("secrets/client/tls.crt", &format!("{other}{}", damaged()));
    assert_eq!(
        files.faults(),
        [
            "spec.targets[0].tls.clientCertificateSecretRef: the file secrets/client/tls.key holds a private key that does not belong to the certificate beside it (skipped in the other file: the 2nd of 2 certificates: its encoding (DER) is damaged)"
        ]
    );
}
