//! The shim between a server and its disk, as seen by a test.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use fastrand::Rng;
use tempfile::TempDir;

use super::content::Survival;
use super::disk::Disk;
use super::journal::{self, Entry};

/// A watched directory that can be made to fail.
pub struct Shim {
    directory: TempDir,
    control: File,
}

/// A fault, for files whose name ends with `name`.
#[derive(Clone, Copy)]
pub struct Rule {
    what: u32,
    error: u32,
    times: u32,
    after: u32,
    shortened: u32,
    drops: u32,
    name: &'static str,
}

const EIO: u32 = 5;

impl Rule {
    /// Syncs fail with an I/O error.
    pub fn fail_sync(name: &'static str) -> Rule {
        Rule { what: 1, error: EIO, times: u32::MAX, after: 0, shortened: 0, drops: 0, name }
    }

    /// Writes fail with an I/O error.
    pub fn fail_write(name: &'static str) -> Rule {
        Rule { what: 2, ..Rule::fail_sync(name) }
    }

    /// The process is killed instead of its next call that changes such a file.
    pub fn kill(name: &'static str) -> Rule {
        Rule { what: 3, ..Rule::fail_sync(name) }.once()
    }

    /// Only the next call fails.
    #[must_use]
    pub fn once(self) -> Rule {
        Rule { times: 1, ..self }
    }

    /// This many calls succeed first.
    #[must_use]
    pub fn after(self, calls: u32) -> Rule {
        Rule { after: calls, ..self }
    }

    /// Half of a write succeeds before the error.
    #[must_use]
    pub fn halfway(self) -> Rule {
        Rule { shortened: 1, ..self }
    }

    /// The system drops the data it could not sync, as Linux does.
    #[must_use]
    pub fn forgetting(self) -> Rule {
        Rule { drops: 1, ..self }
    }
}

/// Sizes and offsets in the control file, as in `shim.c`.
const RULE_BYTES: usize = 48;
const RULES: usize = 4;
const FIRED_AT: u64 = 24;
const SPACE_AT: u64 = (RULE_BYTES * RULES) as u64;

impl Shim {
    pub fn new() -> Shim {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        let path = directory.path().join("control");
        let control = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        let shim = Shim { directory, control };
        shim.clear_faults();
        shim
    }

    /// The watched directory.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub fn journal(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    /// The current length of the journal.
    pub fn now(&self) -> u64 {
        journal::length(&self.journal())
    }

    /// The entries from this offset on.
    pub fn entries(&self, from: u64) -> Vec<Entry> {
        journal::read(&self.journal(), from)
    }

    /// The directory after a power failure at this moment, in which only synced data survives.
    pub fn after_a_power_failure(&self) -> TempDir {
        let mut disk = Disk::default();
        self.entries(0).iter().for_each(|entry| disk.apply(&entry.change));
        let root = tempfile::tempdir().unwrap();
        disk.write_survivors(Survival::Synced, &mut Rng::new(), root.path());
        root
    }

    /// The environment of a process whose calls are to be watched.
    pub fn environment(&self) -> [(&'static str, PathBuf); 4] {
        [
            ("LD_PRELOAD", library().to_owned()),
            ("SHIM_ROOT", self.root()),
            ("SHIM_JOURNAL", self.journal()),
            ("SHIM_CONTROL", self.directory.path().join("control")),
        ]
    }

    /// Replaces all faults by this one.
    pub fn set_fault(&self, rule: Rule) {
        let mut bytes = Vec::new();
        let Rule { what, error, times, after, shortened, drops, name } = rule;
        for number in [what, error, times, after, shortened, drops, 0] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(name.as_bytes());
        assert!(bytes.len() < RULE_BYTES, "the name {name} is too long");
        bytes.resize(RULE_BYTES, 0);
        self.control.write_all_at(&bytes, 0).unwrap();
    }

    /// Number of times the fault was applied.
    pub fn fired(&self) -> u32 {
        let mut fired = [0; 4];
        self.control.read_exact_at(&mut fired, FIRED_AT).unwrap();
        u32::from_ne_bytes(fired)
    }

    /// Limits the free space of the disk to this many bytes; a negative number lifts the limit.
    pub fn set_free_space(&self, bytes: i64) {
        self.control.write_all_at(&bytes.to_ne_bytes(), SPACE_AT).unwrap();
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.control.write_all_at(&[0; RULE_BYTES * RULES], 0).unwrap();
        self.set_free_space(-1);
    }
}

/// The compiled shim. It is compiled once per test program.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIBRARY.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/power/shim.c");
        let path = directory.path().join("shim.so");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&path).arg(source).arg("-ldl");
        assert!(compile.status().expect("a C compiler is installed").success());
        (directory, path)
    });
    path
}
