//! What a call and its answer take of the process' memory; see [`crate::budget`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::{Answer, Data, StoreError};
use crate::budget::size::ByteSize;
use crate::budget::{Account, Budget, Refused, Reservation};

/// What a call may take without asking again: buffers, and all of a small answer.
const BASE: u64 = 256 << 10;

/// An answer that takes more is given back elsewhere.
const LARGE: u64 = 1 << 20;

/// What is asked for beyond that, at least.
const STEP: u64 = 1 << 20;

/// The memory of one call.
#[derive(Debug)]
pub(super) struct Charge {
    reservation: Reservation,
    /// Whether the call waits for memory now, rather than for the store.
    waits: Arc<AtomicBool>,
}

/// Says for as long as it exists that a call waits for memory.
struct WaitsForMemory<'a>(&'a AtomicBool);

impl<'a> WaitsForMemory<'a> {
    fn new(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Relaxed);
        Self(flag)
    }
}

impl Drop for WaitsForMemory<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Charge {
    /// The base, waiting until `deadline`; on the account of the request that the call belongs to
    /// if there is one.
    pub(super) async fn new(
        budget: &Arc<Budget>,
        account: Option<Account>,
        waits: Arc<AtomicBool>,
        deadline: Instant,
    ) -> Result<Self, StoreError> {
        let (base, until) = (ByteSize(BASE), Some(deadline));
        let reservation = {
            let _waits = WaitsForMemory::new(&waits);
            match account {
                Some(account) => account.reserve(base, until).await?,
                None => budget.reserve(base, until).await?,
            }
        };
        Ok(Self { reservation, waits })
    }

    /// Sees to it that `bytes` may be allocated, waiting until `deadline`.
    #[inline]
    pub(super) async fn cover(&self, bytes: u64, deadline: Instant) -> Result<(), StoreError> {
        let held = self.reservation.bytes().0;
        if bytes <= held {
            return Ok(());
        }
        let generous = bytes.max(held.saturating_add(STEP.max(held / 4)));
        let _waits = WaitsForMemory::new(&self.waits);
        let grown = match self
            .reservation
            .grow_to(ByteSize(generous), Some(deadline))
            .await
        {
            // So much there is not, but what is needed may be.
            Err(_) if generous > bytes && Instant::now() < deadline => {
                let exact = ByteSize(bytes);
                self.reservation.grow_to(exact, Some(deadline)).await
            }
            grown => grown,
        };
        Ok(grown?)
    }

    /// The call is over: its answer takes so many bytes until nobody has it any more.
    pub(super) fn becomes(self, bytes: u64) -> Held {
        self.reservation.shrink_to(ByteSize(bytes));
        Held(Some(Arc::new(self.reservation)))
    }
}

/// The memory of an answer, given back with its last copy. Answers are compared without it.
#[derive(Clone, Debug, Default)]
pub struct Held(Option<Arc<Reservation>>);

impl Held {
    /// Memory of `account`, waiting until `deadline`.
    pub(super) async fn new(
        account: Account,
        bytes: u64,
        deadline: Instant,
    ) -> Result<Self, StoreError> {
        let reservation = account.reserve(ByteSize(bytes), Some(deadline)).await?;
        Ok(Self(Some(Arc::new(reservation))))
    }

    /// The caller that waited for the answer has it now.
    pub(super) fn rests(&self) {
        if let Some(reservation) = &self.0 {
            reservation.rests();
        }
    }

    /// How much it is, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let reservation = self.0.as_ref();
        reservation.map_or(0, |reservation| reservation.bytes().0)
    }

    /// Whether it takes long to give it back.
    pub(super) fn is_large(&self) -> bool {
        let bytes = self.0.as_ref().map(|reservation| reservation.bytes().0);
        bytes.is_some_and(|bytes| bytes > LARGE)
    }

    /// The memory of an answer that is being given back. Until it is, somebody works on it.
    pub(super) fn freed(&mut self) -> impl Send + 'static + use<> {
        let reservation = self.0.take();
        let working = reservation
            .as_ref()
            .map(|reservation| reservation.working());
        (reservation, working)
    }
}

impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooLarge(most) => Self::BeyondMemory(format!(
                "the answer needs more than {most} of the mirror's memory, which is all that one request can have; ask for fewer series or a shorter time, or raise the memory limit"
            )),
            Refused::Busy => Self::OutOfMemory,
            Refused::GivesWay => Self::GivesWay,
        }
    }
}

/// What evaluating a request keeps of an answer at most, in bytes: points of a single series,
/// samples of several to compute with, names to merge.
pub(super) fn kept_of(answer: &Answer) -> u64 {
    const SAMPLE: u64 = 2 * size_of::<f64>() as u64;
    const NAME: u64 = 2 * size_of::<String>() as u64;
    match &answer.data {
        Data::Series(series) => match &series[..] {
            [one] => one.samples.allocated(),
            all => {
                let samples = all.iter().map(|series| series.samples.len() as u64);
                SAMPLE * samples.sum::<u64>()
            }
        },
        Data::Names(names) => names.iter().map(|name| NAME + name.len() as u64).sum(),
        Data::Counts(counts) => {
            let names = counts.by.keys();
            names.map(|name| NAME + name.len() as u64).sum()
        }
        Data::SeriesExist(_) | Data::Metadata(_) | Data::Description(_) | Data::Version(_) => 0,
    }
}
