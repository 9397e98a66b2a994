//! Malicious or broken servers. Each test asserts the documented result, that no secret is sent to another origin,
//! that memory is bounded, and that there is no busy loop.

mod bodies;
mod heads;
mod redirects;
mod storms;
