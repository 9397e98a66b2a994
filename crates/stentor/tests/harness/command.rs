//! Runs the binary as a command.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::PATIENCE;

/// `stentor` with these arguments.
pub fn stentor(args: &[&str]) -> Call {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stentor"));
    command.args(args).kill_on_drop(true);
    for variable in ["STENTOR_URL", "STENTOR_TOKEN", "RUST_LOG"] {
        command.env_remove(variable);
    }
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

    /// Lets it have a process group of its own, as a shell does.
    #[must_use]
    pub fn in_a_group(mut self) -> Call {
        self.command.process_group(0);
        self
    }

    /// Runs it to its end.
    pub async fn run(self) -> Done {
        self.start().await.end().await
    }

    /// Runs it to its end, with nobody who reads its output.
    pub async fn run_unread(mut self) -> Done {
        let (_, unread) = std::io::pipe().unwrap();
        self.command.stdin(Stdio::null()).stdout(unread).stderr(Stdio::piped());
        let process = self.command.spawn().unwrap();
        // The other end of the pipe is gone with this.
        drop(self.command);
        let output = timeout(PATIENCE, process.wait_with_output()).await.expect("an end").unwrap();
        let talk = String::from_utf8(output.stderr).unwrap();
        Done { code: output.status.code(), out: String::new(), talk }
    }

    /// Starts it, and reads its output as it comes.
    pub async fn start(self) -> Running {
        let mut running = self.start_typing().await;
        running.close_input();
        running
    }

    /// Starts it, with more on stdin to come.
    pub async fn start_typing(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = self.command.spawn().unwrap();
        let stdin = process.stdin.take();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let talk = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut running = Running { process, stdin, lines, talk, said: String::new() };
        running.send(self.input).await;
        running
    }
}

pub struct Running {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    talk: Lines<BufReader<ChildStderr>>,
    /// What it said and a test has read.
    said: String,
}

impl Running {
    /// The next line of its output, `None` at the end of it.
    pub async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.next_line()).await.expect("a line").unwrap()
    }

    /// Waits until it says a line with these words on stderr, and gives that line.
    pub async fn until_said(&mut self, words: &str) -> String {
        let said = timeout(PATIENCE, async {
            loop {
                let line = self.talk.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("no {words:?} in {}", self.said));
                self.said.push_str(&(line.clone() + "\n"));
                if line.contains(words) {
                    return line;
                }
            }
        });
        said.await.expect("a word")
    }

    /// Types something in. What it no longer reads is lost.
    pub async fn send(&mut self, input: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("an open input");
        let _ = stdin.write_all(input.as_ref()).await;
    }

    /// Ends its input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Waits until it has begun to write, and reads no more than the beginning.
    pub async fn output_begins(&mut self) {
        let begun = timeout(PATIENCE, self.lines.get_mut().fill_buf()).await.expect("output");
        assert!(!begun.unwrap().is_empty(), "it ended without output");
    }

    /// Stops reading its output, and waits for its exit code.
    pub async fn leave(self) -> Option<i32> {
        let Running { process, lines, talk: _talk, .. } = self;
        drop(lines);
        exit_code(process).await
    }

    /// Waits for its exit code without reading its output.
    pub async fn exit_code(self) -> Option<i32> {
        let Running { process, lines: _lines, talk: _talk, .. } = self;
        exit_code(process).await
    }

    /// Kills it at once (SIGKILL).
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Sends a signal by name.
    pub async fn signal(&self, name: &str) {
        let pid = self.process.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Sends a signal as a terminal does: to it and all in its group, which is its own.
    pub async fn signal_group(&self, name: &str) {
        let group = format!("-{}", self.process.id().expect("it runs"));
        let sent = Command::new("kill").args(["-s", name, "--", &group]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, with the rest of its output and all that it said.
    pub async fn end(mut self) -> Done {
        self.close_input();
        let end = timeout(PATIENCE, async {
            let mut out = Vec::new();
            let mut talk = self.said;
            let mut stderr = self.talk.into_inner();
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

/// The exit code of a process, once it has ended; `None` if a signal killed it.
async fn exit_code(mut process: Child) -> Option<i32> {
    timeout(PATIENCE, process.wait()).await.expect("the command ends").unwrap().code()
}
