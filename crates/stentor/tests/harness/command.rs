//! Runs the binary as a command.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use super::PATIENCE;

/// `stentor` with these arguments.
pub fn stentor(args: &[&str]) -> Call {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stentor"));
    command
        .args(args)
        .env_remove("STENTOR_URL")
        .env_remove("STENTOR_TOKEN")
        .env_remove("RUST_LOG")
        .kill_on_drop(true);
    Call { command, input: Vec::new() }
}

pub struct Call {
    command: Command,
    input: Vec<u8>,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub talk: String,
}

impl Call {
    /// What it finds on stdin; otherwise nothing.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Call {
        self.input = input.into();
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Call {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end.
    pub async fn run(self) -> Done {
        self.start().await.end().await
    }

    /// Starts it, and reads its output as it comes.
    pub async fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = self.command.spawn().unwrap();
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(&self.input).await.unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let words = BufReader::new(process.stderr.take().unwrap()).lines();
        Running { process, lines, words }
    }
}

pub struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    words: Lines<BufReader<ChildStderr>>,
}

impl Running {
    /// The next line of its output, `None` at the end of it.
    pub async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.next_line()).await.expect("a line").unwrap()
    }

    /// Waits for the next line that it says beside its output.
    pub async fn word(&mut self) -> Option<String> {
        timeout(PATIENCE, self.words.next_line()).await.expect("a word").unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.process.id().expect("it runs")
    }

    /// Sends a signal by name.
    pub async fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Waits until it has begun to write, and reads no more than the beginning.
    pub async fn output_begins(&mut self) {
        let begun = timeout(PATIENCE, self.lines.get_mut().fill_buf()).await.expect("output");
        assert!(!begun.unwrap().is_empty(), "it ended without output");
    }

    /// Kills it at once (SIGKILL).
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Waits for its exit code, `None` if a signal killed it, without reading what it says.
    pub async fn exit_code(&mut self) -> Option<i32> {
        timeout(PATIENCE, self.process.wait()).await.expect("the command ends").unwrap().code()
    }

    /// Stops reading its output, and waits for its exit code.
    pub async fn leave(self) -> Option<i32> {
        let Running { mut process, lines, words: _words } = self;
        drop(lines);
        timeout(PATIENCE, process.wait()).await.expect("the command ends").unwrap().code()
    }

    /// Waits for its end, with the rest of what it says.
    pub async fn end(mut self) -> Done {
        let end = timeout(PATIENCE, async {
            let mut out = Vec::new();
            let mut talk = String::new();
            let mut stderr = self.words.into_inner();
            let mut stdout = self.lines.into_inner();
            let (status, read, told) = tokio::join!(
                self.process.wait(),
                stdout.read_to_end(&mut out),
                stderr.read_to_string(&mut talk),
            );
            read.unwrap();
            told.unwrap();
            let out = String::from_utf8(out).unwrap();
            Done { code: status.unwrap().code(), out, talk }
        });
        end.await.expect("the command ends")
    }
}
