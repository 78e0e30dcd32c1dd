//! An answer's body, decoded as it arrives, in memory that is there before it is taken.

use std::time::Instant;

use http::{HeaderValue, header};

use super::arriving::{Arriving, Collecting, Decoding, Unusable};
use super::{Client, MAX_BODY_BYTES, foreign};
use crate::blocking;
use crate::prometheus::charge::Charge;
use crate::prometheus::decode::{ALLOCATED_PER_BYTE, Decoded, Expected, Meter, small};
use crate::prometheus::http::{Body, Response, Secrets, quote};
use crate::prometheus::{Call, StoreError};

/// So much of a body may be decoded by a worker of the runtime: about a fifth of a millisecond's
/// work.
const DECODED_HERE: usize = 64 << 10;

/// Bodies up to this length are decoded at once.
const SMALL: usize = 16 << 10;

impl Client {
    /// Decodes the answer to a query, which may be large.
    pub(super) async fn decode_stream(
        &self,
        call: &Call,
        response: Response,
        secrets: &impl Fn() -> Secrets,
        deadline: Instant,
        charge: Charge,
    ) -> Result<Decoded, StoreError> {
        let begins = |byte| byte == b'{';
        let decoding = Decoding::new(Expected::of(call), charge, deadline);
        self.arrived(response, secrets, begins, decoding).await
    }

    /// Decodes any other answer.
    pub(super) async fn decode_whole(
        &self,
        call: &Call,
        response: Response,
        secrets: &impl Fn() -> Secrets,
        deadline: Instant,
        charge: Charge,
    ) -> Result<Decoded, StoreError> {
        let collecting = Collecting::new(call.most_bytes(), charge, deadline);
        let collected = self.arrived(response, secrets, foreign::begins_json, collecting);
        let (whole, charge) = collected.await?;
        if whole.len() <= SMALL {
            let bytes = 2 * whole.len() as u64;
            charge
                .cover(bytes + whole.len() as u64 * ALLOCATED_PER_BYTE, deadline)
                .await?;
            let meter = Meter::unlimited();
            let decoded = small::decode(call, &whole, &meter)
                .map_err(|error| self.not_prometheus(&reason(&error, &whole)))?;
            return Ok(holding(decoded, charge, meter.allocated(), whole.len()));
        }
        self.decode_large(call.clone(), whole, deadline, charge)
            .await
    }

    /// What becomes of a body whose first byte `begins` an answer of Prometheus: here as long as it
    /// is small, and then on the threads for long work.
    async fn arrived<A: Arriving>(
        &self,
        response: Response,
        secrets: &impl Fn() -> Secrets,
        begins: impl Fn(u8) -> bool,
        mut arriving: A,
    ) -> Result<A::Whole, StoreError> {
        let content_type = content_type(&response);
        let mut body = self.body(response, secrets)?;
        let (mut length, mut has_begun) = (0, false);
        while let Some(chunk) = body.next().await.map_err(|error| self.unread(error))? {
            if !has_begun && let Some(first) = foreign::first_byte(&chunk) {
                if !begins(first) {
                    let content_type = content_type.as_ref().and_then(|kind| kind.to_str().ok());
                    return Err(self.foreign(content_type, &chunk, body, &secrets()).await);
                }
                has_begun = true;
            }
            length += chunk.len();
            if has_begun && length > DECODED_HERE {
                let whole = blocking::advance(arriving.rest(chunk, body)).await;
                let whole = whole.map_err(|_| self.failed_inside())?;
                return whole.map_err(|unusable| self.unusable(unusable));
            }
            let taken = arriving.push(&chunk).await;
            taken.map_err(|unusable| self.unusable(unusable))?;
        }
        arriving
            .finish()
            .map_err(|unusable| self.unusable(unusable))
    }

    fn unusable(&self, unusable: Unusable) -> StoreError {
        match unusable {
            Unusable::Unread(error) => self.unread(error),
            Unusable::Refused(refused) => refused,
            Unusable::NotPrometheus(reason) => self.not_prometheus(&reason),
        }
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
        let decoding = blocking::run(move || {
            let bytes = 2 * whole.len() as u64;
            let meter =
                Meter::new(|allocated| runtime.block_on(charge.cover(bytes + allocated, deadline)));
            let decoded = small::decode(&call, &whole, &meter);
            let (allocated, refused) = meter.finish();
            match (decoded, refused) {
                (_, Some(refused)) => Err(Unusable::Refused(refused)),
                (Ok(decoded), None) => Ok(holding(decoded, charge, allocated, whole.len())),
                (Err(error), None) => Err(Unusable::NotPrometheus(reason(&error, &whole))),
            }
        });
        let decoded = decoding.await.map_err(|_| self.failed_inside())?;
        decoded.map_err(|unusable| self.unusable(unusable))
    }

    fn body(&self, response: Response, secrets: &impl Fn() -> Secrets) -> Result<Body, StoreError> {
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

/// The answer, if it is one, with the memory that it takes and the length of its body.
pub(super) fn holding(decoded: Decoded, charge: Charge, allocated: u64, length: usize) -> Decoded {
    match decoded {
        Decoded::Success(mut answer) => {
            answer.held = charge.becomes(allocated);
            answer.arrival.bytes = length as u64;
            Decoded::Success(answer)
        }
        failure @ Decoded::Failure { .. } => failure,
    }
}

fn content_type(response: &Response) -> Option<HeaderValue> {
    // A reference count, no copy.
    response.headers().get(header::CONTENT_TYPE).cloned()
}

/// Why a small body is not what was asked for, without the library's words.
fn reason(error: &serde_json::Error, body: &[u8]) -> String {
    use serde_json::error::Category;
    let place = format!("(line {}, column {})", error.line(), error.column());
    match error.classify() {
        _ if foreign::first_byte(body).is_none() => "it is empty".to_owned(),
        Category::Eof | Category::Io => "it ends too early".to_owned(),
        Category::Syntax => format!("it is not JSON {place}"),
        Category::Data if error.line() == 0 => "it has no status".to_owned(),
        Category::Data => {
            format!("it has a value of another type than Prometheus has there {place}")
        }
    }
}
