//! The examples of a page, run in order in one directory and against one server.
//!
//! In a block marked `console`, a line that begins with `$ ` is a command. A backslash at its end continues it on the
//! next line. The lines up to the next command are the expected output. `…` within a line matches any text; a line
//! that is only `…` matches any number of lines. A command that ends with `&` runs until `kill %1`, or until the end of
//! the page. If the output ends with `^C`, the command runs until it has printed the lines before `^C`, and is then
//! killed.

use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::harness::{Server, TIMEOUT};
use crate::page::{Block, blocks};

/// Address of the server in the pages.
const ADDRESS: &str = "localhost:8080";

/// Variable that makes the test server the default of every command.
const DEFAULT_URL: &str = "STENTOR_URL";

/// A shell in a temporary directory.
pub struct Session {
    directory: TempDir,
    /// `true` if commands run on a terminal, for the output that a person sees.
    terminal: bool,
    jobs: Vec<Job>,
}

impl Session {
    /// A session whose commands write to a pipe.
    pub fn new() -> Session {
        Session { directory: tempfile::tempdir().unwrap(), terminal: false, jobs: Vec::new() }
    }

    /// A session whose commands write to a terminal.
    pub fn on_terminal() -> Session {
        Session { terminal: true, ..Session::new() }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs the `console` blocks of a page. Skips the commands in `except`; each must be on the page once.
    pub async fn run(&mut self, page: &str, server: &Server, except: &[&str]) {
        let mut skipped = 0;
        for block in blocks(page, "console") {
            for (command, expected) in examples(&block.code) {
                if except.contains(&command.as_str()) {
                    skipped += 1;
                    continue;
                }
                self.example(page, &block, &command, &expected, server).await;
            }
        }
        assert_eq!(skipped, except.len(), "{page} has each of {except:?} once");
    }

    async fn example(
        &mut self,
        page: &str,
        block: &Block,
        command: &str,
        expected: &str,
        server: &Server,
    ) {
        let mut expected: Vec<&str> = expected.lines().collect();
        if let Some(command) = command.strip_suffix(" &") {
            self.jobs.push(self.start(command, server));
            return;
        }
        if command == "kill %1" {
            assert!(!self.jobs.is_empty(), "{page}, line {}: no job is running", block.line);
            self.jobs.remove(0);
            return;
        }
        let continues = expected.last() == Some(&"^C");
        if continues {
            expected.pop();
        }
        let mut job = self.start(command, server);
        let written = job.read(&expected, continues, &server.address).await;
        let written: Vec<&str> = written.lines().collect();
        assert!(
            is_match(&expected, &written),
            "{page}, line {}: $ {command}\nshould print:\n{}\nbut prints:\n{}",
            block.line,
            expected.join("\n"),
            written.join("\n"),
        );
    }

    fn start(&self, command: &str, server: &Server) -> Job {
        // The variable stands for the default URL. A person who reads the page has not set it.
        assert!(
            !command.contains(DEFAULT_URL),
            "write the URL out, instead of {DEFAULT_URL}: {command}"
        );
        let binary = Path::new(env!("CARGO_BIN_EXE_stentor"));
        let folder = binary.parent().unwrap().display();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        let command = format!("exec 2>&1\n{}", command.replace(ADDRESS, &server.address));
        let mut shell;
        if self.terminal {
            shell = Command::new("script");
            shell.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        } else {
            shell = Command::new("bash");
            shell.args(["-c", &command]);
        }
        let process = shell
            .current_dir(self.directory())
            .env("PATH", path)
            .env("SHELL", "/bin/bash")
            .env("NO_COLOR", "1")
            .env(DEFAULT_URL, server.url(""))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut process = process.unwrap_or_else(|error| panic!("{command}: {error}"));
        let output = BufReader::new(process.stdout.take().unwrap());
        Job { process, output }
    }
}

/// A running command. Dropping it kills its process group.
struct Job {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Job {
    /// Reads the output to its end. If the command continues, reads until the output matches.
    async fn read(&mut self, expected: &[&str], continues: bool, address: &str) -> String {
        let mut written = String::new();
        let done = timeout(TIMEOUT, async {
            let mut line = Vec::new();
            while self.output.read_until(b'\n', &mut line).await.unwrap() > 0 {
                let text = String::from_utf8_lossy(&line).replace(address, ADDRESS);
                let _ = write!(written, "{}", text.replace('\r', ""));
                line.clear();
                let lines: Vec<&str> = written.lines().collect();
                if continues && is_match(expected, &lines) {
                    return;
                }
            }
        });
        assert!(done.await.is_ok(), "no end of the output; so far:\n{written}");
        written
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(group) = self.process.id() {
            let mut kill = std::process::Command::new("kill");
            let _ = kill.args(["-s", "KILL", "--", &format!("-{group}")]).status();
        }
    }
}

/// The commands of a block, each with its expected output.
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

/// Returns `true` if the written lines match the expected ones.
pub fn is_match(expected: &[&str], written: &[&str]) -> bool {
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
fn an_ellipsis_matches_any_text_and_nothing_else_does() {
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
