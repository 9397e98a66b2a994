//! Runs the `stentor` binary: a server as a process, and commands.

#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

mod command;
mod server;
mod streams;

pub use stentor_testing::{
    Connection, Disconnected, EventStream, Received, Request, Response, TIMEOUT, TestClient,
    Upload, dechunk, get, post, read_head, read_response, send_raw,
};

pub use self::command::{Output, RunningCommand, StentorCommand, stentor};
pub use self::server::Server;
pub use self::streams::StreamMode;
