//! What all queries need, and the questions about stored samples that several of them ask.

use std::sync::Arc;

use crds::NanInterpretation;

use super::work::Stored;
use crate::model::time::{Millis, Timestamp};
use crate::plan::TargetFacts;
use crate::plan::selector::Selector;
use crate::prometheus::{Answer, Call, Data, Deadline, Store, StoreError};

/// What a query needs to be answered besides what it asks: the store, settings of its target, the
/// time now and the deadline.
#[derive(Debug)]
pub struct Context<'a, S> {
    /// Who is asked.
    pub store: &'a S,
    /// How often the target scrapes.
    pub scrape_interval: Millis,
    /// What a NaN becomes.
    pub nan_interpretation: NanInterpretation,
    /// Buckets that are not over by now are not answered.
    pub now: Timestamp,
    /// When the request must be answered.
    pub deadline: Deadline,
}

impl<S: Store> Context<'_, S> {
    /// What is known of the target, which it may have to be asked for.
    pub(super) async fn facts(&self) -> Result<TargetFacts, StoreError> {
        Ok(TargetFacts {
            scrape_interval: self.scrape_interval,
            now: self.now,
            capabilities: self.store.capabilities(self.deadline).await?,
            is_sharded: self.store.is_sharded(),
        })
    }

    pub(super) async fn call(&self, call: Call) -> Result<Arc<Answer>, StoreError> {
        self.store.call(call, self.deadline).await
    }

    /// The stored samples from `from` to `to`, both included: all that the range selector's answer
    /// has, which may be a little more at the edge. Callers look at the timestamps.
    pub(super) async fn samples(
        &self,
        selector: &Selector,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Stored, StoreError> {
        let selector = selector.to_string();
        let answer = self.call(Call::Samples { selector, from, to }).await?;
        let capabilities = self.store.capabilities(self.deadline).await?;
        Ok(Stored {
            answer,
            drops_nan: !capabilities.keeps_nan,
        })
    }

    /// Whether any series matches one of the selectors between the instants.
    pub(super) async fn exists(
        &self,
        selectors: Vec<String>,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<bool, StoreError> {
        let answer = self
            .call(Call::SeriesExist {
                selectors,
                start,
                end,
            })
            .await?;
        Ok(matches!(answer.data, Data::SeriesExist(true)))
    }

    /// An instant, no later than the first sample that any of the selectors has from `from` on and
    /// at most `precision` before it as far as the store's index tells. None: there is no sample up
    /// to `to`.
    pub(super) async fn first_sample(
        &self,
        selectors: &[String],
        from: Timestamp,
        to: Timestamp,
        precision: Millis,
    ) -> Result<Option<Timestamp>, StoreError> {
        if !self.exists(selectors.to_vec(), from, to).await? {
            return Ok(None);
        }
        let is_before = |at| self.exists(selectors.to_vec(), from, at);
        let found = bisected(from, to, precision, is_before).await?;
        Ok(Some(found))
    }

    /// An instant, no later than the last sample that any of the selectors has up to `to` and at
    /// most `precision` before it as far as the store's index tells. None: there is no sample from
    /// `from` on.
    pub(super) async fn last_sample(
        &self,
        selectors: &[String],
        from: Timestamp,
        to: Timestamp,
        precision: Millis,
    ) -> Result<Option<Timestamp>, StoreError> {
        if !self.exists(selectors.to_vec(), from, to).await? {
            return Ok(None);
        }
        let is_before = |at| async move {
            let follows = self.exists(selectors.to_vec(), at, to).await?;
            Ok(!follows)
        };
        let found = bisected(from, to, precision, is_before).await?;
        Ok(Some(found))
    }
}

/// An instant at most `precision` before an event that lies between the two instants. `is_before`
/// says whether the event is before an instant.
async fn bisected<F: Future<Output = Result<bool, StoreError>>>(
    from: Timestamp,
    to: Timestamp,
    precision: Millis,
    is_before: impl Fn(Timestamp) -> F,
) -> Result<Timestamp, StoreError> {
    let (mut before, mut after) = (from, to);
    while after.since(before) > precision {
        let middle = Timestamp(before.0 + after.since(before).0 / 2);
        if is_before(middle).await? {
            after = middle;
        } else {
            before = middle;
        }
    }
    Ok(before)
}
