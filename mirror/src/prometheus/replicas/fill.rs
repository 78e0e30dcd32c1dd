//! What the replica that answered does not have is asked of the others.
//!
//! An answer without gaps costs no other call. Whatever the others do, the answer stands: where
//! they fail, or have nothing either, it is as it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::range::Instants;
use super::samples::{self, Stretch};
use super::{Member, Replicas, share};
use crate::model::series::Series;
use crate::prometheus::worked::worked;
use crate::prometheus::{Answer, Call, Data, Deadline, StoreError};

/// So many stretches are asked for one by one. If there are more, one call asks for all.
const MOST_STRETCHES: usize = 3;

/// Others may take a share of what is left of the time: the answer must not come late for want of
/// what may be nowhere.
const SHARES: usize = 3;

/// So long one that failed lately may take where the answer has nothing at all: "no such series" is
/// worth another look, but not a wait.
const SECOND_LOOK: Duration = Duration::from_secs(1);

impl<M: Member> Replicas<M> {
    /// The answer of the member at `place`, with what others have where it has nothing.
    pub(super) async fn filled(
        &self,
        call: &Call,
        place: usize,
        answer: Arc<Answer>,
        deadline: Deadline,
    ) -> Result<Arc<Answer>, StoreError> {
        match call {
            Call::Range {
                promql,
                start,
                end,
                step,
            } => {
                if looks_for_absence(promql) {
                    return Ok(answer);
                }
                let instants = Instants {
                    start: *start,
                    end: *end,
                    step: *step,
                };
                self.range_filled(promql, instants, place, answer, deadline)
                    .await
            }
            Call::Samples { selector, from, to } => {
                let within = Stretch {
                    from: *from,
                    to: *to,
                };
                self.samples_filled(selector, within, place, answer, deadline)
                    .await
            }
            Call::Instant { promql, .. } if looks_for_absence(promql) => Ok(answer),
            _ if !is_empty(&answer) => Ok(answer),
            _ => {
                for other in self.others(place) {
                    let found = self.soon(other, call.clone(), true, deadline).await;
                    if let Some(found) = found.filter(|found| !is_empty(found)) {
                        return Ok(found);
                    }
                }
                Ok(answer)
            }
        }
    }

    async fn range_filled(
        &self,
        promql: &str,
        instants: Instants,
        place: usize,
        mut answer: Arc<Answer>,
        deadline: Deadline,
    ) -> Result<Arc<Answer>, StoreError> {
        for other in self.others(place) {
            let has_nothing = answer.series().is_empty();
            let scanned = Arc::clone(&answer);
            let missing = worked(answer.elements(), move || {
                instants.missing(scanned.series())
            });
            let Some(missing) = missing.await? else {
                break;
            };
            for stretch in missing.stretches(MOST_STRETCHES) {
                let call = Call::Range {
                    promql: promql.to_owned(),
                    start: stretch.start,
                    end: stretch.end,
                    step: stretch.step,
                };
                let Some(found) = self.soon(other, call, has_nothing, deadline).await else {
                    break;
                };
                if found.series().is_empty() {
                    continue;
                }
                let missing = missing.clone();
                let merge = move |own: &[Series], other: &[Series]| missing.filled(own, other);
                answer = self.merged(answer, found, deadline, merge).await?;
            }
        }
        Ok(answer)
    }

    async fn samples_filled(
        &self,
        selector: &str,
        within: Stretch,
        place: usize,
        mut answer: Arc<Answer>,
        deadline: Deadline,
    ) -> Result<Arc<Answer>, StoreError> {
        let interval = self.scrape_interval;
        let call = |stretch: Stretch| Call::Samples {
            selector: selector.to_owned(),
            from: stretch.from,
            to: stretch.to,
        };
        for other in self.others(place) {
            let has_nothing = answer.series().is_empty();
            let scanned = Arc::clone(&answer);
            let missing = worked(answer.elements(), move || {
                samples::missing(scanned.series(), within, interval, MOST_STRETCHES)
            });
            for stretch in missing.await? {
                let found = self.soon(other, call(stretch), has_nothing, deadline);
                let Some(found) = found.await else {
                    break;
                };
                if found.series().is_empty() {
                    continue;
                }
                let Some(around) = self.around(&call, place, &found, within, deadline).await?
                else {
                    break;
                };
                let merge = move |own: &[Series], other: &[Series]| {
                    samples::filled(own, other, &around, within, interval)
                };
                answer = self.merged(answer, found, deadline, merge).await?;
            }
        }
        Ok(answer)
    }

    /// The samples just outside of what was asked for that may be the scrapes of those that another
    /// one has just inside. None: the member at `place` does not say, so that what the other has
    /// might count twice.
    async fn around(
        &self,
        call: impl Fn(Stretch) -> Call,
        place: usize,
        found: &Arc<Answer>,
        within: Stretch,
        deadline: Deadline,
    ) -> Result<Option<Vec<Series>>, StoreError> {
        let (scanned, interval) = (Arc::clone(found), self.scrape_interval);
        let outside = worked(found.elements(), move || {
            samples::around(scanned.series(), within, interval)
        });
        let mut around = Vec::new();
        for stretch in outside.await? {
            match self.soon(place, call(stretch), false, deadline).await {
                Some(answer) => around.extend_from_slice(answer.series()),
                None => return Ok(None),
            }
        }
        Ok(Some(around))
    }

    /// Those that may have what the one at `place` does not.
    fn others(&self, place: usize) -> impl Iterator<Item = usize> {
        (0..self.members.len()).filter(move |other| *other != place)
    }

    /// What the member at `place` answers, if it does so soon. One that failed lately is asked only
    /// if the answer `has_nothing` without it, and by one request at a time.
    async fn soon(
        &self,
        place: usize,
        call: Call,
        has_nothing: bool,
        deadline: Deadline,
    ) -> Option<Arc<Answer>> {
        if self.members[place].throttled().is_some() {
            return None;
        }
        let mut patience = share(deadline, SHARES);
        let mut trial = None;
        if self.preference.is_out(place) {
            if !has_nothing {
                return None;
            }
            trial = Some(self.preference.trial(place)?);
            patience = patience.min(SECOND_LOOK);
        }
        let soon = Deadline(Instant::now() + patience);
        let asked = self.suitable(place, self.members[place].clone(), call, soon);
        let said = asked.await;
        drop(trial);
        match said {
            Ok(answer) => {
                self.preference.answered(place);
                Some(answer)
            }
            Err(error) => {
                if matches!(error, StoreError::Unreachable(_) | StoreError::Timeout(_)) {
                    self.preference.failed(place);
                }
                tracing::debug!(%error, "a replica does not say what it has");
                None
            }
        }
    }

    /// Both answers as one, in memory of its own.
    async fn merged(
        &self,
        own: Arc<Answer>,
        other: Arc<Answer>,
        deadline: Deadline,
        merge: impl FnOnce(&[Series], &[Series]) -> Vec<Series> + Send + 'static,
    ) -> Result<Arc<Answer>, StoreError> {
        let bytes = own.held.bytes().saturating_add(other.held.bytes());
        let member = &self.members[0];
        let held = member.hold(bytes, deadline).await?;
        worked(own.elements() + other.elements(), move || {
            let mut remarks = own.remarks.clone();
            for remark in &other.remarks {
                remark.clone().keep_in(&mut remarks);
            }
            Arc::new(Answer {
                data: Data::Series(merge(own.series(), other.series())),
                remarks,
                is_partial: own.is_partial || other.is_partial,
                must_not_be_kept: own.must_not_be_kept || other.must_not_be_kept,
                held,
                arrival: own.arrival.with(other.arrival),
            })
        })
        .await
    }
}

/// Whether an expression has a value where series have none: what another replica says of its own
/// gap would then be taken for a fact. The name of a metric is never followed by a bracket.
fn looks_for_absence(promql: &str) -> bool {
    let mut words = promql.split_inclusive('(');
    words.any(|until| {
        let Some(before) = until.strip_suffix('(').map(str::trim_end) else {
            return false;
        };
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
        let word = before.rsplit(|letter| !is_part(letter)).next();
        word.is_some_and(|word| {
            ["absent", "absent_over_time"].contains(&word.to_ascii_lowercase().as_str())
        })
    })
}

/// Whether an answer says that there is nothing.
fn is_empty(answer: &Answer) -> bool {
    match &answer.data {
        Data::Series(series) => series.is_empty(),
        Data::SeriesExist(exist) => !exist,
        Data::Names(names) => names.is_empty(),
        Data::Metadata(types) => types.is_empty(),
        Data::Description(description) => description.is_none(),
        Data::Counts(counts) => counts.series == 0,
        Data::Version(_) => false,
    }
}
