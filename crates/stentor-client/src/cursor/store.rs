//! The trait of cursor stores.

use std::future::Future;

use futures_core::future::BoxFuture;
use futures_util::FutureExt;

use super::error::CursorError;

/// Stores the id of the last processed event, for example in a file or in a database row.
///
/// A store serves one event source. Its methods are never called concurrently.
///
/// If your program can save the id in the same transaction as its own results, do that and do not call [`commit`].
/// The source then only uses [`load`](Self::load), and each event takes effect exactly once.
///
/// ```
/// use stentor_client::cursor::{CursorError, CursorStore};
///
/// # struct Row;
/// # impl Row {
/// #     async fn read(&self) -> Result<Option<String>, std::io::Error> { Ok(None) }
/// #     async fn write(&self, id: &str) -> Result<(), std::io::Error> { Ok(()) }
/// # }
/// struct RowCursor(Row);
///
/// impl CursorStore for RowCursor {
///     async fn load(&self) -> Result<Option<String>, CursorError> {
///         self.0.read().await.map_err(CursorError::new)
///     }
///
///     async fn save(&self, id: &str) -> Result<(), CursorError> {
///         self.0.write(id).await.map_err(CursorError::new)
///     }
/// }
/// ```
///
/// [`commit`]: crate::EventSource::commit
pub trait CursorStore: Send + Sync + 'static {
    /// Returns the id that was saved last; `None` if no id was ever saved.
    ///
    /// # Errors
    ///
    /// An error ends the event source.
    fn load(&self) -> impl Future<Output = Result<Option<String>, CursorError>> + Send;

    /// Saves an id. It must be durable when the future completes.
    ///
    /// An id is any text that an `id:` field can contain. It may be empty: the server has then reset the last event id.
    ///
    /// # Errors
    ///
    /// The error is returned by [`commit`](crate::EventSource::commit).
    fn save(&self, id: &str) -> impl Future<Output = Result<(), CursorError>> + Send;
}

/// A cursor store made of two functions.
///
/// ```
/// use stentor_client::cursor::{CallbackCursor, CursorError};
/// # struct Row;
/// # impl Row {
/// #     async fn read(&self) -> Result<Option<String>, std::io::Error> { Ok(None) }
/// #     async fn write(&self, id: String) -> Result<(), std::io::Error> { Ok(()) }
/// # }
/// # static ROW: Row = Row;
///
/// let cursor = CallbackCursor::new(
///     || async { ROW.read().await.map_err(CursorError::new) },
///     |id| async { ROW.write(id).await.map_err(CursorError::new) },
/// );
/// ```
#[derive(Clone, Debug)]
pub struct CallbackCursor<L, S> {
    load: L,
    save: S,
}

impl<L, S> CallbackCursor<L, S> {
    /// Creates a store that loads with the first function and saves with the second, as in [`CursorStore`].
    pub fn new<LF, SF>(load: L, save: S) -> Self
    where
        L: Fn() -> LF + Send + Sync + 'static,
        LF: Future<Output = Result<Option<String>, CursorError>> + Send,
        S: Fn(String) -> SF + Send + Sync + 'static,
        SF: Future<Output = Result<(), CursorError>> + Send,
    {
        Self { load, save }
    }
}

impl<L, LF, S, SF> CursorStore for CallbackCursor<L, S>
where
    L: Fn() -> LF + Send + Sync + 'static,
    LF: Future<Output = Result<Option<String>, CursorError>> + Send,
    S: Fn(String) -> SF + Send + Sync + 'static,
    SF: Future<Output = Result<(), CursorError>> + Send,
{
    fn load(&self) -> impl Future<Output = Result<Option<String>, CursorError>> + Send {
        (self.load)()
    }

    fn save(&self, id: &str) -> impl Future<Output = Result<(), CursorError>> + Send {
        (self.save)(id.to_owned())
    }
}

/// Object-safe form of [`CursorStore`].
pub(super) trait DynCursorStore: Send + Sync {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, CursorError>>;
    fn save<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), CursorError>>;
}

impl<T: CursorStore> DynCursorStore for T {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, CursorError>> {
        CursorStore::load(self).boxed()
    }

    fn save<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), CursorError>> {
        CursorStore::save(self, id).boxed()
    }
}
