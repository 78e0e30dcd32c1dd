use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

use super::*;

fn certificate(parts: &[(DnType, DnValue)]) -> Vec<u8> {
    let mut params = CertificateParams::new(["a".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in parts {
        params.distinguished_name.push(kind.clone(), value.clone());
    }
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

fn utf8(text: &str) -> DnValue {
    DnValue::Utf8String(text.to_owned())
}

#[test]
fn a_subject_is_shown_as_people_write_it() {
    let company = || (DnType::OrganizationName, utf8("Müller & Co"));
    let table = [
        (vec![], None),
        (
            vec![company(), (DnType::CommonName, utf8("prometheus"))],
            Some("CN=prometheus, O=Müller & Co"),
        ),
        (
            vec![(
                DnType::CommonName,
                DnValue::BmpString("prøm".try_into().unwrap()),
            )],
            Some("CN=prøm"),
        ),
        (
            vec![(DnType::CommonName, utf8("a\n\u{1b}[31mb"))],
            Some("CN=a\u{fffd}\u{fffd}[31mb"),
        ),
    ];
    for (parts, subject) in table {
        let expected = Sketch {
            version: Some(3),
            subject: subject.map(str::to_owned),
        };
        assert_eq!(Sketch::of(&certificate(&parts)), expected);
    }
    let long = certificate(&[(DnType::CommonName, utf8(&"ä".repeat(200)))]);
    let shown = Sketch::of(&long).subject.unwrap();
    assert_eq!(shown, format!("CN={}…", "ä".repeat(97)));
}

#[test]
fn what_comes_before_the_damage_is_read() {
    let whole = certificate(&[(DnType::CommonName, utf8("prometheus"))]);
    let name = whole.windows(10).rposition(|part| part == b"prometheus");
    let cut = &whole[..name.unwrap() + 10];
    assert_eq!(Sketch::of(cut), Sketch::of(&whole));
    let mut zeroed = whole.clone();
    zeroed[40..].fill(0);
    assert_eq!(
        Sketch::of(&zeroed),
        Sketch {
            version: Some(3),
            subject: None
        }
    );
    assert_eq!(Sketch::of(b""), Sketch::default());
    assert_eq!(Sketch::of(b"no certificate"), Sketch::default());
}

#[test]
fn a_certificate_without_a_version_is_one_of_version_1() {
    // SEQUENCE { SEQUENCE { INTEGER 1 … } }
    let sketch = Sketch::of(&[0x30, 5, 0x30, 3, 2, 1, 1]);
    assert_eq!(sketch.version, Some(1));
}

proptest! {
    #[test]
    fn no_bytes_upset_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        Sketch::of(&bytes);
    }

    #[test]
    fn no_change_of_a_certificate_upsets_it(at in 0_usize..300, byte: u8) {
        let mut der = certificate(&[(DnType::CommonName, utf8("a"))]);
        if let Some(place) = der.get_mut(at) {
            *place = byte;
        }
        let subject = Sketch::of(&der).subject.unwrap_or_default();
        prop_assert!(subject.chars().count() <= LONGEST_SUBJECT + 1);
        prop_assert!(!subject.contains(char::is_control));
    }
}
