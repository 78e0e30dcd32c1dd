//! The preferred replica is asked. Another one is where it fails or is late, within the same
//! deadline; whoever answers first is preferred from then on.

use std::time::Instant;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::{Member, Preference, Replicas, share};
use crate::prometheus::{Deadline, StoreError};

/// Whose failure an error is.
enum FailureOf {
    /// Another one may answer.
    Server,
    /// Another one may answer this call. Others of its calls the server may answer.
    Call,
    /// So would any other: the query is at fault.
    Query,
    /// It is the mirror's own limit.
    Mirror,
}

impl FailureOf {
    fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Unreachable(_)
            | StoreError::CredentialsRefused(_)
            | StoreError::Timeout(_)
            | StoreError::Throttled { .. } => Self::Server,
            StoreError::NotOffered(_) | StoreError::TooLongForUrl { .. } => Self::Call,
            StoreError::Rejected { .. }
            | StoreError::AcrossShards(_)
            | StoreError::TooLarge(_)
            | StoreError::BeyondMemory(_)
            | StoreError::TooManyCalls { .. }
            | StoreError::TooMuchPromql { .. } => Self::Query,
            StoreError::ExpiredInQueue
            | StoreError::QueueFull
            | StoreError::OutOfMemory
            | StoreError::GivesWay => Self::Mirror,
        }
    }
}

impl<M: Member> Replicas<M> {
    /// The first answer that `ask` gets of a place, beginning with the preferred one, and the place
    /// that it comes from.
    ///
    /// The next one is asked when one has failed, or when it is late: of `n` replicas each has a
    /// share of `1/(n+1)` of the time alone, so that the last one still has as much. Less would
    /// double the load of a pair whose queries are just slow.
    pub(super) async fn first_answer<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        deadline: Deadline,
        ask: impl Fn(usize, M) -> F,
    ) -> Result<(usize, T), StoreError> {
        let preferred = self.preference.get();
        let mut left = self.in_order(preferred).into_iter().peekable();
        let patience = share(deadline, self.members.len() + 1);
        let mut asked = FuturesUnordered::new();
        let mut failures: Vec<(usize, StoreError)> = Vec::new();
        let mut of_mirror = None;
        let (mut is_first, mut was_late) = (true, false);
        let mut next_at = Instant::now();
        loop {
            let now = Instant::now();
            // Without time nobody is asked, except the first.
            if now >= deadline.0 && !failures.is_empty() {
                left = Vec::new().into_iter().peekable();
            }
            if now >= next_at
                && let Some(place) = left.next()
            {
                was_late |= !asked.is_empty();
                let member = self.members[place].clone();
                let answer = match is_first {
                    true => ask(place, member),
                    false => ask(place, member.instead()),
                };
                is_first = false;
                asked.push(async move { (place, answer.await) });
                next_at = now + patience;
            }
            if asked.is_empty() {
                if was_late {
                    self.leaves(preferred, &failures);
                }
                return Err(of_mirror.unwrap_or_else(|| self.all_failed(failures)));
            }
            let is_late = tokio::time::sleep_until(next_at.into());
            tokio::select! {
                biased;
                Some((place, result)) = asked.next() => match result {
                    Ok(answer) => {
                        self.answered(preferred, place, &failures);
                        return Ok((place, answer));
                    }
                    Err(error) => match FailureOf::of(&error) {
                        FailureOf::Server => {
                            self.preference.failed(place);
                            failures.push((place, error));
                            next_at = Instant::now();
                        }
                        FailureOf::Call => {
                            failures.push((place, error));
                            next_at = Instant::now();
                        }
                        FailureOf::Query => return Err(error),
                        // Another one may be under way. None is asked instead.
                        FailureOf::Mirror => of_mirror = Some(error),
                    },
                },
                () = is_late, if of_mirror.is_none() && left.peek().is_some() => {}
            }
            if of_mirror.is_some() {
                left = Vec::new().into_iter().peekable();
            }
        }
    }

    /// The preferred one first, those that ask to slow down last.
    fn in_order(&self, preferred: usize) -> Vec<usize> {
        let others = (0..self.members.len()).filter(|place| *place != preferred);
        let mut order: Vec<_> = std::iter::once(preferred).chain(others).collect();
        order.sort_by_key(|place| self.members[*place].throttled().is_some());
        order
    }

    fn answered(&self, preferred: usize, place: usize, failures: &[(usize, StoreError)]) {
        self.preference.answered(place);
        if place == preferred {
            return;
        }
        let failure = failures.iter().find(|(failed, _)| *failed == preferred);
        let failure = failure.map(|(_, error)| error.clone());
        if failure.as_ref().is_some_and(is_of_call) {
            return;
        }
        let failure = failure.or_else(|| self.members[preferred].throttled());
        self.preference.moves(preferred, place, failure.as_ref());
    }

    /// The preferred one was late, and no other could answer instead: the calls that it does not
    /// answer may hold all of the mirror's places. Others are asked first from now on.
    fn leaves(&self, preferred: usize, failures: &[(usize, StoreError)]) {
        let failure = failures.iter().find(|(place, _)| *place == preferred);
        let failure = failure.map(|(_, error)| error);
        let next = self
            .in_order(preferred)
            .into_iter()
            .find(|place| *place != preferred);
        if let (None | Some(StoreError::Timeout(_)), Some(next)) = (failure, next) {
            self.preference.moves(preferred, next, failure);
        }
    }

    /// One error for those of all that were asked.
    fn all_failed(&self, mut failures: Vec<(usize, StoreError)>) -> StoreError {
        if failures.len() == 1
            && let Some((_, error)) = failures.pop()
        {
            return error;
        }
        // One of them is there, and has no such call: others may not be there at all.
        if let Some(at) = failures.iter().position(|(_, error)| is_of_call(error)) {
            return failures.swap_remove(at).1;
        }
        let said: Vec<_> = failures
            .iter()
            .map(|(_, error)| error.to_string())
            .collect();
        let message = format!("no replica answers: {}", said.join("; "));
        let soonest = failures.iter().filter_map(|(_, error)| match error {
            StoreError::Throttled { retry_after, .. } => Some(*retry_after),
            _ => None,
        });
        if let Some(retry_after) = soonest.min() {
            return StoreError::Throttled {
                message,
                retry_after,
            };
        }
        let all = |is: fn(&StoreError) -> bool| failures.iter().all(|(_, error)| is(error));
        if all(|error| matches!(error, StoreError::Timeout(_))) {
            StoreError::Timeout(message)
        } else if all(|error| matches!(error, StoreError::CredentialsRefused(_))) {
            StoreError::CredentialsRefused(message)
        } else {
            StoreError::Unreachable(message)
        }
    }
}

/// Whether a server has only this call not.
fn is_of_call(error: &StoreError) -> bool {
    matches!(FailureOf::of(error), FailureOf::Call)
}

/// The message for a replica that would answer the calls of a request otherwise than the one that
/// it was planned for.
pub(super) fn unlike(place: usize, preference: &Preference) -> StoreError {
    StoreError::Unreachable(format!(
        "{} evaluates queries otherwise than the replica that this request began with; ask again",
        preference.name(place)
    ))
}
