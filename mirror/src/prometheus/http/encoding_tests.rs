use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn raw(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn codings(lines: &[&str]) -> Result<Codings, UnknownCoding> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(
            header::CONTENT_ENCODING,
            HeaderValue::from_str(line).unwrap(),
        );
    }
    Codings::of(&headers)
}

/// Decodes a body that arrives in chunks of `chunk` bytes.
fn decoded(
    lines: &[&str],
    body: &[u8],
    chunk: usize,
    most: usize,
) -> Result<Vec<u8>, DecodingError> {
    let mut inflater = Inflater::new(&codings(lines).unwrap(), most);
    let mut all = Vec::new();
    for chunk in body.chunks(chunk) {
        inflater.take(Bytes::copy_from_slice(chunk));
        while let Some(bytes) = inflater.decoded()? {
            all.extend_from_slice(&bytes);
        }
    }
    while let Some(bytes) = inflater.finish()? {
        all.extend_from_slice(&bytes);
        while let Some(bytes) = inflater.decoded()? {
            all.extend_from_slice(&bytes);
        }
    }
    Ok(all)
}

const MOST: usize = 1 << 20;

#[test]
fn the_header_is_read_in_all_its_forms() {
    let none: [&[&str]; 4] = [&[], &[""], &["identity"], &["identity, Identity", ","]];
    for lines in none {
        assert_eq!(codings(lines), Ok(Codings::default()), "{lines:?}");
    }
    let gzip = Ok(Codings(vec![Coding::Gzip]));
    for line in ["gzip", "GZIP", " x-gzip ", "identity, gzip"] {
        assert_eq!(codings(&[line]), gzip, "{line:?}");
    }
    let both = Ok(Codings(vec![Coding::Deflate, Coding::Gzip]));
    assert_eq!(codings(&["deflate, gzip"]), both);
    assert_eq!(codings(&["deflate", "gzip"]), both);
    for (line, named) in [
        ("br", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip,gzip,gzip,gzip", "gzip,gzip,gzip,gzip"),
    ] {
        assert_eq!(codings(&[line]), Err(UnknownCoding(named.to_owned())));
    }
}

#[test]
fn each_encoding_is_taken_off() {
    let text = b"{\"status\":\"success\"}".repeat(500);
    let joined = [gzip(&text[..3_000]), gzip(&text[3_000..])].concat();
    let table: [(&str, Vec<u8>); 6] = [
        ("gzip", gzip(&text)),
        ("x-gzip", joined),
        ("deflate", zlib(&text)),
        ("deflate", raw(&text)),
        ("deflate, gzip", gzip(&zlib(&text))),
        ("gzip, gzip, deflate", zlib(&gzip(&gzip(&text)))),
    ];
    for (line, body) in table {
        for chunk in [1, 7, 1_000, body.len()] {
            let found = decoded(&[line], &body, chunk, MOST);
            assert!(found.as_deref() == Ok(&text[..]), "{line}, {chunk}");
        }
    }
}

#[test]
fn an_empty_body_has_no_encoding() {
    for line in ["gzip", "deflate", "deflate, gzip"] {
        assert_eq!(decoded(&[line], b"", 1, MOST), Ok(Vec::new()), "{line}");
    }
}

#[test]
fn truncated_and_damaged_data_are_no_answer() {
    let text = b"some text, of some length".repeat(9);
    let is_damaged = |line: &str, body: &[u8]| {
        let found = decoded(&[line], body, 4, MOST);
        assert_eq!(found, Err(DecodingError::Damaged(line.to_owned())));
    };
    for (line, body) in [("gzip", gzip(&text)), ("deflate", zlib(&text))] {
        for length in [1, 5, 12, body.len() - 9, body.len() - 1] {
            is_damaged(line, &body[..length]);
        }
        let mut damaged = body.clone();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        is_damaged(line, &damaged);
    }
    let mut checksum = gzip(&text);
    let at = checksum.len() - 8;
    checksum[at] ^= 1;
    is_damaged("gzip", &checksum);
    is_damaged("gzip", b"{\"status\":\"success\"}");
    is_damaged("gzip", b"\x1f\x8b\x08\xff\xff\xff");
}

#[test]
fn a_bomb_is_refused_early() {
    let zeros = vec![0; 32 << 20];
    let bombs = [
        ("gzip", gzip(&zeros)),
        ("deflate", zlib(&zeros)),
        ("gzip, gzip", gzip(&gzip(&zeros))),
    ];
    for (line, body) in bombs {
        let mut inflater = Inflater::new(&codings(&[line]).unwrap(), MOST);
        inflater.take(body.into());
        let mut came = 0;
        let end = loop {
            match inflater.decoded() {
                Ok(Some(bytes)) => came += bytes.len(),
                other => break other,
            }
        };
        assert_eq!(end, Err(DecodingError::TooLarge), "{line}");
        assert!(came <= MOST, "{line}: {came}");
    }
}

#[test]
fn a_layer_inside_that_grows_without_bound_is_refused_too() {
    // Very many empty gzip members: nothing ever comes out of the innermost layer.
    let empty = gzip(b"").repeat(200_000);
    let body = gzip(&empty);
    assert_eq!(
        decoded(&["gzip, gzip"], &body, body.len(), MOST),
        Err(DecodingError::TooLarge)
    );
}

proptest! {
    #[test]
    fn any_text_in_any_chunks_comes_back(
        text in proptest::collection::vec(any::<u8>(), 0..5_000),
        chunk in 1_usize..600,
    ) {
        for (line, body) in [("gzip", gzip(&text)), ("deflate", zlib(&text)), ("gzip, deflate", zlib(&gzip(&text)))] {
            prop_assert_eq!(decoded(&[line], &body, chunk, MOST), Ok(text.clone()));
        }
    }

    #[test]
    fn anything_ends_in_an_answer_or_an_error(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for line in ["gzip", "deflate", "deflate, gzip"] {
            let _ = decoded(&[line], &body, 5, MOST);
        }
    }
}
