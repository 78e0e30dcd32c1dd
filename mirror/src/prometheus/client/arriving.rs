//! Bodies of answers as they arrive. Their beginning is decoded by the worker of the runtime that
//! read it, which is all of most answers. What comes behind it is decoded on threads that give way
//! to small requests.

use std::time::Instant;

use bytes::Bytes;

use super::MAX_BODY_BYTES;
use super::decoding::holding;
use crate::prometheus::StoreError;
use crate::prometheus::charge::Charge;
use crate::prometheus::decode::{ALLOCATED_PER_BYTE, Decoded, Decoder, Expected};
use crate::prometheus::http::{Body, BodyError};

/// So much of an answer is decoded before the memory for it is looked at.
const PIECE: usize = 8 << 10;

/// After so many decoded bytes other tasks get a turn.
const BYTES_A_TURN: usize = 64 << 10;

/// Why a body is no answer.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It cannot be read to its end.
    Unread(BodyError),
    /// There is no memory for it.
    Refused(StoreError),
    /// It is not what was asked for.
    NotPrometheus(String),
}

/// What is made of a body while it arrives.
pub(super) trait Arriving: Sized + Send + 'static {
    /// What it has become at its end.
    type Whole: Send + 'static;

    /// Takes the next bytes.
    fn push(&mut self, chunk: &[u8]) -> impl Future<Output = Result<(), Unusable>> + Send;

    /// Everything has come.
    fn finish(self) -> Result<Self::Whole, Unusable>;

    /// Takes this chunk and all that follows.
    fn rest(
        mut self,
        chunk: Bytes,
        mut body: Body,
    ) -> impl Future<Output = Result<Self::Whole, Unusable>> + Send {
        async move {
            let mut next = Some(chunk);
            while let Some(chunk) = next {
                self.push(&chunk).await?;
                drop(chunk);
                next = body.next().await.map_err(Unusable::Unread)?;
            }
            self.finish()
        }
    }
}

/// The answer to a query, decoded piece by piece.
#[derive(Debug)]
pub(super) struct Decoding {
    decoder: Decoder,
    charge: Charge,
    deadline: Instant,
    length: usize,
    since_turn: usize,
}

impl Decoding {
    pub(super) fn new(expected: Expected, charge: Charge, deadline: Instant) -> Self {
        Self {
            decoder: Decoder::new(expected),
            charge,
            deadline,
            length: 0,
            since_turn: 0,
        }
    }
}

impl Arriving for Decoding {
    type Whole = Decoded;

    async fn push(&mut self, chunk: &[u8]) -> Result<(), Unusable> {
        self.length += chunk.len();
        if self.length > MAX_BODY_BYTES {
            return Err(Unusable::Unread(BodyError::TooLarge));
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(piece(rest));
            rest = behind;
            let at_most = piece.len() as u64 * ALLOCATED_PER_BYTE;
            self.charge
                .cover(self.decoder.allocated() + at_most, self.deadline)
                .await
                .map_err(Unusable::Refused)?;
            self.decoder
                .push(piece)
                .map_err(|error| Unusable::NotPrometheus(error.to_string()))?;
            self.since_turn += piece.len();
            if self.since_turn >= BYTES_A_TURN {
                self.since_turn = 0;
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Decoded, Unusable> {
        let (allocated, length) = (self.decoder.allocated(), self.length);
        let decoded = self
            .decoder
            .finish()
            .map_err(|error| Unusable::NotPrometheus(error.to_string()))?;
        Ok(holding(decoded, self.charge, allocated, length))
    }
}

/// Another answer, which is decoded when all of it is there.
#[derive(Debug)]
pub(super) struct Collecting {
    bytes: Vec<u8>,
    most: usize,
    charge: Charge,
    deadline: Instant,
}

impl Collecting {
    /// `most` bytes at most.
    pub(super) fn new(most: usize, charge: Charge, deadline: Instant) -> Self {
        Self {
            bytes: Vec::new(),
            most,
            charge,
            deadline,
        }
    }
}

impl Arriving for Collecting {
    type Whole = (Vec<u8>, Charge);

    async fn push(&mut self, chunk: &[u8]) -> Result<(), Unusable> {
        let length = self.bytes.len() + chunk.len();
        if length > self.most {
            return Err(Unusable::Unread(BodyError::TooLarge));
        }
        // A buffer that grows is there twice for a moment.
        self.charge
            .cover(2 * length as u64, self.deadline)
            .await
            .map_err(Unusable::Refused)?;
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    fn finish(self) -> Result<Self::Whole, Unusable> {
        Ok((self.bytes, self.charge))
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
