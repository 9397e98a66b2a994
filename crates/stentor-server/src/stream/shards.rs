//! The shards that write the streams of a service.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::future::BoxFuture;
use tokio::runtime::{Handle, Id, RuntimeFlavor};

use super::session::Key;

/// A shard, as a service sees it.
///
/// The handle of a shard passes streams, which hold their service. This trait keeps the service from
/// depending on the type of that handle.
pub(crate) trait StreamShard: Any + Send + Sync {
    /// Closes the streams that hold this key.
    fn close_key(&self, key: &Arc<Key>);

    /// Returns `true` if the shard has ended and takes no more streams.
    fn has_ended(&self) -> bool;

    /// Returns `false` if the shard has failed and was not started again yet.
    fn is_up(&self) -> bool;

    /// Waits until the shard has completed a turn that began after this call, or has ended.
    fn turned(&self) -> BoxFuture<'static, ()>;
}

/// The place at which a shard runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A single-threaded runtime, as one of its tasks.
    Runtime(Id),
    /// A thread of its own, beside the multi-threaded runtimes of the process.
    Thread,
}

impl Place {
    /// Returns the place of the shard that writes the streams of the current runtime. `None` outside
    /// of a runtime.
    pub(crate) fn current() -> Option<Place> {
        let runtime = Handle::try_current().ok()?;
        Some(match runtime.runtime_flavor() {
            RuntimeFlavor::CurrentThread => Place::Runtime(runtime.id()),
            _ => Place::Thread,
        })
    }
}

/// The shards of a service, at most one for each place.
#[derive(Default)]
pub(crate) struct Shards(Mutex<Vec<(Place, Weak<dyn StreamShard>)>>);

impl Shards {
    /// Closes the streams that hold this key.
    pub(crate) fn close_key(&self, key: &Arc<Key>) {
        for shard in self.running() {
            shard.close_key(key);
        }
    }

    /// Returns the shard of a place. If there is none, starts one.
    pub(crate) fn at<E>(
        &self,
        place: Place,
        start: impl FnOnce() -> Result<Arc<dyn StreamShard>, E>,
    ) -> Result<Arc<dyn StreamShard>, E> {
        let mut shards = self.shards();
        let mut known = shards.iter().filter(|(at, _)| *at == place);
        if let Some(shard) = known.find_map(|(_, shard)| shard.upgrade()) {
            return Ok(shard);
        }
        let shard = start()?;
        shards.push((place, Arc::downgrade(&shard)));
        Ok(shard)
    }

    /// Adds a shard that runs at this place, unless it is known.
    pub(crate) fn add(&self, place: Place, shard: &Arc<dyn StreamShard>) {
        let mut shards = self.shards();
        let added = Arc::downgrade(shard);
        if !shards.iter().any(|(_, known)| known.ptr_eq(&added)) {
            shards.push((place, added));
        }
    }

    /// Returns the shards that have not ended.
    pub(crate) fn running(&self) -> Vec<Arc<dyn StreamShard>> {
        self.shards().iter().filter_map(|(_, shard)| shard.upgrade()).collect()
    }

    /// Returns the list without the shards that have ended.
    fn shards(&self) -> MutexGuard<'_, Vec<(Place, Weak<dyn StreamShard>)>> {
        let mut shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shards.retain(|(_, shard)| shard.upgrade().is_some_and(|shard| !shard.has_ended()));
        shards
    }
}
