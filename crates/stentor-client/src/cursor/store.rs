//! A place for a cursor.

use std::future::Future;

use futures_core::future::BoxFuture;
use futures_util::FutureExt;

use super::CursorError;

/// Keeps the id of the last event that was processed: a file, a row of a database.
///
/// One reader has it at a time, and it is asked for one thing at a time. A place whose work can be
/// atomic with the processing itself (the same transaction) needs no [`commit`]: it saves on its
/// own and only [`load`](Self::load)s here.
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
    /// The id that was saved last; `None` if there never was one.
    fn load(&self) -> impl Future<Output = Result<Option<String>, CursorError>> + Send;

    /// Saves an id, any text that an `id:` field can hold. Empty is one too: the server has taken
    /// the last one back. When it returns, the id must be there for good.
    fn save(&self, id: &str) -> impl Future<Output = Result<(), CursorError>> + Send;
}

/// A cursor kept by two functions.
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
    /// A cursor that the first function loads and the second saves, as with [`CursorStore`].
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

/// The same as an object.
pub(super) trait AnyStore: Send + Sync {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, CursorError>>;
    fn save<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), CursorError>>;
}

impl<T: CursorStore> AnyStore for T {
    fn load(&self) -> BoxFuture<'_, Result<Option<String>, CursorError>> {
        CursorStore::load(self).boxed()
    }

    fn save<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), CursorError>> {
        CursorStore::save(self, id).boxed()
    }
}
