//! Rules of the architecture that can be checked by reading the sources.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test panics")]

use tidy::repository::{self, File};
use tidy::rust;

/// The source files below a folder of `crates`, and the file beside the folder: `name.rs` for `name/`.
fn sources(folder: &str) -> Vec<File> {
    let (below, beside) = (format!("crates/{folder}/"), format!("crates/{folder}.rs"));
    let mut files = repository::files("crates", &[".rs"]);
    files.retain(|file| file.path.starts_with(&below) || file.path == beside);
    assert!(!files.is_empty(), "no sources in {folder}");
    files
}

/// Asserts that no code below `folder` contains one of `texts`. Does not look at comments, literals, unit tests, and
/// files whose path contains `except`.
fn assert_absent(folder: &str, texts: &[&str], except: &str) {
    let mut places = Vec::new();
    for file in sources(folder) {
        if !except.is_empty() && file.path.contains(except) {
            continue;
        }
        let code = rust::split(&file.text).code;
        for (index, line) in rust::without_tests(&code).lines().enumerate() {
            if let Some(text) = texts.iter().find(|text| line.contains(**text)) {
                places.push(format!("{}:{}: {text}", file.path, index + 1));
            }
        }
    }
    assert!(places.is_empty(), "{}", places.join("\n"));
}

#[test]
fn dependencies_between_crates_go_down_only() {
    let upper = ["stentor_hub", "stentor_server", "stentor_client", "stentor_load"];
    assert_absent("stentor-sse/src", &upper, "");
    assert_absent("stentor-hub/src", &["stentor_server", "stentor_client", "stentor_load"], "");
    assert_absent("stentor-server/src", &["stentor_client", "stentor_load"], "");
    assert_absent("stentor-client/src", &["stentor_hub", "stentor_server", "stentor_load"], "");
}

#[test]
fn the_format_does_not_wait_and_uses_no_clock_and_no_socket() {
    assert_absent(
        "stentor-sse/src",
        &["async ", "tokio", "std::io", "std::net", "Instant", "SystemTime"],
        "",
    );
}

#[test]
fn reconnecting_is_decided_without_a_clock_and_a_socket() {
    assert_absent(
        "stentor-client/src/reconnect",
        &["async ", "tokio", "std::io", "std::net", "Instant", "SystemTime"],
        "tests.rs",
    );
}

#[test]
fn a_shard_does_not_wait_and_uses_no_clock_and_no_disk() {
    assert_absent(
        "stentor-server/src/shard",
        &["async ", ".await", "Instant::now", "SystemTime", "std::fs", "tokio::spawn"],
        "storage_query.rs",
    );
}

#[test]
fn the_hub_knows_no_http() {
    assert_absent("stentor-hub/src", &["http::", "hyper", "StatusCode", "HeaderMap"], "");
}

#[test]
fn the_server_names_no_storage_engine() {
    assert_absent("stentor-server/src", &["sqlite", "Sqlite", "rusqlite", "MemoryStorage"], "");
}

#[test]
fn files_are_touched_under_storage_only() {
    assert_absent("stentor-hub/src", &["std::fs", "File::", "OpenOptions"], "storage");
    // It counts the open descriptors of the process in `/dev/fd`, and touches no data.
    assert_absent("stentor-server/src", &["std::fs", "File::", "OpenOptions"], "src/capacity.rs");
}

#[test]
fn errors_become_statuses_in_one_file() {
    let problem = sources("stentor-server/src")
        .into_iter()
        .find(|file| file.path.ends_with("/problem.rs"))
        .expect("problem.rs exists");
    for error in ["PublishError", "SubscribeError", "HistoryError", "StorageError", "TopicError"] {
        assert!(problem.text.contains(&format!("From<{error}> for Problem")), "{error}");
    }
}
