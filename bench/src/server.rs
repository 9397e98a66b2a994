//! The server under test: the real binary, pinned to its own core.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use stentor_load::process;

use crate::http::Connection;
use crate::machine::SERVER_CORE;

/// A running server. It is killed when the value is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(binary: &Path, data: &Path, durability: &str) -> anyhow::Result<Server> {
        let mut process = Command::new("taskset")
            .args(["-c", &SERVER_CORE.to_string()])
            .arg(binary)
            .args(["--listen", "127.0.0.1:0", "--durability", durability, "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let output = process.stderr.take().context("stderr of the server is not piped")?;
        let mut lines = BufReader::new(output).lines();
        let mut last_line = String::new();
        let address = loop {
            let Some(line) = lines.next() else { bail!("the server did not start: {last_line}") };
            let line = line?;
            if let Some(rest) = line.strip_prefix("listening on http://") {
                let address = rest.split(' ').next().unwrap_or_default();
                break address.parse()?;
            }
            last_line = line;
        };
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                eprintln!("server: {line}");
            }
        });
        Ok(Server { process, address })
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the value of a counter in `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let mut connection = Connection::open(self.address).await?;
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let body = connection.send(request.as_bytes()).await?.body;
        let text = String::from_utf8(body)?;
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.with_context(|| format!("the server has no metric {name}"))
    }

    /// Returns the anonymous memory in bytes: all memory except mapped files.
    pub(crate) fn anonymous_bytes(&self) -> anyhow::Result<u64> {
        let bytes = process::status_bytes(self.process.id(), "RssAnon:");
        bytes.context("/proc has no RssAnon of the server")
    }

    /// Returns the CPU time in seconds.
    pub(crate) fn busy_seconds(&self) -> anyhow::Result<f64> {
        busy_seconds(&self.process.id().to_string())
    }

    /// Stops the server with SIGTERM and waits until it has ended.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id = self.process.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().context("cannot run `kill`")?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// CPU time in seconds of a process, given as its id or `self`.
pub(crate) fn busy_seconds(process: &str) -> anyhow::Result<f64> {
    let cpu = process::cpu(process).with_context(|| format!("there is no process {process}"))?;
    Ok(cpu.total())
}
