//! The rules of the architecture that a test can hold.

use std::path::{Path, PathBuf};

/// Every source file of a folder, with its text up to its unit tests.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut folders = vec![root];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
                files.push((path, text));
            }
        }
    }
    assert!(!files.is_empty(), "no sources in {folder}");
    files
}

/// Fails with every place where a folder holds one of these texts outside comments.
fn must_not_hold(folder: &str, texts: &[&str], except: &str) {
    let mut places = Vec::new();
    for (path, source) in sources(folder) {
        if !except.is_empty() && path.to_string_lossy().contains(except) {
            continue;
        }
        for (number, line) in source.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            if let Some(text) = texts.iter().find(|text| code.contains(**text)) {
                places.push(format!("{}:{}: {text}", path.display(), number + 1));
            }
        }
    }
    assert!(places.is_empty(), "{}", places.join("\n"));
}

#[test]
fn arrows_between_the_houses_go_down_only() {
    must_not_hold("stentor-sse/src", &["stentor_hub", "stentor_server", "stentor_client"], "");
    must_not_hold("stentor-hub/src", &["stentor_server", "stentor_client"], "");
    must_not_hold("stentor-server/src", &["stentor_client"], "");
    must_not_hold("stentor-client/src", &["stentor_hub", "stentor_server"], "");
}

#[test]
fn the_format_does_not_wait_and_asks_no_clock_and_no_socket() {
    must_not_hold(
        "stentor-sse/src",
        &["async ", "tokio", "std::io", "std::net", "Instant", "SystemTime"],
        "",
    );
}

#[test]
fn reconnecting_is_decided_without_a_clock_and_a_socket() {
    must_not_hold(
        "stentor-client/src/reconnect",
        &["async ", "tokio", "std::io", "std::net", "Instant", "SystemTime"],
        "tests.rs",
    );
}

#[test]
fn a_shard_does_not_wait_and_asks_no_clock_and_no_disk() {
    must_not_hold(
        "stentor-server/src/shard",
        &["async ", ".await", "Instant::now", "SystemTime", "std::fs", "tokio::spawn"],
        "errand.rs",
    );
}

#[test]
fn the_hub_knows_no_http() {
    must_not_hold("stentor-hub/src", &["http::", "hyper", "StatusCode", "HeaderMap"], "");
}

#[test]
fn the_server_names_no_storage_engine() {
    must_not_hold("stentor-server/src", &["sqlite", "Sqlite", "rusqlite", "MemoryStorage"], "");
}

#[test]
fn files_are_touched_under_storage_only() {
    must_not_hold("stentor-hub/src", &["std::fs", "File::", "OpenOptions"], "storage");
    must_not_hold("stentor-server/src", &["std::fs", "File::", "OpenOptions"], "");
}

#[test]
fn errors_become_statuses_in_one_file() {
    let (_, service) = sources("stentor-server/src")
        .into_iter()
        .find(|(path, _)| path.ends_with("problem.rs"))
        .expect("the file is there");
    for error in ["PublishError", "SubscribeError", "HistoryError", "StorageError", "TopicError"] {
        assert!(service.contains(&format!("From<{error}> for Problem")), "{error}");
    }
}
