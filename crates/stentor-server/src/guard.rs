//! Access by host and by origin: `Host`, `Origin` and CORS. The defaults are safe: a server on a
//! loopback address accepts loopback hosts only, and web pages from other sites may not publish.

mod origin;
mod rules;
mod service;

pub use self::origin::{AllowedOrigin, OriginError};
pub use self::rules::Guard;
pub use self::service::{Guarded, GuardedBody, GuardedFuture};
