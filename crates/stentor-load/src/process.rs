//! CPU time and memory of processes, read from `/proc`. Only Linux has these values.

use std::fs;

/// Unit of the CPU times in `/proc`. Linux reports hundredths of a second on all supported machines, for every tick
/// rate of the kernel.
const TICKS_PER_SECOND: f64 = 100.0;
/// Bytes of a page, in which the kernel counts TCP buffers. Most machines have this page size.
const PAGE_BYTES: u64 = 4096;
/// Maximum number of processes of a tree.
const PROCESSES_MAX: usize = 1024;

/// CPU time in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cpu {
    /// Time in user space.
    pub user: f64,
    /// Time in the kernel.
    pub system: f64,
}

impl Cpu {
    /// The sum of both.
    pub fn total(self) -> f64 {
        self.user + self.system
    }

    pub(crate) fn since(self, before: Cpu) -> Cpu {
        Cpu { user: self.user - before.user, system: self.system - before.system }
    }
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Memory {
    /// Resident memory (RSS). Memory shared by several processes counts for each of them.
    pub(crate) resident: u64,
    /// Proportional memory (PSS): shared memory is divided among its processes. `None` if this process may not read it.
    pub(crate) proportional: Option<u64>,
}

/// A process and its descendants.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessTree(Vec<u32>);

impl ProcessTree {
    /// The process and its current descendants. `None` if there is no such process.
    pub(crate) fn of(pid: u32) -> Option<ProcessTree> {
        stat(pid)?;
        let entries = fs::read_dir("/proc").ok()?.flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let parents: Vec<(u32, u32)> =
            pids.filter_map(|pid| Some((pid, field(&stat(pid)?, 1)? as u32))).collect();
        let mut tree = vec![pid];
        let mut visited = 0;
        while let Some(&parent) = tree.get(visited).filter(|_| tree.len() < PROCESSES_MAX) {
            visited += 1;
            tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid));
        }
        Some(ProcessTree(tree))
    }

    /// CPU time of the processes that are still alive.
    pub(crate) fn cpu(&self) -> Cpu {
        self.0.iter().filter_map(|pid| cpu(&pid.to_string())).fold(Cpu::default(), |sum, cpu| Cpu {
            user: sum.user + cpu.user,
            system: sum.system + cpu.system,
        })
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.0.iter().filter_map(|pid| status_bytes(*pid, "VmRSS:")).sum()
    }

    pub(crate) fn memory(&self) -> Memory {
        let shares =
            self.0.iter().map(|pid| kibibytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:"));
        Memory { resident: self.resident(), proportional: shares.sum() }
    }
}

/// CPU time of all threads of this program.
pub(crate) fn own_cpu() -> Option<Cpu> {
    cpu("self")
}

/// Kernel memory of this machine that grows with connections, in bytes: slabs and TCP buffers.
pub(crate) fn kernel_memory() -> Option<u64> {
    let slabs = kibibytes("/proc/meminfo", "Slab:")?;
    let sockets = fs::read_to_string("/proc/net/sockstat").ok()?;
    let tcp = sockets.lines().find(|line| line.starts_with("TCP:"))?;
    let pages: u64 = tcp.rsplit_once("mem ")?.1.trim().parse().ok()?;
    Some(slabs + pages * PAGE_BYTES)
}

/// Seconds in which the calling thread was ready to run but had no core.
pub(crate) fn own_wait() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos: f64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(nanos / 1e9)
}

/// CPU time of a process, given as its id or `self`. `None` if there is no such process.
pub fn cpu(process: &str) -> Option<Cpu> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let seconds = |at| field(&stat, at).map(|ticks| ticks / TICKS_PER_SECOND);
    Some(Cpu { user: seconds(11)?, system: seconds(12)? })
}

/// A memory field of `/proc/PID/status` in bytes, such as `VmHWM:` for the peak. `None` if it is missing.
pub fn status_bytes(pid: u32, field: &str) -> Option<u64> {
    kibibytes(&format!("/proc/{pid}/status"), field)
}

fn stat(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

/// Parses a field after the process name. The name may contain blanks and brackets, so fields are counted from the
/// last bracket.
fn field(stat: &str, at: usize) -> Option<f64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(at)?.parse().ok()
}

fn kibibytes(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1";
        assert_eq!(
            (field(stat, 1), field(stat, 11), field(stat, 12)),
            (Some(1.0), Some(250.0), Some(50.0))
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_is_part_of_its_own_tree_and_uses_memory() {
        let tree = ProcessTree::of(std::process::id()).unwrap();
        assert!(tree.0.contains(&std::process::id()));
        assert!(tree.resident() > 1 << 20);
        assert!(ProcessTree::of(u32::MAX).is_none());
    }
}
