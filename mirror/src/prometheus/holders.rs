//! Which shards of a target had series of a selector when they were asked last.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Mutex, PoisonError};

/// So many selectors are remembered: some 100 bytes each. If there are more, all are forgotten.
const MOST: usize = 4_096;

/// What is known of the shards of a target. All requests share it. It may be out of date: who uses
/// it asks the shards again meanwhile.
#[derive(Debug, Default)]
pub struct Holders {
    /// By a hash, because a mistaken one costs no more than an outdated one.
    known: Mutex<HashMap<u64, Vec<bool>>>,
}

impl Holders {
    /// Whether each shard had any.
    pub fn of(&self, selector: &impl Hash) -> Option<Vec<bool>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&hash(selector)).cloned()
    }

    /// Each shard has some or none, as it says now.
    pub fn learn(&self, selector: &impl Hash, by_shard: &[bool]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = hash(selector);
        if known.len() >= MOST && !known.contains_key(&hash) {
            known.clear();
        }
        known.insert(hash, by_shard.to_vec());
    }
}

fn hash(selector: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    selector.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_last_is_known_and_the_memory_is_bounded() {
        let holders = Holders::default();
        assert_eq!(holders.of(&"a"), None);
        holders.learn(&"a", &[true, false]);
        holders.learn(&"a", &[true, true]);
        assert_eq!(holders.of(&"a"), Some(vec![true, true]));
        for index in 0..MOST {
            holders.learn(&index, &[true]);
        }
        let known = holders.known.lock().unwrap().len();
        assert_eq!((known, holders.of(&"a")), (1, None));
    }
}
