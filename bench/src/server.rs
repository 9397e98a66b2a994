//! A server to be measured: the real binary, on a core of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};

use crate::http::Connection;
use crate::machine::SERVER_CORE;

/// Ends with the value.
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
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        let output = process.stderr.take().context("the server has an output")?;
        let mut lines = BufReader::new(output).lines();
        let mut said = String::new();
        let address = loop {
            let Some(line) = lines.next() else { bail!("the server did not start: {said}") };
            let line = line?;
            if let Some(rest) = line.strip_prefix("listening on http://") {
                let address = rest.split(' ').next().unwrap_or_default();
                break address.parse()?;
            }
            said = line;
        };
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                eprintln!("server: {line}");
            }
        });
        Ok(Server { process, address })
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// A counter of its `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let mut connection = Connection::open(self.address).await?;
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let body = connection.ask(request.as_bytes()).await?.body;
        let text = String::from_utf8(body)?;
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.with_context(|| format!("the server does not count {name}"))
    }

    /// The anonymous memory that it holds, in bytes: all but mapped files.
    pub(crate) fn anonymous_bytes(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kib.context("the system tells RssAnon")? << 10)
    }

    /// The seconds that it has spent on its core.
    pub(crate) fn busy_seconds(&self) -> anyhow::Result<f64> {
        busy_seconds(&self.process.id().to_string())
    }

    /// Ends it in good order.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id = self.process.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().context("`kill` is needed")?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The processor time of a process, `self` for this one.
pub(crate) fn busy_seconds(process: &str) -> anyhow::Result<f64> {
    /// Linux tells these times in hundredths of a second on all its machines.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may hold spaces.
    let (_, rest) = stat.rsplit_once(')').context("a process has a state")?;
    let mut fields = rest.split_whitespace().skip(11).map(|ticks| ticks.parse().unwrap_or(0.0));
    let (user, system) = (fields.next().unwrap_or(0.0), fields.next().unwrap_or(0.0));
    Ok((user + system) / TICKS)
}
