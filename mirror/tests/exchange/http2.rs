//! The same over HTTP/2, where one connection carries many requests and a server can refuse a
//! single one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mirror::prometheus::{Store as _, StoreError, Targets};
use mirror::settings::{TargetTls, Trust};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::upstream::{main_server, metrics, one_sample, query, settings, target, within};

const TIME: Duration = Duration::from_secs(20);

/// What the server does with a request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer,
    /// It has not begun to work on it, it says.
    RefuseStream,
    /// It failed.
    Fail,
    /// The connection ends.
    Close,
}

/// A server that acts by the number of a connection and of the request on it, and counts requests.
async fn server(
    script: impl Fn(usize, usize) -> Act + Send + Sync + 'static,
) -> (Url, Arc<AtomicUsize>) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (script, requests) = (Arc::new(script), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let mut http = h2::server::handshake(stream).await.unwrap();
                let mut request = 0;
                while let Some(Ok((_, mut respond))) = http.accept().await {
                    count.fetch_add(1, Ordering::SeqCst);
                    match script(connection, request) {
                        Act::Answer => {
                            let mut body = respond
                                .send_response(http::Response::new(()), false)
                                .unwrap();
                            body.send_data(Bytes::from(one_sample()), true).unwrap();
                        }
                        Act::RefuseStream => respond.send_reset(h2::Reason::REFUSED_STREAM),
                        Act::Fail => respond.send_reset(h2::Reason::INTERNAL_ERROR),
                        Act::Close => return,
                    }
                    request += 1;
                }
            });
        }
    });
    (Url::parse(&url).unwrap(), requests)
}

/// How `calls` calls, one after the other, end, and how many requests that took.
async fn asked(
    calls: usize,
    script: impl Fn(usize, usize) -> Act + Send + Sync + 'static,
) -> (Vec<bool>, usize) {
    let (url, requests) = server(script).await;
    let mut secured = target("main", &url).as_ref().clone();
    secured.tls = TargetTls {
        trust: Trust::Anyone,
        ..TargetTls::default()
    };
    let settings = settings(1, &[Arc::new(secured)]);
    let targets = Targets::new(&settings, &metrics().1, None);
    let mut ends = Vec::new();
    for _ in 0..calls {
        let answer = main_server(&targets).call(query("up"), within(TIME)).await;
        assert!(
            matches!(answer, Ok(_) | Err(StoreError::Unreachable(_))),
            "{answer:?}"
        );
        ends.push(answer.is_ok());
    }
    (ends, requests.load(Ordering::SeqCst))
}

#[tokio::test]
async fn each_call_is_sent_once_where_nothing_happens() {
    let found = asked(5, |_, _| Act::Answer).await;
    assert_eq!(found, (vec![true; 5], 5));
}

#[tokio::test]
async fn a_connection_that_is_closed_under_a_request_is_replaced() {
    let found = asked(2, |_, request| {
        if request == 0 {
            Act::Answer
        } else {
            Act::Close
        }
    })
    .await;
    assert_eq!(found, (vec![true; 2], 3));
}

#[tokio::test]
async fn a_new_connection_that_is_closed_is_not() {
    let found = asked(1, |_, _| Act::Close).await;
    assert_eq!(found, (vec![false], 1));
}

#[tokio::test]
async fn a_request_that_the_server_has_not_begun_is_sent_once_more() {
    let found = asked(1, |connection, _| {
        if connection == 0 {
            Act::RefuseStream
        } else {
            Act::Answer
        }
    });
    assert_eq!(found.await, (vec![true], 2));
    let found = asked(1, |_, _| Act::RefuseStream).await;
    assert_eq!(found, (vec![false], 2));
}

#[tokio::test]
async fn a_request_that_failed_is_not_sent_again() {
    let found = asked(
        2,
        |_, request| if request == 0 { Act::Answer } else { Act::Fail },
    )
    .await;
    assert_eq!(found, (vec![true, false], 2));
}
