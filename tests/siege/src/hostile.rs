//! A store that answers badly on purpose. What a call's text says after `hostile_` chooses the
//! answer; every other call goes to a real store, so that the mirror believes in this one.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// The largest body that the mirror takes: attacks stay just below it.
const MOST: usize = (64 << 20) - 4096;

/// Bodies that a store may answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// So many honest series of one sample.
    Series(usize),
    /// One honest series of so many samples.
    Samples(usize),
    /// Elements without anything in them.
    EmptyElements,
    /// A series with millions of labels.
    ManyLabels,
    /// A label of many bytes.
    LongLabel,
    /// Warnings without number.
    Warnings,
    /// Native histograms.
    Histograms,
    /// A list of empty names, for calls that answer lists.
    Names,
    /// So many different names.
    SomeNames(usize),
    /// Objects in objects, as deep as 64 MiB go.
    Nested,
    /// A number that JSON cannot hold, in each of many samples.
    BeyondNumbers,
    /// Samples that go back in time.
    Unordered,
    /// An object with a key in each byte, nothing of which is known.
    UnknownKeys,
    /// 64 MiB that are a few KiB on the wire.
    Compressed,
    /// Never answers.
    Silent,
    /// A byte a second.
    Trickle,
}

impl Answer {
    /// The name of each, as a query has it after `hostile_`.
    pub const ALL: [(&'static str, Self); 19] = [
        ("series_10000", Self::Series(10_000)),
        ("series_30000", Self::Series(30_000)),
        ("series_300000", Self::Series(300_000)),
        ("samples_11000", Self::Samples(11_000)),
        ("samples_2500000", Self::Samples(2_500_000)),
        ("empty_elements", Self::EmptyElements),
        ("many_labels", Self::ManyLabels),
        ("long_label", Self::LongLabel),
        ("warnings", Self::Warnings),
        ("histograms", Self::Histograms),
        ("names", Self::Names),
        ("nested", Self::Nested),
        ("beyond_numbers", Self::BeyondNumbers),
        ("unordered", Self::Unordered),
        ("unknown_keys", Self::UnknownKeys),
        ("compressed", Self::Compressed),
        ("silent", Self::Silent),
        ("trickle", Self::Trickle),
        ("nothing", Self::Series(0)),
    ];

    fn of(call: &str) -> Option<Self> {
        let (_, rest) = call.split_once("hostile_")?;
        let counted = |name: &str| {
            let digits = rest.strip_prefix(name)?;
            let end = digits
                .find(|byte: char| !byte.is_ascii_digit())
                .unwrap_or(digits.len());
            digits[..end].parse().ok()
        };
        if let Some(count) = counted("series_") {
            return Some(Self::Series(count));
        }
        if let Some(count) = counted("samples_") {
            return Some(Self::Samples(count));
        }
        if let Some(count) = counted("names_") {
            return Some(Self::SomeNames(count));
        }
        let named = Self::ALL.iter().filter(|(name, _)| rest.starts_with(name));
        named
            .max_by_key(|(name, _)| name.len())
            .map(|(_, answer)| *answer)
    }

    /// The whole body.
    fn body(self, kind: Kind) -> Vec<u8> {
        let (open, close) = match kind {
            Kind::Vector => (
                r#"{"status":"success","data":{"resultType":"vector","result":["#,
                "]}}",
            ),
            Kind::Matrix => (
                r#"{"status":"success","data":{"resultType":"matrix","result":["#,
                "]}}",
            ),
            Kind::List => (r#"{"status":"success","data":["#, "]}"),
        };
        let mut body = Vec::with_capacity(MOST + 4096);
        body.extend_from_slice(open.as_bytes());
        let (before, after) = match kind {
            Kind::Vector => (r#""value":"#, ""),
            Kind::Matrix | Kind::List => (r#""values":["#, "]"),
        };
        let sample = |at: usize| format!(r#"[{}.000,"{}"]"#, 1_709_251_200 + at, at);
        match self {
            Self::Series(count) => repeat(&mut body, count, |body, index| {
                write(
                    body,
                    format_args!(
                        r#"{{"metric":{{"__name__":"hostile","instance":"10.0.0.{index}:9100"}},{before}{}{after}}}"#,
                        sample(0)
                    ),
                );
            }),
            Self::Samples(count) => {
                write(
                    &mut body,
                    format_args!(r#"{{"metric":{{"__name__":"hostile"}},"values":["#),
                );
                repeat(&mut body, count, |body, index| {
                    write(body, format_args!("{}", sample(index)))
                });
                body.extend_from_slice(b"]}");
            }
            Self::EmptyElements => fill(&mut body, "{}"),
            Self::ManyLabels => {
                body.extend_from_slice(br#"{"metric":{"#);
                let mut index = 0_usize;
                while body.len() < MOST {
                    write(&mut body, format_args!(r#""{index}":"","#));
                    index += 1;
                }
                body.extend_from_slice(br#""z":""},"#);
                write(&mut body, format_args!("{before}{}{after}}}", sample(0)));
            }
            Self::LongLabel => {
                body.extend_from_slice(br#"{"metric":{"a":""#);
                body.resize(900_000, b'a');
                write(
                    &mut body,
                    format_args!(r#""}},{before}{}{after}}}"#, sample(0)),
                );
            }
            Self::Warnings => {
                body.truncate(0);
                body.extend_from_slice(br#"{"status":"success","warnings":["#);
                fill(&mut body, r#""""#);
                body.extend_from_slice(match kind {
                    Kind::Matrix => br#"],"data":{"resultType":"matrix","result":[]}}"#,
                    Kind::Vector | Kind::List => {
                        br#"],"data":{"resultType":"vector","result":[]}}"#
                    }
                });
                return body;
            }
            Self::Histograms => repeat(&mut body, 20_000, |body, index| {
                write(
                    body,
                    format_args!(r#"{{"metric":{{"i":"{index}"}},"histograms":["#),
                );
                repeat(body, 40, |body, at| {
                    write(
                        body,
                        format_args!(r#"[{},{{"count":"1","sum":"2"}}]"#, 1_709_251_200 + at),
                    )
                });
                body.extend_from_slice(b"]}");
            }),
            Self::Names => fill(&mut body, r#""""#),
            Self::SomeNames(count) => repeat(&mut body, count, |body, index| {
                write(body, format_args!(r#""name_{index}""#));
            }),
            Self::Nested => {
                body.extend(std::iter::repeat_n(b'[', MOST));
                return body;
            }
            Self::BeyondNumbers => {
                write(
                    &mut body,
                    format_args!(r#"{{"metric":{{"__name__":"hostile"}},"values":["#),
                );
                repeat(&mut body, 11_000, |body, at| {
                    write(body, format_args!(r#"[{},"1e999"]"#, 1_709_251_200 + at));
                });
                body.extend_from_slice(b"]}");
            }
            Self::Unordered => {
                write(
                    &mut body,
                    format_args!(r#"{{"metric":{{"__name__":"hostile"}},"values":["#),
                );
                repeat(&mut body, 11_000, |body, at| {
                    write(body, format_args!("{}", sample(11_000 - at)))
                });
                body.extend_from_slice(b"]}");
            }
            Self::UnknownKeys => {
                body.truncate(0);
                body.extend_from_slice(br#"{"status":"success","#);
                fill(&mut body, r#""":0"#);
                body.extend_from_slice(b"}");
                return body;
            }
            Self::Compressed | Self::Silent | Self::Trickle => {}
        }
        body.extend_from_slice(close.as_bytes());
        body
    }
}

/// What the call wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Vector,
    Matrix,
    List,
}

fn write(body: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = body.write_fmt(text);
}

fn repeat(body: &mut Vec<u8>, count: usize, mut each: impl FnMut(&mut Vec<u8>, usize)) {
    for index in 0..count {
        if index > 0 {
            body.push(b',');
        }
        each(body, index);
        if body.len() > MOST {
            return;
        }
    }
}

fn fill(body: &mut Vec<u8>, element: &str) {
    repeat(body, MOST, |body, _| {
        body.extend_from_slice(element.as_bytes())
    });
}

/// The body that was sent last: twenty calls at once get the same one. Made for each of them, they
/// would take gigabytes.
#[derive(Debug, Default)]
struct Ready(Mutex<Option<Made>>);

/// A body, and what it answers.
#[derive(Debug)]
struct Made {
    answer: Answer,
    kind: Kind,
    body: Arc<Vec<u8>>,
}

impl Ready {
    async fn body(&self, answer: Answer, kind: Kind) -> Result<Arc<Vec<u8>>> {
        let mut ready = self.0.lock().await;
        if let Some(made) = &*ready
            && (made.answer, made.kind) == (answer, kind)
        {
            return Ok(Arc::clone(&made.body));
        }
        *ready = None;
        let make = move || match answer {
            Answer::Compressed => compressed(),
            answer => Ok(answer.body(kind)),
        };
        let body = Arc::new(tokio::task::spawn_blocking(make).await??);
        *ready = Some(Made {
            answer,
            kind,
            body: Arc::clone(&body),
        });
        Ok(body)
    }
}

/// The server. It ends with the runtime.
#[derive(Debug)]
pub struct Hostile {
    /// Its base URL.
    pub url: String,
    calls: Arc<AtomicUsize>,
}

impl Hostile {
    /// Listens on loopback. `real` is the base URL of a real store.
    pub async fn start(real: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let ready = Arc::<Ready>::default();
        let http = harness::servers::http_client();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (real, http) = (real.clone(), http.clone());
                let (counted, ready) = (Arc::clone(&counted), Arc::clone(&ready));
                tokio::spawn(async move {
                    // A mirror that hangs up is no failure of the siege.
                    let _ = serve(stream, &real, &http, &counted, &ready).await;
                });
            }
        });
        Ok(Self { url, calls })
    }

    /// How many hostile calls there were since the last time.
    pub fn take_calls(&self) -> usize {
        self.calls.swap(0, Ordering::Relaxed)
    }
}

/// Answers one request and closes the connection.
async fn serve(
    mut stream: TcpStream,
    real: &str,
    http: &reqwest::Client,
    calls: &AtomicUsize,
    ready: &Ready,
) -> Result<()> {
    let request = read(&mut stream).await?;
    let call = percent_encoding::percent_decode(&request)
        .decode_utf8_lossy()
        .into_owned();
    let kind = if call.contains("/query_range") || call.contains("[") {
        Kind::Matrix
    } else if call.contains("/api/v1/query") {
        Kind::Vector
    } else {
        Kind::List
    };
    let Some(answer) = Answer::of(&call) else {
        return forward(stream, &request, real, http).await;
    };
    calls.fetch_add(1, Ordering::Relaxed);
    match answer {
        Answer::Silent => tokio::time::sleep(Duration::from_secs(60)).await,
        Answer::Trickle => {
            stream.write_all(head("", None).as_bytes()).await?;
            for byte in Answer::Series(10_000).body(kind).into_iter().take(60) {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        answer => {
            let body = ready.body(answer, kind).await?;
            let encoding = match answer {
                Answer::Compressed => "Content-Encoding: gzip\r\n",
                _ => "",
            };
            let head = head(encoding, Some(body.len()));
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
        }
    }
    Ok(())
}

fn head(more: &str, length: Option<usize>) -> String {
    let length = length.map_or_else(String::new, |length| {
        format!("Content-Length: {length}\r\n")
    });
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n{length}{more}\r\n"
    )
}

/// 64 MiB of keys that nobody knows, in a few KiB.
fn compressed() -> Result<Vec<u8>> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(br#"{"status":"success","#)?;
    for _ in 0..8 << 10 {
        gzip.write_all(r#""":0,"#.repeat(1_600).as_bytes())?;
    }
    Ok(gzip.finish()?)
}

/// The head, and the body that it declares.
async fn read(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut wanted = None;
    let mut buffer = [0; 64 << 10];
    loop {
        let count = stream.read(&mut buffer).await?;
        request.extend_from_slice(&buffer[..count]);
        if wanted.is_none()
            && let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length = length.and_then(|length| length.trim().parse::<usize>().ok());
            wanted = Some(end + 4 + length.unwrap_or(0));
        }
        if count == 0 || wanted.is_some_and(|wanted| request.len() >= wanted) {
            return Ok(request);
        }
    }
}

/// Passes a request on to the real store, as a GET.
async fn forward(
    mut stream: TcpStream,
    request: &[u8],
    real: &str,
    http: &reqwest::Client,
) -> Result<()> {
    let text = String::from_utf8_lossy(request);
    let path = text.split_whitespace().nth(1).unwrap_or("/");
    let form = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let mark = if path.contains('?') || form.is_empty() {
        ""
    } else {
        "?"
    };
    let response = http.get(format!("{real}{path}{mark}{form}")).send().await?;
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    let head = head("", Some(body.len())).replacen("200", &status.to_string(), 1);
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    Ok(())
}
