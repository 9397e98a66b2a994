//! No import cycles between the modules of a crate.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must panic")]

use std::fmt::Write;

use tidy::modules::Crate;

/// Asserts that exactly these modules of a crate are on a cycle.
fn assert_on_cycles(folder: &str, allowed: &[&str]) {
    let krate = Crate::read(folder);
    let cycles = krate.cycles();
    let mut found: Vec<String> = cycles.iter().flatten().cloned().collect();
    found.sort();
    let mut message = String::new();
    for cycle in &cycles {
        if cycle.iter().any(|module| !allowed.contains(&module.as_str())) {
            let arrows = krate.arrows_within(cycle).join("\n  ");
            let _ = write!(message, "\na cycle of {folder}:\n  {arrows}");
        }
    }
    assert!(message.is_empty(), "{message}");
    assert_eq!(found, allowed, "{folder}: take out of the list what is no longer on a cycle");
}

#[test]
fn the_modules_of_the_format_have_no_cycle() {
    assert_on_cycles("crates/stentor-sse/src", &[]);
}

#[test]
fn the_modules_of_the_client_have_no_cycle() {
    assert_on_cycles("crates/stentor-client/src", &[]);
}

#[test]
fn the_modules_of_the_server_have_no_cycle() {
    assert_on_cycles("crates/stentor-server/src", &[]);
}

#[test]
fn the_modules_of_the_load_generator_have_no_cycle() {
    assert_on_cycles("crates/stentor-load/src", &[]);
}

/// A ratchet: the list may only get shorter.
#[test]
fn the_cycles_of_the_hub_do_not_grow() {
    assert_on_cycles("crates/stentor-hub/src", &[]);
}

/// A ratchet: the list may only get shorter.
#[test]
fn the_cycles_of_the_binary_do_not_grow() {
    assert_on_cycles("crates/stentor/src", &[]);
}
