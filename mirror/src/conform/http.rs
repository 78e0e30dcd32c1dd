//! One HTTP client of one mirror. It counts what it sends, gives up as StackState does, follows no
//! redirect, reads no more than it has room for, and looks at the key of every answer.

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, header};
use reqwest::redirect::Policy;

use super::answer::{Endpoint, Reply, too_large};
use super::finding::Fault;
use super::report::{Log, clipped};
use crate::http::keys::API_KEY_HEADER;
use crate::prometheus::root_cause;
use crate::settings::ApiKey;

/// After so many requests without an answer the mirror is not asked any more.
const MOST_UNANSWERED: u32 = 20;

/// The key that a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presented {
    /// As StackState: none, unless the mirror is known to want one.
    AsUsual,
    /// One that is certainly not the mirror's.
    Wrong,
}

/// A key that nobody has.
const WRONG_KEY: HeaderValue = HeaderValue::from_static("prometheus-mirror-conform-wrong-key");

pub(super) struct Http {
    client: reqwest::Client,
    /// Without a slash at its end.
    base: String,
    /// The data source URL ends in a slash: paths begin with two.
    pub ends_in_slash: bool,
    timeout: Duration,
    own_key: Option<ApiKey>,
    /// The mirror wants its key with each request.
    pub sends_key: bool,
    keys: Mutex<Keys>,
    unanswered: AtomicU32,
}

/// The keys of the answers so far.
#[derive(Debug, Default)]
struct Keys {
    answers: u64,
    /// The first key that was seen, if none was given.
    first: Option<HeaderValue>,
    missing: Seen,
    missing_on_errors: Seen,
    other: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    times: u64,
    first: String,
}

impl Seen {
    fn again(&mut self, request: &str, status: u16) {
        self.times += 1;
        if self.first.is_empty() {
            self.first = format!("{request}, HTTP {status}");
        }
    }
}

impl Http {
    pub(super) fn new(
        base: &str,
        ends_in_slash: bool,
        timeout: Duration,
        own_key: Option<ApiKey>,
        authorities: Option<Vec<reqwest::Certificate>>,
    ) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!(
                "prometheus-mirror-conform/",
                env!("CARGO_PKG_VERSION")
            ))
            .redirect(Policy::none())
            .no_proxy()
            .tcp_nodelay(true);
        // The system's authorities cost time and memory, and are of no use without TLS.
        if let Some(authorities) = authorities {
            builder = builder.tls_certs_only(authorities);
        } else if !base.starts_with("https") {
            builder = builder.tls_certs_only(std::iter::empty());
        }
        Ok(Self {
            client: builder.build()?,
            base: base.to_owned(),
            ends_in_slash,
            timeout,
            own_key,
            sends_key: false,
            keys: Mutex::default(),
            unanswered: AtomicU32::new(0),
        })
    }

    /// Whether the mirror failed to answer so often that nothing more is sent.
    pub(super) fn gave_up(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) >= MOST_UNANSWERED
    }

    pub(super) fn has_own_key(&self) -> bool {
        self.own_key.is_some()
    }

    /// Posts a body. No answer is a fault of the check, and none.
    pub(super) async fn post(
        &self,
        log: &Log,
        method: Endpoint,
        body: Vec<u8>,
        presented: Presented,
    ) -> Option<Reply> {
        if self.gave_up() {
            return None;
        }
        let slash = if self.ends_in_slash { "/" } else { "" };
        let request = format!("POST {slash}{}", method.path());
        let mut sent = self
            .client
            .post(format!("{}{slash}{}", self.base, method.path()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        match (presented, &self.own_key) {
            (Presented::Wrong, _) => sent = sent.header(API_KEY_HEADER.clone(), WRONG_KEY),
            (Presented::AsUsual, Some(key)) if self.sends_key => {
                sent = sent.header(API_KEY_HEADER.clone(), key.header_value());
            }
            _ => {}
        }
        let started = Instant::now();
        let exchanged = tokio::time::timeout(self.timeout, exchange(sent, log.most_bytes())).await;
        log.requested(started.elapsed());
        let unanswered = |fault: Fault, detail: String| {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
            log.add(fault, format!("{request}: {detail}"));
            None
        };
        match exchanged {
            Err(_) => unanswered(
                Fault::TooSlow,
                format!("no complete answer within {:?}", self.timeout),
            ),
            Ok(Err(Failure::Unreachable(why))) => unanswered(Fault::NoAnswer, why),
            Ok(Err(Failure::TooLarge(headers, status))) => {
                self.key(log, &request, status, &headers, presented);
                log.add(
                    too_large(method),
                    format!("{request}: over {} MiB", log.most_bytes() >> 20),
                );
                None
            }
            Ok(Ok((headers, reply))) => {
                self.key(log, &request, reply.status, &headers, presented);
                Some(reply)
            }
        }
    }

    /// Takes notice of an answer's key.
    fn key(
        &self,
        log: &Log,
        request: &str,
        status: u16,
        headers: &HeaderMap,
        presented: Presented,
    ) {
        let shown: Vec<&HeaderValue> = headers.get_all(&API_KEY_HEADER).iter().collect();
        let refuses_key = matches!(status, 401 | 403);
        if refuses_key {
            if presented == Presented::Wrong && !shown.is_empty() {
                log.add(
                    Fault::KeyGivenAway,
                    format!("HTTP {status} to a wrong key has the header X-MIRROR-API-KEY"),
                );
            }
            // Whoever has no right to ask must not see the key.
            return;
        }
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.answers += 1;
        let [first, rest @ ..] = shown.as_slice() else {
            if (200..300).contains(&status) {
                keys.missing.again(request, status);
            } else {
                keys.missing_on_errors.again(request, status);
            }
            return;
        };
        let is_right = match &self.own_key {
            Some(own) => own.matches(first.as_bytes()),
            None => *keys.first.get_or_insert_with(|| (*first).clone()) == **first,
        };
        if !is_right || rest.iter().any(|other| *other != *first) {
            keys.other.again(request, status);
        }
    }

    /// The verdict about the keys of all answers.
    pub(super) fn judge_keys(&self, log: &Log) {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = |seen: &Seen| {
            format!(
                "{} of {} answers, first {}",
                seen.times, keys.answers, seen.first
            )
        };
        if keys.missing.times > 0 {
            log.add(Fault::KeyMissing, of_all(&keys.missing));
        } else if keys.missing_on_errors.times > 0 {
            log.add(Fault::KeyMissingOnErrors, of_all(&keys.missing_on_errors));
        }
        if keys.other.times > 0 {
            let fault = if self.own_key.is_some() {
                Fault::KeyWrong
            } else {
                Fault::KeyChanges
            };
            log.add(fault, of_all(&keys.other));
        }
        if keys.answers == 0 {
            log.skip("there is no answer to look at");
        } else if self.own_key.is_some() {
            log.detail(format!("{} answers have the key given", keys.answers));
        } else {
            log.detail(format!(
                "{} answers have one key; give it with --api-key to compare it",
                keys.answers
            ));
        }
    }
}

enum Failure {
    /// With the reason in words.
    Unreachable(String),
    TooLarge(HeaderMap, u16),
}

async fn exchange(
    request: reqwest::RequestBuilder,
    most_bytes: usize,
) -> Result<(HeaderMap, Reply), Failure> {
    let unreachable = |error| Failure::Unreachable(why(&error));
    let mut response = request.send().await.map_err(unreachable)?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > most_bytes {
            return Err(Failure::TooLarge(headers, status));
        }
        body.extend_from_slice(&chunk);
    }
    let text = |name| {
        let value: Option<&HeaderValue> = headers.get(name);
        value.and_then(|value| value.to_str().ok().map(str::to_owned))
    };
    let (content_type, encoding) = (text(header::CONTENT_TYPE), text(header::CONTENT_ENCODING));
    let reply = Reply {
        status,
        body,
        content_type,
        encoding,
    };
    Ok((headers, reply))
}

/// Why there is no answer, in words.
fn why(error: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return of_tls(tls).to_owned();
        }
        // What an I/O error wraps is not its source: that is the source of what it wraps.
        cause = match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => error.source(),
        };
    }
    if error.is_connect() {
        format!("cannot be reached: {}", clipped(&root_cause(error)))
    } else {
        format!(
            "the connection ended before the answer was complete: {}",
            clipped(&root_cause(error))
        )
    }
}

const fn of_tls(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Certificate;
    match error {
        rustls::Error::InvalidCertificate(reason) => match reason {
            Certificate::UnknownIssuer => {
                "presents a certificate of an authority that is not trusted; name that authority's with --ca-file"
            }
            Certificate::Expired | Certificate::ExpiredContext { .. } => {
                "presents a certificate that has expired"
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                "presents a certificate that is not valid for the URL's host"
            }
            _ => "presents a certificate that cannot be accepted",
        },
        rustls::Error::InvalidMessage(_) => "does not speak TLS on this port; try http://",
        _ => "cannot be reached over TLS",
    }
}
