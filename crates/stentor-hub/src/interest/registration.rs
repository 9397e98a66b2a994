//! Registrations: readers that are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::claim::Claim;
use super::index::Index;
use super::listening::Listening;
use crate::consumer::Consumer;
use crate::filter::Filters;

/// Readers that are counted for their filters. Dropping it ends that.
#[derive(Debug)]
pub(crate) struct Registration {
    claim: Arc<Claim>,
    readers: AtomicUsize,
}

impl Registration {
    /// Registers one reader.
    pub(super) fn new(index: Arc<Index>, filters: &Filters) -> Registration {
        Registration::with_claim(Arc::new(Claim::new(index, filters)))
    }

    fn with_claim(claim: Arc<Claim>) -> Registration {
        claim.add_readers(1);
        Registration { claim, readers: AtomicUsize::new(1) }
    }

    /// Registers one more reader with the same filters. Takes no lock.
    pub(crate) fn fork(&self) -> Registration {
        Registration::with_claim(Arc::clone(&self.claim))
    }

    /// Sets the number of readers of this registration. Takes no lock.
    pub(crate) fn set_readers(&self, count: usize) {
        let before = self.readers.swap(count, Ordering::Relaxed);
        if count > before {
            self.claim.add_readers(count - before);
        } else if count < before {
            self.claim.remove_readers(before - count);
        }
    }

    #[cfg(test)]
    pub(super) fn readers(&self) -> usize {
        self.readers.load(Ordering::Relaxed)
    }

    /// Wakes `consumer` at the next record that matches the filters, once until it is re-armed. With a key, the
    /// consumer also gets the key.
    pub(crate) fn listen(&self, consumer: Consumer, key: Option<usize>) -> Listening {
        Listening::new(Arc::clone(&self.claim), consumer, key)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.claim.remove_readers(self.readers.load(Ordering::Relaxed));
    }
}
