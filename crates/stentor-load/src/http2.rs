//! HTTP/2 connections. Each carries the streams of one or more subscribers.
//!
//! The crate `h2` speaks the protocol. No runtime drives it: the poll of the load test does, through flags and wakers
//! that fill lists.

mod connection;
mod failure;
mod socket_io;
mod wakers;

pub(crate) use self::connection::{Connection, Event};
