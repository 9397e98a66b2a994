//! Generates idempotency keys for publishes without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::build_error::BuildError;

/// Generates idempotency keys: a random prefix and a counter.
///
/// The prefix has 128 random bits from the operating system, drawn once per publisher. It makes keys unique across
/// processes and restarts. The counter makes them unique within the publisher and its clones.
#[derive(Clone, Debug)]
pub(crate) struct KeyGenerator {
    prefix: Arc<str>,
    next: Arc<AtomicU64>,
}

impl KeyGenerator {
    pub(crate) fn new() -> Result<KeyGenerator, BuildError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| BuildError::Client {
            cause: format!("the operating system provides no random numbers ({error})"),
        })?;
        let prefix = u128::from_ne_bytes(random);
        Ok(KeyGenerator { prefix: format!("{prefix:032x}").into(), next: Arc::default() })
    }

    /// Returns a new unique key.
    pub(crate) fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_are_different() {
        let (one, other) = (KeyGenerator::new().unwrap(), KeyGenerator::new().unwrap());
        let clone = one.clone();
        let mut keys = vec![one.next(), one.next(), clone.next(), other.next()];
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 4);
        assert!(keys.iter().all(|key| key.bytes().all(|byte| byte.is_ascii_graphic())));
    }
}
