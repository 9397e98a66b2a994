//! Renewal of the `Authorization` header.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use reqwest::header::HeaderValue;

/// The callback of the caller that obtains a new `Authorization` value.
#[derive(Clone)]
pub(crate) struct RenewAuthorization(
    Arc<dyn Fn() -> BoxFuture<'static, Result<HeaderValue, String>> + Send + Sync>,
);

impl RenewAuthorization {
    pub(crate) fn new<R, E>(renew: impl Fn() -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Arc::new(move || {
            let renewed = renew();
            async move {
                let value = renewed.await.map_err(|error| error.into().to_string())?;
                let mut value = HeaderValue::try_from(value)
                    .map_err(|_| "the callback returned an invalid header value".to_owned())?;
                value.set_sensitive(true);
                Ok(value)
            }
            .boxed()
        }))
    }

    /// Calls the callback. Returns the new value, or the error as text.
    pub(crate) fn call(&self) -> BoxFuture<'static, Result<HeaderValue, String>> {
        (self.0)()
    }
}

impl fmt::Debug for RenewAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RenewAuthorization")
    }
}
