//! The machine, and the cores to which server and load are pinned.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Core of the server.
pub(crate) const SERVER_CORE: usize = 0;
/// Core of this process, which generates the load.
pub(crate) const LOAD_CORE: usize = 1;

/// Description of the machine, printed with the results.
pub(crate) struct Machine {
    command: String,
    processor: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    file_system: String,
}

impl Machine {
    pub(crate) fn inspect(dir: &Path) -> anyhow::Result<Machine> {
        let field = |file: &str, name: &str| -> anyhow::Result<String> {
            let text = fs::read_to_string(file)?;
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
            Ok(value.unwrap_or("unknown").to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal")?;
        let kib: f64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        let mut words: Vec<String> = std::env::args().collect();
        if let Some(program) = words.first_mut() {
            "stentor-bench".clone_into(program);
        }
        Ok(Machine {
            command: words.join(" "),
            processor: field("/proc/cpuinfo", "model name")?,
            cores: fs::read_to_string("/proc/cpuinfo")?.matches("processor\t").count(),
            memory_gib: kib / f64::from(1 << 20),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system: file_system(dir)?,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "- command: `{}`", self.command)?;
        writeln!(
            f,
            "- machine: {}, {} cores, {:.0} GiB, Linux {}",
            self.processor, self.cores, self.memory_gib, self.kernel
        )?;
        writeln!(f, "- file system: {}", self.file_system)?;
        write!(f, "- server on core {SERVER_CORE}, load on core {LOAD_CORE}; cleartext HTTP/1.1")
    }
}

/// The file system of a directory. Fails for one in memory.
fn file_system(dir: &Path) -> anyhow::Result<String> {
    let dir = dir.canonicalize().with_context(|| format!("cannot open {}", dir.display()))?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let mut best = (0, "unknown".to_owned());
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let (Some(device), Some(point), Some(kind)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if dir.starts_with(point) && point.len() >= best.0 {
            best = (point.len(), format!("{kind} on {device}"));
        }
    }
    if best.1.starts_with("tmpfs") {
        bail!("{} is in memory, not on a disk; choose another directory with --dir", dir.display());
    }
    Ok(best.1)
}

/// Pins this process to a core. Call it before any thread is started.
pub(crate) fn pin_self(core: usize) -> anyhow::Result<()> {
    pin(&std::process::id().to_string(), core)
}

/// Pins the calling thread to a core.
pub(crate) fn pin_thread(core: usize) -> anyhow::Result<()> {
    let thread = fs::read_link("/proc/thread-self")?;
    let id = thread.file_name().context("the thread has no id")?;
    pin(&id.to_string_lossy(), core)
}

fn pin(id: &str, core: usize) -> anyhow::Result<()> {
    let mut taskset = Command::new("taskset");
    let status = taskset.args(["-cp", &core.to_string(), id]).stdout(Stdio::null()).status();
    if !status.context("cannot run `taskset`; install util-linux")?.success() {
        bail!("cannot pin to core {core}; two cores are needed");
    }
    Ok(())
}
