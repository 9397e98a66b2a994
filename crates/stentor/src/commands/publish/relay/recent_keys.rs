//! Counts distinct events.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;

/// Time for which a server remembers a key. A later repeat is published again, so it counts again.
const KEY_TIME: Duration = Duration::from_mins(10);

/// Maximum number of keys in memory, about 4 MB. A source that repeats more events has them counted
/// again.
const KEYS_MAX: usize = 100_000;

/// The keys that were published last, as hashes, and the number of distinct events so far.
#[derive(Debug, Default)]
pub(super) struct RecentKeys {
    order: VecDeque<(Instant, u64)>,
    known: HashSet<u64>,
    distinct: u64,
}

impl RecentKeys {
    /// Adds the keys of an acknowledged batch. With `is_repeat` the server already had all of its events.
    pub(super) fn add(&mut self, keys: &[String], is_repeat: bool) {
        let now = Instant::now();
        self.forget_before(now);
        for key in keys {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            let hash = hasher.finish();
            if self.known.insert(hash) {
                self.order.push_back((now, hash));
                self.distinct += u64::from(!is_repeat);
            }
        }
    }

    /// Returns the number of distinct events.
    pub(super) fn distinct(&self) -> u64 {
        self.distinct
    }

    fn forget_before(&mut self, now: Instant) {
        while let Some((added, hash)) = self.order.front()
            && (self.order.len() > KEYS_MAX || now.duration_since(*added) > KEY_TIME)
        {
            self.known.remove(hash);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(ToString::to_string).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeated_key_counts_once_while_the_server_knows_it() {
        let mut recent = RecentKeys::default();
        recent.add(&keys(&["a", "b"]), false);
        recent.add(&keys(&["b", "c"]), false);
        assert_eq!(recent.distinct(), 3);
        advance(KEY_TIME + Duration::from_secs(1)).await;
        recent.add(&keys(&["c"]), false);
        assert_eq!(recent.distinct(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn events_of_an_earlier_run_do_not_count() {
        let mut recent = RecentKeys::default();
        recent.add(&keys(&["a", "b"]), true);
        recent.add(&keys(&["c"]), false);
        assert_eq!(recent.distinct(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded() {
        let mut recent = RecentKeys::default();
        for number in 0..=KEYS_MAX + 1 {
            recent.add(&[number.to_string()], false);
        }
        assert!(recent.order.len() <= KEYS_MAX + 1 && recent.known.len() == recent.order.len());
    }
}
