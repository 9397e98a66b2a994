//! Examples at the prompt. In a block marked `console` a line behind `$ ` is a command, which may go on
//! after a backslash; what follows is what it writes, to stdout and stderr. `…` stands for anything
//! within a line, and as a line of its own for any lines. The blocks of a page run in order, in one
//! directory and against one server.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Server, TIMEOUT};
use crate::page::blocks;

/// The address in the pages, for that of the server at hand.
const ADDRESS: &str = "localhost:8080";

#[tokio::test]
async fn what_the_page_of_the_command_line_shows_is_what_happens() {
    runs("docs/cli.md").await;
}

async fn runs(page: &str) {
    let server = Server::start().await;
    let directory = tempfile::tempdir().unwrap();
    for block in blocks(page, "console") {
        for (command, expected) in examples(&block.code) {
            let written = run(&command, &server, directory.path()).await;
            let (expected, written): (Vec<&str>, Vec<&str>) =
                (expected.lines().collect(), written.lines().collect());
            assert!(
                is_match(&expected, &written),
                "{page}, line {}: $ {command}\nshould write:\n{}\nbut writes:\n{}",
                block.line,
                expected.join("\n"),
                written.join("\n"),
            );
        }
    }
}

/// The commands of a block, each with what it should write.
fn examples(code: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if let Some(first) = line.strip_prefix("$ ") {
            let mut command = first.to_owned();
            while command.ends_with('\\') {
                command = format!("{command}\n{}", lines.next().expect("a line after a backslash"));
            }
            examples.push((command, String::new()));
        } else {
            let (_, expected) = examples.last_mut().expect("a command before its output");
            expected.push_str(line);
            expected.push('\n');
        }
    }
    examples
}

async fn run(command: &str, server: &Server, directory: &Path) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_stentor"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &format!("exec 2>&1\n{}", command.replace(ADDRESS, &server.address))])
        .current_dir(directory)
        .env("PATH", path)
        .env("STENTOR_URL", server.url(""))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let Output { stdout, .. } = timeout(TIMEOUT, shell.output())
        .await
        .unwrap_or_else(|_| panic!("no end: {command}"))
        .unwrap();
    String::from_utf8_lossy(&stdout).replace(&server.address, ADDRESS)
}

fn is_match(expected: &[&str], written: &[&str]) -> bool {
    match (expected.split_first(), written.split_first()) {
        (None, None) => true,
        (Some((&"…", rest)), _) => {
            (0..=written.len()).any(|from| is_match(rest, &written[from..]))
        }
        (Some((line, rest)), Some((written, left))) => {
            is_line(line, written) && is_match(rest, left)
        }
        _ => false,
    }
}

fn is_line(expected: &str, written: &str) -> bool {
    match expected.split_once('…') {
        None => expected == written,
        Some((start, rest)) => written.strip_prefix(start).is_some_and(|left| {
            left.char_indices()
                .map(|(at, _)| at)
                .chain([left.len()])
                .any(|at| is_line(rest, &left[at..]))
        }),
    }
}

#[test]
fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
    let is = |expected: &str, written: &str| {
        let (expected, written): (Vec<_>, Vec<_>) =
            (expected.lines().collect(), written.lines().collect());
        is_match(&expected, &written)
    };
    assert!(is("a\nid …, b\nc", "a\nid 5, b\nc"));
    assert!(is("…\nlast", "one\ntwo\nlast"));
    assert!(is("", ""));
    assert!(!is("a", "a\nb"));
    assert!(!is("a\nb", "a"));
    assert!(!is("id …, b", "id 5, c"));
    assert!(!is("…\nlast", "last\nmore"));
}
