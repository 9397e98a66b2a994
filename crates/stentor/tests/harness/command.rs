//! Runs the binary as a command.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::PATIENCE;

/// `stentor` with these arguments.
pub fn stentor(args: &[&str]) -> Call {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stentor"));
    command.args(args).env_remove("STENTOR_URL").env_remove("RUST_LOG").kill_on_drop(true);
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
        Running { process, lines }
    }
}

pub struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// The next line of its output, `None` at the end of it.
    pub async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.next_line()).await.expect("a line").unwrap()
    }

    /// Waits for its end, with the rest of what it says.
    pub async fn end(mut self) -> Done {
        let end = timeout(PATIENCE, async {
            let mut out = Vec::new();
            let mut talk = String::new();
            let mut stderr = self.process.stderr.take().unwrap();
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
