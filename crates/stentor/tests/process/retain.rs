//! The options `--retain` and `--retain-bytes` of `stentor serve`: refused values and messages.

use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Server, TIMEOUT, stentor};

/// Runs the binary, which must refuse to start, and returns its exit code and stderr.
async fn refused(args: &[&str]) -> (Option<i32>, String) {
    let elsewhere = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_stentor"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(args)
        .current_dir(elsewhere.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(TIMEOUT, run).await.expect("the program ends in time").unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn two_equally_specific_patterns_are_refused_with_advice() {
    let (code, stderr) = refused(&["--retain", "a/*=count:1", "--retain", "*/b=age:1h"]).await;
    assert_eq!(code, Some(2), "{stderr}");
    for part in ["\"a/*\"", "\"*/b\"", "more specific"] {
        assert!(stderr.contains(part), "{part} in {stderr}");
    }
}

#[tokio::test]
async fn invalid_limits_are_refused_with_advice() {
    for (args, advice) in [
        (["--retain", "news"], "PATTERN=LIMITS"),
        (["--retain", "news=1000"], "count:1000"),
        (["--retain", "news=age:soon"], "7d"),
        (["--retain", "news=bytes:many"], "1GiB"),
        (["--retain", "a/**/b=count:1"], "not a valid pattern"),
        (["--retain-bytes", "lots"], "1GiB"),
        (["--retain-bytes", "0"], "none"),
    ] {
        let (code, stderr) = refused(&args).await;
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(advice), "{args:?}: {stderr}");
    }
}

#[tokio::test]
async fn the_size_limit_is_reported_at_each_start() {
    for (args, expected) in [
        (&[][..], "1 GiB"),
        (&["--retain-bytes", "2GiB"], "2 GiB"),
        (&["--retain-bytes", "none"], "no limit"),
    ] {
        let mut server = Server::with(&[&["serve"], args].concat()).await;
        for _ in 0..2 {
            let stderr = &server.startup_stderr;
            assert!(stderr.contains(expected) && stderr.contains("stentor-data"), "{stderr}");
            server.kill_and_restart().await;
        }
    }
    let server = Server::in_memory().await;
    let stderr = &server.startup_stderr;
    assert!(stderr.contains("64 MiB") && stderr.contains("in memory only"), "{stderr}");
}

#[tokio::test]
async fn a_log_that_must_become_much_smaller_is_reported() {
    let mut server = Server::with(&["serve", "--retain-bytes", "none"]).await;
    server.publish_each("/topics/t", (0..20).map(|_| "x".repeat(100_000))).await;
    server.stop().await;
    let data = server.directory().join("stentor-data");
    let data = data.to_str().unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", data, "--retain-bytes"];
    for (bytes, is_reported) in [("2MB", false), ("500kB", true)] {
        let mut serve = stentor(&[&serve[..], &[bytes]].concat()).start().await;
        serve.until_stderr("listening").await;
        serve.signal("TERM").await;
        let stderr = serve.end().await.stderr;
        assert_eq!(
            stderr.contains("its oldest events are deleted"),
            is_reported,
            "{bytes}: {stderr}"
        );
    }
}
