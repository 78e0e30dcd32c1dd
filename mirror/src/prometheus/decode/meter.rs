//! Counts what decoding allocates, before it does.

use std::cell::{Cell, RefCell};

use crate::prometheus::StoreError;

/// What decoding allocates, and who allows it.
pub(in crate::prometheus) struct Meter<'a> {
    allow: Box<dyn Fn(u64) -> Result<(), StoreError> + 'a>,
    allocated: Cell<u64>,
    allowed: Cell<u64>,
    refused: RefCell<Option<StoreError>>,
}

/// So much is allowed beyond what is allocated, so that not every name asks.
const STEP: u64 = 256 << 10;

impl<'a> Meter<'a> {
    /// One that asks `allow` before more than so many bytes are allocated.
    pub(in crate::prometheus) fn new(allow: impl Fn(u64) -> Result<(), StoreError> + 'a) -> Self {
        Self {
            allow: Box::new(allow),
            allocated: Cell::new(0),
            allowed: Cell::new(0),
            refused: RefCell::new(None),
        }
    }

    /// One that only counts.
    pub(in crate::prometheus) fn unlimited() -> Self {
        Self::new(|_| Ok(()))
    }

    /// How much is allocated.
    pub(in crate::prometheus) fn allocated(&self) -> u64 {
        self.allocated.get()
    }

    /// The same at the end, and the reason why decoding was stopped, if it was.
    pub(in crate::prometheus) fn finish(self) -> (u64, Option<StoreError>) {
        (self.allocated.get(), self.refused.into_inner())
    }

    /// Says that so many bytes are about to be allocated.
    pub(super) fn add<E: serde::de::Error>(&self, bytes: u64) -> Result<(), E> {
        let allocated = self.allocated.get() + bytes;
        self.allocated.set(allocated);
        if allocated <= self.allowed.get() {
            return Ok(());
        }
        (self.allow)(allocated + STEP).map_err(|refused| {
            self.refused.replace(Some(refused));
            E::custom("there is no memory for it")
        })?;
        self.allowed.set(allocated + STEP);
        Ok(())
    }
}
