//! Answers that are compressed although nobody asked.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use mirror::prometheus::{Answer, Call, Data, Store as _, StoreError};

use crate::upstream::{Reply, Upstream, main_server, one_sample, query, targets, within};

const TIME: Duration = Duration::from_secs(60);

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn asked(reply: Reply, call: Call) -> Result<Arc<Answer>, StoreError> {
    let upstream = Upstream::always(reply).await.unwrap();
    let targets = targets(1, upstream.address());
    let answer = main_server(&targets).call(call, within(TIME)).await;
    let request = upstream.requests().remove(0);
    assert!(!request.contains("accept-encoding"), "{request}");
    answer
}

fn reply(status: &str, encoding: &str, body: &[u8]) -> Reply {
    Reply::http(status, &format!("content-encoding: {encoding}\r\n"), body)
}

async fn refusal(status: &str, encoding: &str, body: &[u8]) -> String {
    let answer = asked(reply(status, encoding, body), query("up")).await;
    answer.unwrap_err().to_string()
}

#[tokio::test]
async fn known_encodings_are_decoded_for_all_calls() {
    let plain = asked(Reply::Json(one_sample()), query("up")).await.unwrap();
    let sample = one_sample().into_bytes();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&sample).unwrap();
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
    raw.write_all(&sample).unwrap();
    let (zlib, raw) = (zlib.finish().unwrap(), raw.finish().unwrap());
    let table = [
        ("gzip", gzip(&sample)),
        ("x-gzip", gzip(&sample)),
        ("identity", sample.clone()),
        ("deflate", zlib.clone()),
        ("deflate", raw),
        ("deflate, gzip", gzip(&zlib)),
    ];
    for (encoding, body) in table {
        let answer = asked(reply("200 OK", encoding, &body), query("up")).await;
        assert_eq!(answer.unwrap(), plain, "{encoding}");
    }
    let info = br#"{"status":"success","data":{"version":"2.53.0"}}"#;
    let answer = asked(reply("200 OK", "gzip", &gzip(info)), Call::BuildInfo).await;
    assert_eq!(answer.unwrap().data, Data::Version("2.53.0".to_owned()));
}

#[tokio::test]
async fn bodies_of_errors_are_decoded_too() {
    let refused = br#"{"status":"error","errorType":"bad_data","error":"the reason"}"#;
    let error = asked(
        reply("400 Bad Request", "gzip", &gzip(refused)),
        query("up"),
    )
    .await;
    assert!(
        matches!(&error, Err(StoreError::Rejected { message, .. }) if message == "the reason"),
        "{error:?}"
    );
    assert_eq!(
        refusal("502 Bad Gateway", "gzip", &gzip(b"<title>Oops</title>")).await,
        "target main answered 502 Bad Gateway with an HTML page titled \"Oops\""
    );
    assert_eq!(
        refusal("500 Internal Server Error", "br", b"x").await,
        "target main answered 500 Internal Server Error with a body in br encoding, although it was not asked for"
    );
    // Damaged, and empty: the status says enough.
    for body in [&b"not gzip"[..], b""] {
        assert_eq!(
            refusal("500 Internal Server Error", "gzip", body).await,
            "target main answered 500 Internal Server Error"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_is_named() {
    let whole = gzip(one_sample().as_bytes());
    let damaged =
        "in gzip encoding although it was not asked for, and the data are damaged or end too early";
    let unknown = |name: &str| {
        format!(
            "with {name} encoding although it was not asked for, and the mirror cannot decode it: does a proxy in between compress?"
        )
    };
    let table = [
        ("br", &whole[..], unknown("br")),
        ("gzip, zstd", &whole[..], unknown("zstd")),
        ("gzip", &whole[..whole.len() - 3], damaged.to_owned()),
        ("gzip", one_sample().as_bytes(), damaged.to_owned()),
    ]
    .map(|(encoding, body, expected)| (encoding, body.to_vec(), expected));
    for (encoding, body, expected) in table {
        assert_eq!(
            refusal("200 OK", encoding, &body).await,
            format!("target main answered {expected}")
        );
    }
    let unsaid = asked(Reply::http("200 OK", "", &whole), query("up")).await;
    assert_eq!(
        unsaid.unwrap_err().to_string(),
        "target main answered gzip data without saying so: does a proxy drop the header Content-Encoding?"
    );
}

#[tokio::test]
async fn a_page_in_gzip_is_recognised() {
    assert_eq!(
        refusal(
            "200 OK",
            "gzip",
            &gzip(b"<!doctype html><title>Sign in</title>")
        )
        .await,
        "target main answered an HTML page titled \"Sign in\": is there a sign-in in front, or is the path prefix missing?"
    );
}

#[tokio::test]
async fn a_bomb_is_too_large() {
    let mut body = b"{".to_vec();
    body.resize(80 << 20, b' ');
    let body = gzip(&body);
    for call in [query("up"), Call::Metadata] {
        let answer = asked(reply("200 OK", "gzip", &body), call).await;
        assert!(matches!(answer, Err(StoreError::TooLarge(_))), "{answer:?}");
    }
}
