//! A list of names that a store is asked for.

use std::collections::BTreeSet;

use crate::execute::{Context, EvaluateError, work};
use crate::plan::selector::Selector;
use crate::prometheus::{Answer, Call, Data, Store, StoreError};

/// The most calls that a question is divided into.
const MOST_PARTS: usize = 32;

/// Names, each once, and whether the store may have more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) names: BTreeSet<String>,
    pub(super) is_incomplete: bool,
}

impl Listed {
    fn add(&mut self, answer: &Answer) {
        if let Data::Names(names) = &answer.data {
            self.names.extend(names.iter().cloned());
        }
        self.is_incomplete |= answer.is_incomplete();
    }
}

/// Asks `call` for the series of `selector`. Where that is too long for a URL and the store takes
/// nothing else, the longest set of accepted texts is halved until the parts fit: what each of them
/// answers, together, is the answer.
///
/// # Errors
/// Those of the store; that the question is too long if it cannot be divided, or not into
/// [`MOST_PARTS`].
pub(super) async fn ask<S: Store>(
    context: &Context<'_, S>,
    selector: Option<Selector>,
    call: impl Fn(Option<String>) -> Call,
) -> Result<Listed, EvaluateError> {
    let mut all = Listed::default();
    let mut asked = 0;
    let mut left = vec![selector];
    while let Some(selector) = left.pop() {
        let text = selector.as_ref().map(ToString::to_string);
        match context.call(call(text)).await {
            Ok(answer) => {
                asked += 1;
                let size = match &answer.data {
                    Data::Names(names) => names.len(),
                    _ => 0,
                };
                all = work::done(size, context.deadline, move || {
                    all.add(&answer);
                    all
                })
                .await?;
            }
            Err(StoreError::TooLongForUrl {
                message,
                bytes,
                at_most,
            }) => {
                let halves = selector.as_ref().and_then(Selector::halved);
                // Halves come in powers of two, so there may be twice as many as are needed. What
                // would be too many is refused before any of it is asked.
                let fits = bytes.div_ceil(at_most.max(1)) <= MOST_PARTS / 2
                    && asked + left.len() + 2 <= MOST_PARTS;
                match halves.filter(|_| fits) {
                    Some((first, second)) => left.extend([Some(second), Some(first)]),
                    None => {
                        return Err(StoreError::TooLongForUrl {
                            message,
                            bytes,
                            at_most,
                        }
                        .into());
                    }
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}
