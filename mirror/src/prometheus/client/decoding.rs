//! An answer's body, decoded as it arrives, in memory that is there before it is taken.

use std::time::Instant;

use http::{HeaderValue, header};

use super::body::Body;
use super::quote::{Secrets, quote};
use super::{Client, MAX_BODY_BYTES, refusal};
use crate::prometheus::charge::Charge;
use crate::prometheus::decode::{ALLOCATED_PER_BYTE, Decoded, Decoder, Expected, small};
use crate::prometheus::{Answer, Call, StoreError};

/// So much of an answer is decoded before the memory for it is looked at.
const PIECE: usize = 8 << 10;

/// After so many decoded bytes other tasks get a turn.
const BYTES_A_TURN: usize = 64 << 10;

/// Bodies up to this length are decoded at once.
const SMALL: usize = 16 << 10;

impl Client {
    /// Decodes the answer to a query, which may be large.
    pub(super) async fn decode_stream(
        &self,
        call: &Call,
        response: reqwest::Response,
        secrets: &impl Fn() -> Secrets,
        deadline: Instant,
        charge: Charge,
    ) -> Result<Decoded, StoreError> {
        let content_type = content_type(&response);
        let mut body = self.body(response, secrets)?;
        let mut decoder = Decoder::new(Expected::of(call));
        let mut length = 0_u64;
        let mut since_turn = 0;
        let mut has_begun = false;
        while let Some(chunk) = body.next().await.map_err(|error| self.unread(error))? {
            if !has_begun && let Some(first) = refusal::first_byte(&chunk) {
                if first != b'{' {
                    let content_type = content_type.as_ref().and_then(|kind| kind.to_str().ok());
                    return Err(self.foreign(content_type, &chunk, body, &secrets()).await);
                }
                has_begun = true;
            }
            length += chunk.len() as u64;
            if length > MAX_BODY_BYTES as u64 {
                return Err(self.too_large());
            }
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(piece(rest));
                rest = behind;
                let at_most = piece.len() as u64 * ALLOCATED_PER_BYTE;
                charge
                    .cover(decoder.allocated() + at_most, deadline)
                    .await?;
                decoder
                    .push(piece)
                    .map_err(|error| self.not_prometheus(&error.to_string()))?;
                since_turn += piece.len();
                if since_turn >= BYTES_A_TURN {
                    since_turn = 0;
                    tokio::task::yield_now().await;
                }
            }
        }
        let allocated = decoder.allocated();
        let decoded = decoder
            .finish()
            .map_err(|error| self.not_prometheus(&error.to_string()))?;
        Ok(holding(decoded, charge, allocated))
    }

    /// Decodes any other answer.
    pub(super) async fn decode_whole(
        &self,
        call: &Call,
        response: reqwest::Response,
        secrets: &impl Fn() -> Secrets,
        deadline: Instant,
        charge: Charge,
    ) -> Result<Decoded, StoreError> {
        let content_type = content_type(&response);
        let mut body = self.body(response, secrets)?;
        let mut whole = Vec::new();
        while let Some(chunk) = body.next().await.map_err(|error| self.unread(error))? {
            if whole.is_empty() && !refusal::begins_as_json(&chunk) {
                let content_type = content_type.as_ref().and_then(|kind| kind.to_str().ok());
                return Err(self.foreign(content_type, &chunk, body, &secrets()).await);
            }
            if whole.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(self.too_large());
            }
            // A buffer that grows is there twice for a moment.
            charge
                .cover(2 * (whole.len() + chunk.len()) as u64, deadline)
                .await?;
            whole.extend_from_slice(&chunk);
        }
        let bytes = 2 * whole.len() as u64;
        if whole.len() <= SMALL {
            charge
                .cover(bytes + whole.len() as u64 * ALLOCATED_PER_BYTE, deadline)
                .await?;
            let meter = small::Meter::unlimited();
            let decoded = small::decode(call, &whole, &meter)
                .map_err(|error| self.not_prometheus(&reason(&error, &whole)))?;
            return Ok(holding(decoded, charge, meter.allocated()));
        }
        self.decode_large(call.clone(), whole, deadline, charge)
            .await
    }

    /// Decodes a large body outside the runtime's workers, which have other requests to serve.
    async fn decode_large(
        &self,
        call: Call,
        whole: Vec<u8>,
        deadline: Instant,
        charge: Charge,
    ) -> Result<Decoded, StoreError> {
        let runtime = tokio::runtime::Handle::current();
        let decoding = tokio::task::spawn_blocking(move || {
            let bytes = 2 * whole.len() as u64;
            let meter = small::Meter::new(|allocated| {
                runtime.block_on(charge.cover(bytes + allocated, deadline))
            });
            let decoded = small::decode(&call, &whole, &meter);
            let (allocated, refused) = meter.finish();
            match (decoded, refused) {
                (_, Some(refused)) => Err(Large::Refused(refused)),
                (Ok(decoded), None) => Ok(holding(decoded, charge, allocated)),
                (Err(error), None) => Err(Large::NotPrometheus(reason(&error, &whole))),
            }
        });
        match decoding.await {
            Ok(Ok(decoded)) => Ok(decoded),
            Ok(Err(Large::Refused(refused))) => Err(refused),
            Ok(Err(Large::NotPrometheus(reason))) => Err(self.not_prometheus(&reason)),
            Err(_) => Err(self.failed_inside()),
        }
    }

    fn body(
        &self,
        response: reqwest::Response,
        secrets: &impl Fn() -> Secrets,
    ) -> Result<Body, StoreError> {
        let body = Body::new(response, MAX_BODY_BYTES).map_err(|unknown| {
            StoreError::Unreachable(format!(
                "{} answered with {} encoding although it was not asked for, and the mirror cannot decode it: does a proxy in between compress?",
                self.name,
                quote(&unknown.0, &secrets())
            ))
        })?;
        if body.declares_too_much() {
            return Err(self.too_large());
        }
        Ok(body)
    }
}

/// Why a large body is no answer.
enum Large {
    /// There is no memory for it.
    Refused(StoreError),
    /// It is not what was asked for.
    NotPrometheus(String),
}

/// The answer, if it is one, with the memory that it takes.
fn holding(decoded: Decoded, charge: Charge, allocated: u64) -> Decoded {
    match decoded {
        Decoded::Success(answer) => Decoded::Success(Answer {
            held: charge.becomes(allocated),
            ..answer
        }),
        failure @ Decoded::Failure { .. } => failure,
    }
}

/// How much of a chunk is decoded in one go: little enough to be done within a millisecond, and cut
/// behind a sample where one ends nearby, because what is cut in two must be copied.
fn piece(chunk: &[u8]) -> usize {
    /// Longer than most samples.
    const LOOKED_BACK: usize = 96;
    if chunk.len() <= PIECE {
        return chunk.len();
    }
    let end = &chunk[PIECE - LOOKED_BACK..PIECE];
    end.iter()
        .rposition(|byte| *byte == b']')
        .map_or(PIECE, |at| PIECE - LOOKED_BACK + at + 1)
}

fn content_type(response: &reqwest::Response) -> Option<HeaderValue> {
    // A reference count, no copy.
    response.headers().get(header::CONTENT_TYPE).cloned()
}

/// Why a small body is not what was asked for, without the library's words.
fn reason(error: &serde_json::Error, body: &[u8]) -> String {
    use serde_json::error::Category;
    let place = format!("(line {}, column {})", error.line(), error.column());
    match error.classify() {
        _ if refusal::first_byte(body).is_none() => "it is empty".to_owned(),
        Category::Eof | Category::Io => "it ends too early".to_owned(),
        Category::Syntax => format!("it is not JSON {place}"),
        Category::Data if error.line() == 0 => "it has no status".to_owned(),
        Category::Data => {
            format!("it has a value of another type than Prometheus has there {place}")
        }
    }
}
