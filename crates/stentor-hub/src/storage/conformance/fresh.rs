//! A new storage for one scenario.

use std::any::Any;
use std::sync::Arc;

use super::log::Log;
use crate::storage::contract::Storage;

/// A storage for one scenario, with the location of its data.
pub struct Fresh {
    pub(super) storage: Arc<dyn Storage>,
    /// Dropped after the storage.
    pub(super) place: Box<dyn Any>,
    pub(super) reopen: Option<Reopen>,
}

/// Opens a closed storage again.
pub(super) type Reopen = Box<dyn Fn() -> Arc<dyn Storage>>;

impl Fresh {
    /// A storage that `open` creates at an empty location and can open there again.
    pub fn on<S: Storage, G: 'static>(place: G, open: impl Fn(&G) -> S + 'static) -> Fresh {
        let storage = Arc::new(open(&place));
        let reopen: Reopen = Box::new(move || Arc::new(open(&place)));
        Fresh { storage, place: Box::new(()), reopen: Some(reopen) }
    }
}

impl<S: Storage> From<S> for Fresh {
    fn from(storage: S) -> Fresh {
        Fresh::from((storage, ()))
    }
}

impl<S: Storage, G: Any> From<(S, G)> for Fresh {
    fn from((storage, place): (S, G)) -> Fresh {
        Fresh { storage: Arc::new(storage), place: Box::new(place), reopen: None }
    }
}

/// Runs one scenario with a new storage, then closes it.
pub async fn run_scenario<F: Into<Fresh>>(
    make: impl AsyncFnOnce() -> F,
    scenario: impl AsyncFnOnce(&Log),
) {
    let Fresh { storage, place, reopen } = make().await.into();
    scenario(&Log::of(Arc::clone(&storage))).await;
    storage.close().await;
    drop(storage);
    drop((place, reopen));
}
