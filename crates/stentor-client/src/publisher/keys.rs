//! Idempotency keys for publishes that have none of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::BuildError;

/// Makes keys: 128 random bits of the operating system, drawn for each publisher when it is set up,
/// make them unique over processes and restarts, and a number within the publisher and its clones.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: Arc<str>,
    next: Arc<AtomicU64>,
}

impl Keys {
    pub(crate) fn new() -> Result<Keys, BuildError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| BuildError::Client {
            cause: format!("the system gives no random numbers ({error})"),
        })?;
        let prefix = u128::from_ne_bytes(random);
        Ok(Keys { prefix: format!("{prefix:032x}").into(), next: Arc::default() })
    }

    /// A key that no other publish has.
    pub(crate) fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_are_alike() {
        let (one, other) = (Keys::new().unwrap(), Keys::new().unwrap());
        let clone = one.clone();
        let mut keys = vec![one.next(), one.next(), clone.next(), other.next()];
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 4);
        assert!(keys.iter().all(|key| key.bytes().all(|byte| byte.is_ascii_graphic())));
    }
}
