//! Runs the binary as a command.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::TIMEOUT;

/// Builds a command: `stentor` with these arguments, and without the environment variables it knows.
pub fn stentor(args: &[&str]) -> StentorCommand {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stentor"));
    command.args(args).kill_on_drop(true);
    for variable in ["STENTOR_URL", "STENTOR_TOKEN", "RUST_LOG"] {
        command.env_remove(variable);
    }
    StentorCommand { command, stdin: Vec::new() }
}

/// A command that is not started yet.
pub struct StentorCommand {
    command: Command,
    stdin: Vec<u8>,
}

/// The exit code and the output of a command that has ended.
#[derive(Debug)]
pub struct Output {
    /// The exit code; `None` if a signal killed the command.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl StentorCommand {
    /// Sets what the command reads from stdin. Default: nothing.
    #[must_use]
    pub fn stdin(mut self, input: impl Into<Vec<u8>>) -> StentorCommand {
        self.stdin = input.into();
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> StentorCommand {
        self.command.env(name, value);
        self
    }

    /// Starts the command in its own process group, as a shell does.
    #[must_use]
    pub fn in_process_group(mut self) -> StentorCommand {
        self.command.process_group(0);
        self
    }

    /// Runs the command to its end.
    pub async fn run(self) -> Output {
        self.start().await.end().await
    }

    /// Runs the command to its end. Its stdout is a pipe whose other end is closed.
    pub async fn run_with_closed_stdout(mut self) -> Output {
        let (_, stdout) = std::io::pipe().unwrap();
        self.command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        let process = self.command.spawn().unwrap();
        // Closes this process's copy of the pipe.
        drop(self.command);
        let output = timeout(TIMEOUT, process.wait_with_output())
            .await
            .expect("the command ends in time")
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Output { code: output.status.code(), stdout: String::new(), stderr }
    }

    /// Starts the command, and closes its stdin after the input that was set.
    pub async fn start(self) -> RunningCommand {
        let mut running = self.start_with_stdin().await;
        running.close_stdin();
        running
    }

    /// Starts the command, and keeps its stdin open after the input that was set.
    pub async fn start_with_stdin(mut self) -> RunningCommand {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = self.command.spawn().unwrap();
        let stdin = process.stdin.take();
        let stdout = BufReader::new(process.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut running = RunningCommand { process, stdin, stdout, stderr, read: String::new() };
        running.send(self.stdin).await;
        running
    }
}

/// A command that runs. Dropping it kills the process.
pub struct RunningCommand {
    process: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
    /// The lines of stderr that were read already.
    read: String,
}

impl RunningCommand {
    /// Returns the next line of stdout; `None` at its end.
    pub async fn line(&mut self) -> Option<String> {
        timeout(TIMEOUT, self.stdout.next_line()).await.expect("a line in time").unwrap()
    }

    /// Waits for a line on stderr that contains `text`, and returns the line.
    pub async fn until_stderr(&mut self, text: &str) -> String {
        let found = timeout(TIMEOUT, async {
            loop {
                let line = self.stderr.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("no {text:?} in {}", self.read));
                self.read.push_str(&(line.clone() + "\n"));
                if line.contains(text) {
                    return line;
                }
            }
        });
        found.await.expect("the line in time")
    }

    /// Writes to stdin. Input that the command no longer reads is lost.
    pub async fn send(&mut self, input: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        let _ = stdin.write_all(input.as_ref()).await;
    }

    /// Closes stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits until the command has written to stdout, and reads only one buffer of the output.
    pub async fn until_output(&mut self) {
        let output =
            timeout(TIMEOUT, self.stdout.get_mut().fill_buf()).await.expect("output in time");
        assert!(!output.unwrap().is_empty(), "the command ended without output");
    }

    /// Closes stdout at this end, and waits for the exit code.
    pub async fn close_stdout(self) -> Option<i32> {
        let RunningCommand { process, stdout, stderr: _stderr, .. } = self;
        drop(stdout);
        exit_code(process).await
    }

    /// Waits for the exit code without reading stdout.
    pub async fn exit_code(self) -> Option<i32> {
        let RunningCommand { process, stdout: _stdout, stderr: _stderr, .. } = self;
        exit_code(process).await
    }

    /// Kills the command (SIGKILL).
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Sends a signal by name, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let pid = self.process.id().expect("the command runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Sends a signal to the process group of the command, as a terminal does.
    /// Requires [`StentorCommand::in_process_group`].
    pub async fn signal_group(&self, name: &str) {
        let group = format!("-{}", self.process.id().expect("the command runs"));
        let sent = Command::new("kill").args(["-s", name, "--", &group]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Closes stdin, waits for the end of the command, and returns the rest of stdout and all of stderr.
    pub async fn end(mut self) -> Output {
        self.close_stdin();
        let end = timeout(TIMEOUT, async {
            let mut stdout = Vec::new();
            let mut stderr = self.read;
            let mut stderr_pipe = self.stderr.into_inner();
            let mut stdout_pipe = self.stdout.into_inner();
            let (status, stdout_read, stderr_read) = tokio::join!(
                self.process.wait(),
                stdout_pipe.read_to_end(&mut stdout),
                stderr_pipe.read_to_string(&mut stderr),
            );
            stdout_read.unwrap();
            stderr_read.unwrap();
            let stdout = String::from_utf8(stdout).unwrap();
            Output { code: status.unwrap().code(), stdout, stderr }
        });
        end.await.expect("the command ends in time")
    }
}

/// Waits for the end of a process and returns its exit code; `None` if a signal killed it.
async fn exit_code(mut process: Child) -> Option<i32> {
    timeout(TIMEOUT, process.wait()).await.expect("the command ends in time").unwrap().code()
}
