//! The body of an answer: bounded in bytes, and without the encodings that nobody asked for.

use std::time::Duration;

use bytes::Bytes;

use super::encoding::{Codings, DecodingError, Inflater, UnknownCoding};
use super::{Failed, Incoming, Response};

/// After so many decoded bytes other tasks get a turn.
const BYTES_A_TURN: usize = 1 << 20;

/// Why a body cannot be read to its end.
#[derive(Debug)]
pub(in crate::prometheus) enum BodyError {
    /// It is longer than allowed.
    TooLarge,
    /// The connection broke, or what came on it is no body.
    BrokenOff(Failed),
    /// Its encoding cannot be taken off.
    Decoding(DecodingError),
}

/// A body that arrives.
#[derive(Debug)]
pub(in crate::prometheus) struct Body {
    incoming: Incoming,
    /// None in the good case.
    inflater: Option<Inflater>,
    has_ended: bool,
    most: u64,
    received: u64,
    decoded: usize,
}

impl Body {
    /// The body of a response. Neither as it arrives nor decoded may it have more than `most`
    /// bytes.
    ///
    /// # Errors
    /// The name of an encoding that cannot be decoded.
    pub(in crate::prometheus) fn new(
        response: Response,
        most: usize,
    ) -> Result<Self, UnknownCoding> {
        let codings = Codings::of(response.headers())?;
        Ok(Self {
            incoming: response.into_body(),
            inflater: (!codings.is_empty()).then(|| Inflater::new(&codings, most)),
            has_ended: false,
            most: most as u64,
            received: 0,
            decoded: 0,
        })
    }

    /// Whether the response says in its head that it is too long.
    pub(in crate::prometheus) fn declares_too_much(&self) -> bool {
        self.incoming.length().unwrap_or(0) > self.most
    }

    /// The next bytes; none at the end.
    pub(in crate::prometheus) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            if let Some(inflater) = &mut self.inflater {
                let decoded = match inflater.decoded() {
                    Ok(None) if self.has_ended => inflater.finish(),
                    decoded => decoded,
                };
                match decoded.map_err(BodyError::from)? {
                    Some(bytes) => {
                        self.decoded += bytes.len();
                        if self.decoded > BYTES_A_TURN {
                            self.decoded = 0;
                            tokio::task::yield_now().await;
                        }
                        return Ok(Some(bytes));
                    }
                    None if self.has_ended => return Ok(None),
                    None => {}
                }
            }
            let chunk = self.incoming.next().await.map_err(BodyError::BrokenOff)?;
            let Some(chunk) = chunk else {
                self.has_ended = true;
                if self.inflater.is_none() {
                    return Ok(None);
                }
                continue;
            };
            self.received += chunk.len() as u64;
            if self.received > self.most {
                return Err(BodyError::TooLarge);
            }
            match &mut self.inflater {
                None => return Ok(Some(chunk)),
                Some(inflater) => inflater.take(chunk),
            }
        }
    }

    /// What comes, behind `begun`, until there are `most` bytes, the body ends or breaks off, or
    /// `patience` is over: enough to say what it is.
    pub(in crate::prometheus) async fn beginning(
        &mut self,
        begun: &[u8],
        most: usize,
        patience: Duration,
    ) -> Vec<u8> {
        let mut beginning = begun[..begun.len().min(most)].to_vec();
        let collect = async {
            while beginning.len() < most
                && let Ok(Some(chunk)) = self.next().await
            {
                let room = most - beginning.len();
                beginning.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
        };
        // Out of time: what came is good enough.
        let _ = tokio::time::timeout(patience, collect).await;
        beginning
    }
}

impl From<DecodingError> for BodyError {
    fn from(error: DecodingError) -> Self {
        match error {
            DecodingError::TooLarge => Self::TooLarge,
            error => Self::Decoding(error),
        }
    }
}
