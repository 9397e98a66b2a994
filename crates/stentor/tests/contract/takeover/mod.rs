//! The moment in which a connection becomes a stream: what came before it, how the request is written,
//! what comes behind it, and clients that leave just then.

mod before;
mod behind;
mod half_closed;
mod request;
mod vanishing;
