use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn pem(label: &str, base64: &str) -> String {
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

/// Label, and the base64 in one line or what is wrong.
fn read(text: impl AsRef<[u8]>) -> Vec<(String, Result<String, String>)> {
    let shown = |section: Section| {
        let body = section.pem.map_err(|defect| defect.to_string());
        let body = body.map(|pem| {
            let text = String::from_utf8(pem).unwrap();
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines[0], format!("-----BEGIN {}-----", section.label));
            assert_eq!(
                *lines.last().unwrap(),
                format!("-----END {}-----", section.label)
            );
            lines[1..lines.len() - 1].concat()
        });
        (section.label, body)
    };
    sections(text.as_ref())
        .unwrap()
        .into_iter()
        .map(shown)
        .collect()
}

fn sound(label: &str, base64: &str) -> (String, Result<String, String>) {
    (label.to_owned(), Ok(base64.to_owned()))
}

fn defect(label: &str, words: &str) -> (String, Result<String, String>) {
    (label.to_owned(), Err(words.to_owned()))
}

const C: &str = "CERTIFICATE";

#[test]
fn sections_are_found_however_the_file_was_put_together() {
    let (a, b) = (pem(C, "QUFB"), pem(C, "QkJC"));
    let two = || vec![sound(C, "QUFB"), sound(C, "QkJC")];
    let joined = format!("{}{b}", a.trim_end());
    assert!(joined.contains("-----END CERTIFICATE----------BEGIN CERTIFICATE-----"));
    let both = format!("{a}{b}");
    let utf_16 = |units: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}"
            .encode_utf16()
            .chain(both.encode_utf16())
            .flat_map(units)
            .collect()
    };
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("as it should be", both.clone().into()),
        ("joined", joined.clone().into()),
        ("joined with five dashes for both", joined.replace("----------", "-----").into()),
        ("no line break at the end", both.trim_end().into()),
        ("a byte order mark", format!("\u{feff}{both}").into()),
        ("one in each file that was joined", format!("\u{feff}{a}\u{feff}{b}").into()),
        ("Windows", both.replace('\n', "\r\n").into()),
        ("an old Mac", both.replace('\n', "\r").into()),
        ("mixed", format!("{}{b}", a.replace('\n', "\r\n")).into()),
        ("indented", both.replace('\n', "\n    \t").into()),
        ("spaces at the ends", both.replace('\n', "  \t\n").into()),
        ("empty lines", both.replace('\n', "\n\n\n").into()),
        ("in one line", both.replace('\n', "").into()),
        ("in one line with spaces", both.replace('\n', " ").into()),
        ("line breaks as text", both.replace('\n', "\\n").into()),
        ("line breaks of Windows as text", both.replace('\n', "\\r\\n").into()),
        ("no padding to lose", both.replace("QUFB", "QU\nF\nB").into()),
        ("text around", format!("Certificate:\n    Data:\n  Version: 3 (0x2)\n{a}# ours, see the END of the page\n{b}bye\n").into()),
        ("quoted", format!("\"{a}\", \"{b}\"").into()),
        ("lower case", both.replace("CERTIFICATE", "Certificate").into()),
        ("four dashes and six", both.replace("-----BEGIN", "----BEGIN").replace("-----\n", "------\n").into()),
        ("spaces within the dashes", both.replace("-----BEGIN CERTIFICATE-----", "----- BEGIN CERTIFICATE -----").into()),
        ("UTF-16, little end first", utf_16(u16::to_le_bytes)),
        ("UTF-16, big end first", utf_16(u16::to_be_bytes)),
    ];
    for (name, text) in table {
        assert_eq!(read(text), two(), "{name}");
    }
}

#[test]
fn padding_is_put_right() {
    for (written, expected) in [
        ("QQ==", "QQ=="),
        ("QQ", "QQ=="),
        ("QQ=", "QQ=="),
        ("QUE=", "QUE="),
        ("QUE", "QUE="),
        ("QUFB====", "QUFB"),
    ] {
        assert_eq!(read(pem(C, written)), [sound(C, expected)], "{written}");
    }
}

#[test]
fn a_damaged_section_is_named_and_hides_no_other() {
    let (a, b) = (pem(C, "QUFB"), pem(C, "QkJC"));
    let table = [
        (
            pem(C, "QU#B"),
            defect(C, "it holds '#', which is not base64"),
        ),
        (
            pem(C, "QUÄB"),
            defect(C, "it holds '\u{fffd}', which is not base64"),
        ),
        (
            pem(C, "QU=B"),
            defect(C, "it holds '=', which is not base64"),
        ),
        (pem(C, "QUFBQ"), defect(C, "its base64 is incomplete")),
        (pem(C, " \n"), defect(C, "it is empty")),
        (pem(C, ""), defect(C, "it is empty")),
        (
            "-----BEGIN CERTIFICATE-----\nQUFB\n".to_owned(),
            defect(C, "it is cut off, its END line is missing"),
        ),
        (
            "QUFB\n-----END CERTIFICATE-----\n".to_owned(),
            defect(C, "it has an END line but no BEGIN line"),
        ),
        (
            "-----BEGIN CERTIFICATE-----\nQUFB\n-----END PRIVATE KEY-----\n".to_owned(),
            defect(C, "it ends with END PRIVATE KEY"),
        ),
        (
            "BEGIN CERTIFICATE-----\nQUFB\n-----END CERTIFICATE-----\n".to_owned(),
            defect(C, "its BEGIN line does not have five dashes at both ends"),
        ),
        (
            "-----BEGIN CERTIFICATE\nQUFB\n-----END CERTIFICATE-----\n".to_owned(),
            defect(C, "its BEGIN line does not have five dashes at both ends"),
        ),
        (
            "-----BEGIN CERTIFICATE-----\nQUFB\n-----END CERTIFICATE\n".to_owned(),
            defect(C, "its END line does not have five dashes at both ends"),
        ),
        (
            a.replace('\n', "\n# "),
            defect(C, "it holds '#', which is not base64"),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(
            read(format!("{a}{text}{b}")),
            [sound(C, "QUFB"), expected, sound(C, "QkJC")],
            "{text}"
        );
    }
}

#[test]
fn other_sections_and_headers_are_told_apart() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nQUFB\n-----END RSA PRIVATE KEY-----\n";
    for text in [
        key.to_owned(),
        key.replace('\n', "\r\n"),
        key.replace("\n\n", "\n"),
        key.replace("QUFB\n", "QUFB\n\n"),
    ] {
        let found = sections(text.as_bytes()).unwrap();
        assert!(found[0].is_encrypted, "{text}");
        assert_eq!(read(text), [sound("RSA PRIVATE KEY", "QUFB")]);
    }
    let plain = sections(key.replace("4,ENCRYPTED", "4,MIC-ONLY").as_bytes()).unwrap();
    assert!(!plain[0].is_encrypted);
    let several = [
        ("EC PARAMETERS", "QQ=="),
        ("EC PRIVATE KEY", "QUFB"),
        (C, "QkJC"),
        ("X509 CRL", "Q0ND"),
    ];
    let text: String = several
        .iter()
        .map(|(label, base64)| pem(label, base64))
        .collect();
    assert_eq!(
        read(text),
        several.map(|(label, base64)| sound(label, base64))
    );
    assert_eq!(read("nothing - of the kind, END of story -----"), []);
}

/// For how long this thread has had a processor: how long it waited for one says nothing about it.
fn worked() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = text.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanoseconds)
}

#[test]
fn hostile_input_takes_no_more_than_its_length() {
    let before = worked();
    let mebibyte = |text: &str| text.repeat((1 << 20) / text.len());
    assert_eq!(
        sections(mebibyte("-----BEGIN A-----").as_bytes()),
        Err(TooMany)
    );
    assert_eq!(
        sections(mebibyte("-----END A-----").as_bytes()),
        Err(TooMany)
    );
    for text in [
        "-",
        "BEGIN ",
        "-BEGIN ",
        "-----BEGIN ",
        "\\",
        "\\n",
        "a:",
        "\n",
        " ",
        "- BEGIN",
        "-----BEGIN A\n",
    ] {
        let text = mebibyte(text);
        let _ = sections(text.as_bytes());
        let _ = sections(pem(C, &text).as_bytes());
        let _ = sections(format!("-----BEGIN {C}-----{text}").as_bytes());
    }
    let took = worked() - before;
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn ordinals_are_written_as_people_do() {
    let shown = [1, 2, 3, 4, 11, 12, 13, 21, 102, 111, 1000].map(|n| Ordinal(n).to_string());
    assert_eq!(
        shown.join(" "),
        "1st 2nd 3rd 4th 11th 12th 13th 21st 102nd 111th 1000th"
    );
}

/// What stands around a section and is none.
fn surroundings() -> impl Strategy<Value = String> {
    prop::collection::vec("[ -,.-~]{0,20}", 0..3).prop_map(|lines| {
        // Words that begin a boundary next to its dashes would be one.
        let text = lines.join("\n").replace(['B', 'b', 'E', 'e', '\\'], "x");
        format!("{text}\n")
    })
}

fn mangled() -> impl Strategy<Value = (Vec<String>, String)> {
    let section = ("[A-Za-z0-9+/]{4,300}", surroundings(), 0_usize..9);
    let sections = prop::collection::vec(section, 1..6);
    let breaks = prop::sample::select(vec!["\n", "\r\n", "\r", "\n\n", " \n", "\n\t ", "\\n", ""]);
    (sections, breaks, 1_usize..80).prop_map(|(sections, line_break, columns)| {
        let mut text = String::new();
        let mut bodies = Vec::new();
        for (body, around, dashes) in sections {
            let body = &body[..body.len() / 4 * 4];
            if dashes > 3 {
                text.push_str(&around);
            }
            let lines: Vec<_> = body.as_bytes().chunks(columns).map(|line| str::from_utf8(line).unwrap()).collect();
            let lines = lines.join(line_break);
            text.push_str(&format!("-----BEGIN CERTIFICATE-----{line_break}{lines}{line_break}-----END CERTIFICATE-----"));
            bodies.push(body.to_owned());
        }
        (bodies, text)
    })
}

proptest! {
    #[test]
    fn no_bytes_upset_it(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = sections(&bytes);
    }

    #[test]
    fn no_text_of_boundaries_upsets_it(parts in prop::collection::vec(prop::sample::select(vec![
        "-----", "--", "BEGIN ", "END ", "CERTIFICATE", "PRIVATE KEY", "\n", "\r", "\\n", "QUFB", "=", ":", " ", "é", "\u{feff}",
    ]), 0..60)) {
        for section in sections(parts.concat().as_bytes()).unwrap() {
            if let Ok(pem) = section.pem {
                // What was written is read again as it is.
                let again = sections(&pem).unwrap();
                prop_assert_eq!(again.len(), 1);
                prop_assert_eq!(again[0].pem.as_ref(), Ok(&pem));
            }
        }
    }

    #[test]
    fn what_is_mangled_is_found_again((bodies, text) in mangled()) {
        let expected: Vec<_> = bodies.iter().map(|body| sound(C, body)).collect();
        prop_assert_eq!(read(text), expected);
    }
}
