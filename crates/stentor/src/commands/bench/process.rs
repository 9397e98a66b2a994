//! Processor time and memory, as `/proc` tells them. Elsewhere than on Linux nothing is known.

use std::fs;

/// The unit of the processor times in `/proc`: Linux tells them in hundredths of a second on every
/// machine that this runs on, whatever the kernel counts in.
const TICKS_PER_SECOND: f64 = 100.0;
/// The kernel counts the buffers of TCP in pages; these are what most machines have.
const PAGE_BYTES: u64 = 4096;
/// The most processes of a family.
const FAMILY_MAX: usize = 1024;

/// Processor time in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cpu {
    pub(super) user: f64,
    pub(super) system: f64,
}

impl Cpu {
    pub(super) fn total(self) -> f64 {
        self.user + self.system
    }

    pub(super) fn since(self, before: Cpu) -> Cpu {
        Cpu { user: self.user - before.user, system: self.system - before.system }
    }
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Memory {
    /// Resident; what processes share counts for each.
    pub(super) resident: u64,
    /// Resident, shared pages divided among those who share them; not every process may be asked.
    pub(super) proportional: Option<u64>,
}

/// A process and its descendants.
#[derive(Clone, Debug, Default)]
pub(super) struct Family(Vec<u32>);

impl Family {
    /// Who belongs to it now; `None` when there is no such process.
    pub(super) fn of(pid: u32) -> Option<Family> {
        stat(pid)?;
        let entries = fs::read_dir("/proc").ok()?.flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let parents: Vec<(u32, u32)> =
            pids.filter_map(|pid| Some((pid, field(&stat(pid)?, 1)? as u32))).collect();
        let mut family = vec![pid];
        let mut looked_at = 0;
        while let Some(&parent) = family.get(looked_at).filter(|_| family.len() < FAMILY_MAX) {
            looked_at += 1;
            family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid));
        }
        Some(Family(family))
    }

    /// What its living members have used.
    pub(super) fn cpu(&self) -> Cpu {
        self.0.iter().filter_map(|pid| cpu(&pid.to_string())).fold(Cpu::default(), |sum, cpu| Cpu {
            user: sum.user + cpu.user,
            system: sum.system + cpu.system,
        })
    }

    pub(super) fn resident(&self) -> u64 {
        self.0.iter().filter_map(|pid| kibibytes(&format!("/proc/{pid}/status"), "VmRSS:")).sum()
    }

    pub(super) fn memory(&self) -> Memory {
        let shares =
            self.0.iter().map(|pid| kibibytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:"));
        Memory { resident: self.resident(), proportional: shares.sum() }
    }
}

/// What this program has used, all threads.
pub(super) fn own_cpu() -> Option<Cpu> {
    cpu("self")
}

/// What the kernel of this machine takes for itself that grows with connections, in bytes: its slabs
/// and the buffers of TCP.
pub(super) fn kernel_memory() -> Option<u64> {
    let slabs = kibibytes("/proc/meminfo", "Slab:")?;
    let sockets = fs::read_to_string("/proc/net/sockstat").ok()?;
    let tcp = sockets.lines().find(|line| line.starts_with("TCP:"))?;
    let pages: u64 = tcp.rsplit_once("mem ")?.1.trim().parse().ok()?;
    Some(slabs + pages * PAGE_BYTES)
}

/// For how many seconds the calling thread was ready to run but had no core.
pub(super) fn own_wait() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos: f64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(nanos / 1e9)
}

fn cpu(process: &str) -> Option<Cpu> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let seconds = |at| field(&stat, at).map(|ticks| ticks / TICKS_PER_SECOND);
    Some(Cpu { user: seconds(11)?, system: seconds(12)? })
}

fn stat(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

/// A field behind the name, which may have blanks and brackets itself.
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
    fn a_process_is_of_its_own_family_and_uses_memory() {
        let family = Family::of(std::process::id()).unwrap();
        assert!(family.0.contains(&std::process::id()));
        assert!(family.resident() > 1 << 20);
        assert!(Family::of(u32::MAX).is_none());
    }
}
