//! The command line itself: exit code 2, messages, help, and completion of options.

use std::process::Stdio;

use tokio::process::Command;

use crate::harness::{Output, Server, stentor};

/// Texts of libraries, which mean nothing to a user.
const LEAKS: [&str; 6] =
    ["digit found", "relative URL", "invalid HTTP", "failed to parse", "os error", "RFC 3986"];

#[tokio::test]
async fn every_wrong_command_line_exits_with_2_and_says_what_is_expected() {
    let no_server = "http://127.0.0.1:1";
    for (args, advice) in [
        // Frequent guesses.
        (&["pub", "http://localhost:8080/topics/a", "x"][..], "a --url http://localhost:8080"),
        (&["pub", "localhost:8080/topics/a", "x"], "a --url http://localhost:8080"),
        (&["sub", "localhost:8080/topics/a"], "did you mean http://localhost:8080/topics/a?"),
        (
            &["record", "localhost:8080/topics/a", "-"],
            "did you mean http://localhost:8080/topics/a?",
        ),
        (&["pub", "log/*", "x"], "stentor sub 'log/*'"),
        (&["sub", "news*"], "http://localhost:8080/topics/news*"),
        (&["sub", "t", "--from", "latest"], "`now` (only new events)"),
        (&["serve", "--port", "9000"], "--listen 127.0.0.1:9000"),
        (&["log", "info", "x"], "--data x"),
        (&["delete", "t"], "curl -X DELETE"),
        (&["sub", "t", "--exec", "x", "--format", "json"], "gets the data on stdin"),
        (&["sub", "t", "--cursor", "."], "is a directory; name a file"),
        // Unknown or missing.
        (&["nonsense"], "nonsense"),
        (&["pub"], "<TOPIC>"),
        (&["pub", "t", "--no-such-option"], "--no-such-option"),
        // The server and its limits.
        (&["serve", "--listen", "nonsense"], "127.0.0.1:8080"),
        (&["serve", "--listen", "127.0.0.1:99999"], "127.0.0.1:8080"),
        (&["serve", "--listen", "http://localhost:8080"], "127.0.0.1:8080"),
        (&["serve", "--listen", "0.0.0.0:0"], "--open"),
        (&["demo", "--listen", "0.0.0.0:0"], "--open"),
        (&["serve", "--shards", "0"], "from 1 to 1024"),
        (&["serve", "--cors-origin", "example.org"], "https://"),
        (&["serve", "--cors-origin", "https://a.example,https://b.example"], "separately"),
        (&["serve", "--host", "https://example.org"], "news.example.org"),
        (&["replay", "-", "--host", "*"], "news.example.org"),
        (&["demo", "--host", ""], "news.example.org"),
        (&["serve", "--durability", "none"], "fsync"),
        (&["serve", "--keep-alive", "soon"], "45s"),
        (&["serve", "--keep-alive", "10ms"], "from 1s to 1h"),
        (&["serve", "--keep-alive", "2h"], "from 1s to 1h"),
        (&["serve", "--memory", "--durability", "os"], "--memory"),
        (&["--memory", "--data", "x"], "--memory"),
        (&["serve", "--retain", "a/**/b=count:1"], "not a valid pattern"),
        (&["serve", "--retain", "a=count:x"], "count:1000"),
        (&["serve", "--retain", "a=age:x"], "45s"),
        (&["serve", "--retain", "a/*=count:1", "--retain", "*/b=count:2"], "--retain"),
        (&["serve", "--retain-bytes", "lots"], "1GiB"),
        (&["demo", "nonsense"], "counter"),
        (&["demo", "--listen", "8080"], "127.0.0.1:8080"),
        // Publishing.
        (&["pub", "", "x"], "empty"),
        (&["pub", "a\nb", "x"], "control character"),
        (&["pub", "news/*", "x"], "news/*"),
        (&["pub", "t", "x", "--url", "nonsense"], "http://localhost:8080"),
        (&["pub", "t", "x", "--url", "ftp://x"], "http://localhost:8080"),
        (&["pub", "t", "x", "--header", "no colon"], "Authorization: Bearer x"),
        (&["pub", "t", "x", "--header", "a b: c"], "Authorization: Bearer x"),
        (&["pub", "t", "x", "--token", "a\nb"], "line breaks"),
        (&["pub", "t", "x", "--type", "stentor.own"], "reserved"),
        (&["pub", "t", "x", "--type", "a\nb"], "line breaks"),
        (&["pub", "t", "x", "--retry", "2h"], "an hour"),
        (&["pub", "t", "x", "--lease", "2d"], "a day"),
        (&["pub", "t", "x", "--lease", "soon"], "30m"),
        (&["pub", "t", "x", "--idempotency-key", "a b"], "visible ASCII"),
        (&["pub", "t", "x", "--content-type", "a\nb"], "line breaks"),
        (&["pub", "t", "x", "--repeat", "0"], "at least 1"),
        (&["pub", "t", "x", "--repeat", "x"], "at least 1"),
        (&["pub", "t", "x", "--every", "0s"], "more than 0"),
        (&["pub", "t", "--file", "a", "--file", "b", "--repeat", "2"], "only one"),
        (&["pub", "t", "--from", "localhost/x"], "https://example.com/events"),
        // Subscribing.
        (&["sub", "a/**/b"], "**"),
        (&["sub", "news*"], "give its URL"),
        (&["sub", "http://"], "https://example.com/events"),
        (&["sub", "t", "--count", "x"], "at least 1"),
        (&["sub", "t", "--last", "-1"], "-1"),
        (&["sub", "t", "--last", "x"], "at least 0"),
        (&["sub", "t", "--since", "yesterday"], "10m"),
        (&["sub", "t", "--for", "x"], "45s"),
        (&["sub", "t", "--retry-max", "x"], "at least 1"),
        (&["sub", "t", "--format", "xml"], "json"),
        (&["sub", "t", "--format", "raw", "--type", "x"], "--type"),
        (&["sub", "t", "--data", "x"], "URL only"),
        (&["sub", no_server, "--method", "a b"], "POST"),
        (&["sub", no_server, "--data", "@/no/such/file"], "/no/such/file"),
        // Recording and replaying.
        (&["record", "a/*", "-"], "`*`"),
        (&["record", "t", "-", "--count", "x"], "at least 1"),
        (&["replay", "-", "--speed", "fast"], "`max`"),
        (&["replay", "-", "--to", "a/*"], "`*`"),
        (&["replay", "-", "--format", "json"], "--print"),
        // Checking.
        (&["check", "example.com"], "https://example.com/events"),
        (&["check", no_server, "--for", "x"], "45s"),
        (&["check", no_server, "--header", "a b: c"], "Authorization"),
        (&["check", no_server, "--publish-type", "a\nb"], "line breaks"),
        (&["check", no_server, "--token", "a\nb"], "line breaks"),
        (&["check", no_server, "--origin", "a\nb"], "https://example.org:8443"),
        (&["check", no_server, "--origin", "app.example"], "https://app.example"),
        // Load-testing.
        (&["bench", "--url", "nonsense"], "https://example.com/events"),
        (&["bench", "-n", "x"], "at least 0"),
        (&["bench", "--token", "a\nb"], "line breaks"),
        (&["bench", "--content-type", "a\nb"], "line breaks"),
        (&["bench", "--publishers", "0"], "from 1 to 1024"),
        (&["bench", "--rate", "x"], "above 0"),
        (&["bench", "--storm", "x"], "above 0"),
        (&["bench", "--url", no_server, "--body", "x"], "the body has no {mark}"),
        (&["bench", "--url", "http://127.0.0.1:1/s", "--topics", "2"], "{topic} must be part of"),
        (&["bench", "--url", no_server, "-n", "2", "--slow", "2"], "none of the 2 subscribers"),
        (&["bench", "--url", "http://127.0.0.1:1/s", "-n", "0"], "there is nothing to measure"),
        (&["completions", "csh"], "bash"),
    ] {
        let done = stentor(args).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{args:?}: {done:?}");
        assert!(done.stderr.contains(advice), "{args:?}: {done:?}");
        for leak in LEAKS {
            assert!(!done.stderr.contains(leak), "{args:?}: {done:?}");
        }
    }
    for data in ["stentor-data", "stentor-demo-data"] {
        assert!(!std::path::Path::new(data).exists(), "a refused start creates no data");
    }
}

#[tokio::test]
async fn a_variable_with_a_wrong_value_is_a_wrong_command_line() {
    for (variable, args) in [
        ("STENTOR_URL", &["pub", "t", "x"][..]),
        ("STENTOR_LISTEN", &["serve"]),
        ("STENTOR_RETAIN_BYTES", &["serve"]),
        ("STENTOR_DURABILITY", &["serve"]),
    ] {
        let done = stentor(args).env(variable, "nonsense").run().await;
        assert_eq!(done.code, Some(2), "{variable}: {done:?}");
        assert!(done.stderr.contains("nonsense"), "{variable}: {done:?}");
    }
}

#[tokio::test]
async fn an_error_of_the_system_has_no_number() {
    for args in [
        &["pub", "t", "--file", "/no/such/file"][..],
        &["replay", "/no/such/file"],
        &["man", "/dev/null/x"],
    ] {
        let done = stentor(args).run().await;
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(!done.stderr.contains("os error"), "{done:?}");
    }
}

#[tokio::test]
async fn help_and_usage_do_not_depend_on_the_environment() {
    async fn texts(variables: &[(&str, &str)]) -> Vec<String> {
        let mut texts = Vec::new();
        for args in [
            &["--help"][..],
            &["serve", "--help"],
            &["serve", "--no-such-option"],
            &["pub"],
            &["pub", "--help"],
            &["sub"],
            &["sub", "t", "--from", "now", "--last", "1"],
            &["record"],
            &["replay", "x", "--format", "json"],
            &["man", "--no-such-option"],
        ] {
            let command = variables
                .iter()
                .fold(stentor(args), |command, (name, value)| command.env(name, value));
            let Output { stdout, stderr, .. } = command.run().await;
            texts.push(stdout + &stderr);
        }
        texts
    }
    let variables = [
        ("STENTOR_URL", "http://secret.example"),
        ("STENTOR_TOKEN", "secret"),
        ("STENTOR_LISTEN", "127.0.0.1:1234"),
        ("STENTOR_DATA", "/secret"),
        ("STENTOR_RETAIN_BYTES", "1234"),
        ("STENTOR_DURABILITY", "os"),
    ];
    let (bare, set) = (texts(&[]).await, texts(&variables).await);
    assert_eq!(bare, set);
    let usage = bare[3].lines().find(|line| line.starts_with("Usage: ")).unwrap();
    assert_eq!(usage, "Usage: stentor pub [OPTIONS] <TOPIC> [DATA]");
}

#[tokio::test]
async fn help_has_every_option_and_the_exit_codes_of_its_command() {
    let help = async |args: &[&str]| stentor(args).run().await.stdout;
    assert!(help(&["serve", "--help"]).await.contains("--no-takeover"));
    assert!(help(&["pub", "--help"]).await.contains("the server refused it"));
    for command in [&["log", "info", "--help"][..], &["man", "--help"], &["completions", "--help"]]
    {
        let help = help(command).await;
        assert!(help.contains("Exit codes") && !help.contains("the server refused"), "{help}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = stentor(&["completions", shell]).run().await.stdout;
        assert!(script.contains("cors-origin") && script.contains("no-takeover"), "{shell}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_reported_with_advice() {
    for (args, words) in [
        (&["pub", "t", "--file", "."][..], "cannot publish .: it is a directory; name a file"),
        (&["replay", "nofile"], "No such file or directory; check the path"),
        (&["log", "import", "nofile", "--data", "/no/such"], "check the path"),
    ] {
        let done = stentor(args).run().await;
        assert_eq!(done.code, Some(1), "{args:?}: {done:?}");
        assert!(done.stderr.contains(words), "{args:?}: {done:?}");
    }
    for (data, words) in [
        ("/no/such", "stentor: there is no log in /no/such; name its directory with --data\n"),
        (
            "Cargo.toml",
            "stentor: Cargo.toml is a file; name the directory that contains it: --data .\n",
        ),
    ] {
        let done = stentor(&["log", "info", "--data", data]).run().await;
        assert_eq!((done.code, done.stderr.as_str()), (Some(1), words), "{done:?}");
    }
}

#[tokio::test]
async fn output_to_a_full_disk_exits_with_1_and_a_message() {
    for args in [&["man"][..], &["completions", "bash"], &["--help"], &["pub", "--help"], &["-V"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_stentor"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = process.wait_with_output().await.unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
        assert!(message.starts_with("stentor: cannot write"), "{args:?}: {message}");
        assert!(message.contains("No space left"), "{args:?}: {message}");
    }
}

#[tokio::test]
async fn every_failed_write_to_stdout_says_so() {
    let server = Server::in_memory().await;
    let url = server.url("");
    server.publish("/topics/t", "a").await;
    let from = server.url("/topics/t?from=earliest");
    for args in [
        &["pub", "t", "x", "--url", &url, "--repeat", "1"][..],
        &["pub", "copy", "--url", &url, "--from", &from],
        &["bench", "--url", &url, "-n", "1", "--events", "1", "--warm-up", "0s"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stentor"));
        let command = command.args(args).stdin(Stdio::null()).stdout(full).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().await.unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
        let expected = "stentor: cannot write to stdout: No space left on device\n";
        assert!(message.ends_with(expected), "{args:?}: {message}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_reported_in_plain_words() {
    for args in [
        &["check", "http://127.0.0.1:1/"][..],
        &["check", "http://no-such-host.invalid/"],
        &["pub", "t", "x", "--url", "http://no-such-host.invalid"],
        &["sub", "t", "--url", "http://no-such-host.invalid", "--retry-max", "1"],
        &["serve", "--memory", "--listen", "no-such-host.invalid:80"],
        &["bench", "--url", "http://no-such-host.invalid"],
    ] {
        let done = stentor(args).run().await;
        assert!(matches!(done.code, Some(1 | 3)), "{args:?}: {done:?}");
        for leak in ["client error", "dns error", "failed to lookup", "os error"] {
            assert!(!done.stderr.contains(leak), "{args:?}: {done:?}");
        }
    }
}

#[tokio::test]
async fn a_log_filter_that_is_empty_or_wrong_leaves_the_default() {
    for (filter, warns) in [("", false), ("stentor=nonsense", true)] {
        let command = stentor(&["serve", "--memory", "-v", "--listen", "x.invalid:1"]);
        let done = command.env("RUST_LOG", filter).run().await;
        assert_eq!(done.stderr.contains("RUST_LOG=stentor=nonsense is ignored"), warns, "{done:?}");
    }
}
