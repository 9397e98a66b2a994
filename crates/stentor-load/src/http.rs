//! A small HTTP/1.1 client on non-blocking sockets.

pub(crate) mod endpoint;
pub(crate) mod response;
pub(crate) mod socket;
pub(crate) mod template;
pub(crate) mod tls;
