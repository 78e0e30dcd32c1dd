//! The bodies of requests and answers: in memory that is counted, and outside the runtime's workers
//! where they are large.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::answer_body::AnswerBody;
use super::decode::{self, Request};
use super::encode::Points;
use crate::api::error::ApiError;
use crate::blocking;
use crate::budget::size::ByteSize;
use crate::budget::{Budget, Refused, Reservation};
use crate::model::api_method::ApiMethod;

/// So long a request waits for the memory that its body needs: no target is known yet whose
/// time-out would say it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a body may take without asking again. Bodies without an end on all 1,024 connections leave
/// room for more of them in the last eighth of the default budget, which growth leaves alone.
const BASE: u64 = 8 << 10;

/// What is asked for beyond that.
const STEP: u64 = 64 << 10;

/// Larger requests are parsed outside the runtime's workers. What parsing a smaller one takes is
/// gone before the worker does anything else, and twice its length fits into [`BASE`]: so small
/// requests need no room beside bodies without an end.
const LARGE_REQUEST: usize = 4 << 10;

/// Larger answers are written outside the runtime's workers.
const LARGE_ANSWER: usize = 64 << 10;

/// The body of a request as it arrives, and the memory that it takes.
#[derive(Debug)]
pub struct RequestBody {
    bytes: Vec<u8>,
    held: Reservation,
    patience: Instant,
}

impl RequestBody {
    /// An empty one, as soon as there is memory for a small one.
    ///
    /// # Errors
    /// There is none in time.
    pub async fn new(budget: &Arc<Budget>, arrived: Instant) -> Result<Self, Refused> {
        let patience = arrived + PATIENCE;
        Ok(Self {
            bytes: Vec::new(),
            held: budget.reserve(ByteSize(BASE), Some(patience)).await?,
            patience,
        })
    }

    /// How many bytes have come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// There is no memory for them in time.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let needed = (self.bytes.len() + bytes.len()) as u64;
        if needed > self.held.bytes().0 {
            let generous = ByteSize(needed.next_multiple_of(STEP));
            self.held.grow_to(generous, Some(self.patience)).await?;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// What a body asks for, and the memory that this takes.
///
/// # Errors
/// See [`ApiError`].
pub(super) async fn decoded(
    body: RequestBody,
    method: ApiMethod,
    arrived: Instant,
) -> Result<(Request, Reservation), ApiError> {
    let RequestBody { bytes, held, .. } = body;
    let length = bytes.len();
    let request = if length <= LARGE_REQUEST {
        decode::request(&bytes, method)?
    } else {
        let parsed = length as u64 + decode::parsed_size(length);
        held.grow_to(ByteSize(parsed), Some(arrived + PATIENCE))
            .await?;
        let parsing = move || decode::request(&bytes, method);
        blocking::run(parsing).await.map_err(|_| Refused::Busy)??
    };
    // The texts of the conditions, as long as the answer takes.
    held.shrink_to(ByteSize(2 * length as u64));
    Ok((request, held))
}

/// Encodes an answer of about `size` bytes, which count as the request's memory until they are
/// sent.
///
/// # Errors
/// There is no memory for it in time.
pub(super) async fn encoded(
    memory: Option<&Arc<Reservation>>,
    deadline: Instant,
    size: usize,
    encode: impl FnOnce() -> Bytes + Send + 'static,
) -> Result<AnswerBody, ApiError> {
    if let Some(memory) = memory {
        memory.spend(ByteSize(size as u64), Some(deadline)).await?;
    }
    let body = if size <= LARGE_ANSWER {
        encode()
    } else {
        blocking::run(encode).await.map_err(|_| Refused::Busy)?
    };
    if let Some(memory) = memory {
        // What it was made of is gone.
        memory.shrink_to(ByteSize(size.max(body.len()) as u64));
    }
    Ok(AnswerBody::whole(body, memory.cloned()))
}

/// The answer with these points: as a whole where it is small, and else written while it is sent.
///
/// # Errors
/// There is no memory for it in time.
pub(super) async fn points(
    memory: Option<&Arc<Reservation>>,
    deadline: Instant,
    mut points: Points,
) -> Result<AnswerBody, ApiError> {
    let size = ByteSize(points.size());
    if let Some(memory) = memory {
        memory.spend(size, Some(deadline)).await?;
        // What the points were made of is gone.
        memory.shrink_to(size);
    }
    Ok(if points.fit_in_a_block() {
        AnswerBody::whole(points.block(), memory.cloned())
    } else {
        AnswerBody::points(points, memory.cloned())
    })
}

/// The same as [`encoded`] for an answer that is there already.
///
/// # Errors
/// There is no memory for it in time.
pub(super) async fn counted(
    memory: Option<&Arc<Reservation>>,
    deadline: Instant,
    body: Bytes,
) -> Result<AnswerBody, ApiError> {
    if let Some(memory) = memory {
        memory
            .grow_to(ByteSize(body.len() as u64), Some(deadline))
            .await?;
    }
    Ok(AnswerBody::whole(body, memory.cloned()))
}
