//! Finished buckets are remembered: of a range query that was asked before, the store is asked only
//! for what is missing and for what may still change.
//!
//! * [`memory`]: where they are kept. [`run`]: consecutive evaluations, and how they are put
//!   together. [`pieces`]: what of a range is known, and what is asked. [`lessons`]: what is still
//!   to be learned of answers that have gone out.
//! * What is remembered is an answer of one server to one expression. Everything above (replicas,
//!   shards, pooling, the rule of one series) sees the answer that the server would have given to
//!   the whole range.
//! * **Exact, or not at all.** The last remembered evaluation is asked again each time, and so is
//!   the first one where something before it is missing. If the store does not say the same there,
//!   it is another store, or series were deleted or changed: all is forgotten and the whole range
//!   is asked. So it is where a part of an answer is incomplete, or cannot be put together with
//!   certainty.

mod lessons;
mod memory;
mod pieces;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::future::try_join;

use self::memory::Key;
pub(super) use self::memory::RememberedMetrics;
pub use self::memory::{Remembered, Remembering};
use self::pieces::Pieces;
use self::run::{Evaluations, Run, is_plain, last_until};
use super::worked::worked;
use super::{Answer, Arrival, Call, Data, Deadline, Store, StoreError};
use crate::model::time::{Millis, Timestamp};
use crate::plan::lasting::{Dialect, Passing, looks_back};

/// What is remembered of one server.
#[derive(Clone, Debug)]
pub(super) struct OfServer {
    pub(super) remembered: Arc<Remembered>,
    /// No other server has the same.
    pub(super) server: u64,
    pub(super) dialect: Dialect,
}

/// What would be asked for a range, for whoever wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// How many evaluations are remembered.
    pub remembered: u64,
    /// The first and the last evaluation of each call, oldest first.
    pub asked: Vec<(Timestamp, Timestamp)>,
    /// Why nothing of it is ever remembered.
    pub never: Option<Passing>,
}

/// One range query, and what its key is.
struct Asked {
    key: Arc<Key>,
    evaluations: Evaluations,
}

impl Asked {
    /// None: it is not worth the trouble.
    fn of(server: &OfServer, call: &Call) -> Option<Self> {
        let Call::Range {
            promql,
            start,
            end,
            step,
        } = call
        else {
            return None;
        };
        let evaluations = Evaluations::of(*start, *end, *step)?;
        (evaluations.count() > 1).then(|| Self {
            key: Arc::new(Key {
                server: server.server,
                dialect: server.dialect,
                promql: promql.clone(),
                step: *step,
                phase: start.0.rem_euclid(step.0),
            }),
            evaluations,
        })
    }

    fn call(&self, evaluations: Evaluations) -> Call {
        Call::Range {
            promql: self.key.promql.clone(),
            start: evaluations.start,
            end: evaluations.end,
            step: evaluations.step,
        }
    }

    fn length(&self) -> Millis {
        self.evaluations.end.since(self.evaluations.start)
    }
}

/// What is to be learned of an answer.
struct Lesson {
    key: Arc<Key>,
    answer: Arc<Answer>,
    /// From this instant on.
    from: Timestamp,
    /// Up to this one.
    settled: Timestamp,
    /// At this one there are samples.
    newest: Timestamp,
    /// As far as it is known already.
    looks_back: Option<Millis>,
    /// Of the range that was asked for.
    length: Millis,
    epoch: u64,
}

impl OfServer {
    /// What `store`, the server, answers to `call`; asked `now`.
    pub(super) async fn answer<S: Store>(
        &self,
        store: &S,
        call: Call,
        deadline: Deadline,
        now: Timestamp,
    ) -> Result<Arc<Answer>, StoreError> {
        let Some(asked) = Asked::of(self, &call) else {
            return store.call(call, deadline).await;
        };
        let recalled = self.remembered.recall(&asked.key, deadline).await;
        let lesson = |answer: &Arc<Answer>, looks_back| Lesson {
            key: Arc::clone(&asked.key),
            answer: Arc::clone(answer),
            from: asked.evaluations.start,
            settled: now.minus(recalled.settle),
            newest: Timestamp(i64::MIN),
            looks_back,
            length: asked.length(),
            epoch: recalled.epoch,
        };
        let mut known_back = None;
        if let Some(known) = &recalled.known {
            let Ok(looks_back) = known.looks_back else {
                return store.call(call, deadline).await;
            };
            known_back = Some(looks_back);
            if let Some(pieces) = Pieces::of(&known.runs, asked.evaluations) {
                let put_together = self.put_together(store, &asked, &pieces, deadline).await?;
                if let Some(Together { whole, head, tail }) = put_together {
                    let newest = last_until(whole.series(), Timestamp(i64::MAX));
                    let parts = [(Some(tail), pieces.to), (head, asked.evaluations.start)];
                    for (part, from) in parts {
                        let Some((part, newest)) = part.zip(newest) else {
                            continue;
                        };
                        self.learn(Lesson {
                            from,
                            newest,
                            ..lesson(&part, known_back)
                        });
                    }
                    self.count(pieces.saved(), asked.evaluations);
                    return Ok(whole);
                }
            }
        }
        // What was forgotten just now may be learned again.
        let epoch = self.remembered.epoch();
        let answer = store.call(call, deadline).await?;
        self.count(0, asked.evaluations);
        if is_keepable(&answer) && is_plain(answer.series(), asked.evaluations) {
            self.learn(Lesson {
                epoch,
                ..lesson(&answer, known_back)
            });
        }
        Ok(answer)
    }

    /// What would be asked for a call. None: it is not a range that may be remembered.
    pub(super) async fn foresee(&self, call: &Call, deadline: Deadline) -> Option<Foreseen> {
        let asked = Asked::of(self, call)?;
        let whole = (asked.evaluations.start, asked.evaluations.end);
        let known = self.remembered.recall(&asked.key, deadline).await.known;
        let never = match &known {
            Some(known) => known.looks_back.clone().err(),
            None => looks_back(&asked.key.promql, self.dialect).err(),
        };
        let runs = known.map_or_else(Vec::new, |known| known.runs);
        let pieces = Pieces::of(&runs, asked.evaluations);
        Some(Foreseen {
            remembered: pieces.as_ref().map_or(0, Pieces::saved),
            asked: pieces.map_or_else(|| vec![whole], |pieces| pieces.asked()),
            never,
        })
    }

    /// The answer to the whole range, of what is remembered and what is asked. None: it must be
    /// asked as a whole.
    async fn put_together<S: Store>(
        &self,
        store: &S,
        asked: &Asked,
        pieces: &Pieces,
        deadline: Deadline,
    ) -> Result<Option<Together>, StoreError> {
        let head = async {
            match pieces.head {
                Some(head) => store.call(asked.call(head), deadline).await.map(Some),
                None => Ok(None),
            }
        };
        let tail = store.call(asked.call(pieces.tail), deadline);
        let (head, tail) = try_join(head, tail).await?;
        let all_keepable = head.iter().chain([&tail]).all(|part| is_keepable(part));
        if !all_keepable {
            return Ok(None);
        }
        let parts = head.iter().chain([&tail]);
        let bytes: u64 = parts.map(|part| part.held.bytes()).sum();
        let held = store.hold(bytes + pieces.known().bytes(), deadline).await?;
        let parts = head.iter().chain([&tail]);
        let size = pieces.size() + parts.map(|part| part.elements()).sum::<usize>();
        let together = {
            let (pieces, head, tail) = (pieces.clone(), head.clone(), Arc::clone(&tail));
            move || pieces.with(head.as_deref(), &tail)
        };
        let Some(series) = worked(size, together).await? else {
            self.remembered.forget(&asked.key);
            return Ok(None);
        };
        let mut remarks = pieces.run.comments.clone();
        for remark in head.iter().chain([&tail]).flat_map(|part| &part.remarks) {
            remark.clone().keep_in(&mut remarks);
        }
        let arrivals = head.iter().map(|head| head.arrival);
        let whole = Arc::new(Answer {
            data: Data::Series(series),
            remarks,
            is_partial: false,
            must_not_be_kept: false,
            held,
            arrival: arrivals.fold(tail.arrival, Arrival::with),
        });
        Ok(Some(Together { whole, head, tail }))
    }

    /// Learns, some time soon.
    fn learn(&self, lesson: Lesson) {
        let (remembered, dialect) = (Arc::clone(&self.remembered), self.dialect);
        let key = Arc::clone(&lesson.key);
        let work = move || lesson.learned(&remembered, dialect);
        self.remembered.lessons.add(&key, work);
    }

    fn count(&self, hits: u64, asked: Evaluations) {
        let metrics = &self.remembered.metrics;
        metrics.hits.inc_by(hits);
        metrics.misses.inc_by(asked.count().saturating_sub(hits));
    }
}

/// An answer, and what of it was asked.
struct Together {
    whole: Arc<Answer>,
    head: Option<Arc<Answer>>,
    tail: Arc<Answer>,
}

impl Lesson {
    fn learned(self, remembered: &Remembered, dialect: Dialect) {
        let newest = last_until(self.answer.series(), Timestamp(i64::MAX));
        let Some(newest) = newest.map(|newest| newest.max(self.newest)) else {
            return;
        };
        let back = match self.looks_back {
            Some(back) => Ok(back),
            None => looks_back(&self.key.promql, dialect),
        };
        let found = match back {
            Err(passing) => Err(passing),
            Ok(back) => {
                // What is later may be made of samples that the store does not have yet.
                let until = self.settled.min(newest.minus(back));
                let Some(run) = Run::lasting(&self.answer, self.from, until) else {
                    return;
                };
                // One evaluation alone saves nothing, and is known if it is that of a run.
                if run.first == run.last {
                    return;
                }
                Ok((back, run))
            }
        };
        remembered.learn(&self.key, found, self.length, self.epoch);
    }
}

/// Whether it is all that the store has, and may be kept.
fn is_keepable(answer: &Answer) -> bool {
    !answer.is_incomplete() && !answer.must_not_be_kept
}
