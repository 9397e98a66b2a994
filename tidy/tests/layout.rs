//! Modules have one file layout, and relative links in the docs lead to files.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test panics")]

use tidy::{links, repository};

/// A module `name` is `name.rs`, and its children are beside it in `name/`. Cargo's idiom
/// `tests/support/mod.rs` is outside `src` and stays.
#[test]
fn modules_below_src_have_one_style() {
    let mut faults = Vec::new();
    for folder in ["crates", "bench", "tidy"] {
        for file in repository::files(folder, &["mod.rs"]) {
            if file.path.contains("/src/") {
                faults.push(file.path);
            }
        }
    }
    assert!(faults.is_empty(), "write name.rs beside name/:\n{}", faults.join("\n"));
}

#[test]
fn relative_links_in_the_docs_lead_to_files() {
    let mut faults = Vec::new();
    for file in repository::files(".", &[".md"]) {
        for (line, target) in links::broken(&file) {
            faults.push(format!("{}:{line}: {target}", file.path));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
