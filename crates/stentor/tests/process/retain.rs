//! The options `--retain` and `--retain-bytes` of `stentor serve`: what it refuses and what it reports.

use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Server, TIMEOUT, stentor};

/// Runs the binary, which must refuse to start, and gives its exit code and what it said.
async fn refused(args: &[&str]) -> (Option<i32>, String) {
    let elsewhere = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_stentor"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(args)
        .current_dir(elsewhere.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(TIMEOUT, run).await.expect("it does not start").unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn two_patterns_that_could_both_hold_are_refused_with_advice() {
    let (code, said) = refused(&["--retain", "a/*=count:1", "--retain", "*/b=age:1h"]).await;
    assert_eq!(code, Some(1), "{said}");
    for part in ["\"a/*\"", "\"*/b\"", "more precise"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[tokio::test]
async fn limits_that_are_none_are_refused_with_advice() {
    for (args, advice) in [
        (["--retain", "news"], "PATTERN=LIMITS"),
        (["--retain", "news=1000"], "count:1000"),
        (["--retain", "news=age:soon"], "7d"),
        (["--retain", "news=bytes:many"], "1GiB"),
        (["--retain", "a/**/b=count:1"], "no pattern"),
        (["--retain-bytes", "lots"], "1GiB"),
        (["--retain-bytes", "0"], "none"),
    ] {
        let (code, said) = refused(&args).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(advice), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn who_begins_a_log_is_told_once_how_much_it_keeps() {
    for (args, expected) in [
        (&[][..], "1 GiB"),
        (&["--retain-bytes", "2GiB"], "2 GiB"),
        (&["--retain-bytes", "none"], "until the disk is full"),
    ] {
        let mut server = Server::with(&[&["serve"], args].concat()).await;
        let said = server.startup_stderr.clone();
        assert!(said.contains(expected) && said.contains("stentor-data"), "{said}");
        server.kill_and_restart().await;
        assert!(!server.startup_stderr.contains(expected), "{}", server.startup_stderr);
    }
    let server = Server::in_memory().await;
    assert!(!server.startup_stderr.contains("keeps"), "{}", server.startup_stderr);
}

#[tokio::test]
async fn who_opens_a_log_that_is_to_become_much_smaller_is_told_so() {
    let mut server = Server::with(&["serve", "--retain-bytes", "none"]).await;
    server.publish_each("/topics/t", (0..20).map(|_| "x".repeat(100_000))).await;
    server.stop().await;
    let data = server.directory().join("stentor-data");
    let data = data.to_str().unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", data, "--retain-bytes"];
    for (bytes, is_told) in [("2MB", false), ("500kB", true)] {
        let mut serve = stentor(&[&serve[..], &[bytes]].concat()).start().await;
        serve.until_stderr("listening").await;
        serve.signal("TERM").await;
        let said = serve.end().await.stderr;
        assert_eq!(said.contains("its oldest events go"), is_told, "{bytes}: {said}");
    }
}
