//! No import cycles between the modules of a crate.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test panics")]

use std::fmt::Write;

use tidy::modules::Crate;

/// Asserts that no module of the crate is on an import cycle.
fn assert_no_cycles(folder: &str) {
    let krate = Crate::read(folder);
    let mut message = String::new();
    for cycle in krate.cycles() {
        let edges = krate.edges_within(&cycle).join("\n  ");
        let _ = write!(message, "\na cycle of {folder}:\n  {edges}");
    }
    assert!(message.is_empty(), "{message}");
}

#[test]
fn the_modules_of_the_format_have_no_cycle() {
    assert_no_cycles("crates/stentor-sse/src");
}

#[test]
fn the_modules_of_the_client_have_no_cycle() {
    assert_no_cycles("crates/stentor-client/src");
}

#[test]
fn the_modules_of_the_server_have_no_cycle() {
    assert_no_cycles("crates/stentor-server/src");
}

#[test]
fn the_modules_of_the_load_generator_have_no_cycle() {
    assert_no_cycles("crates/stentor-load/src");
}

#[test]
fn the_modules_of_the_hub_have_no_cycle() {
    assert_no_cycles("crates/stentor-hub/src");
}

#[test]
fn the_modules_of_the_binary_have_no_cycle() {
    assert_no_cycles("crates/stentor/src");
}
