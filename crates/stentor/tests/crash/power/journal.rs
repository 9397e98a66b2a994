//! The journal of the shim: all changes to the disk, in order.

use std::fs;
use std::path::Path;

/// One change to the disk.
#[derive(Debug)]
pub struct Entry {
    pub change: Change,
    /// Length of the journal after this entry. A response that arrived when the journal had this length or more came
    /// after the change.
    pub end: u64,
}

/// A call that changed the disk. Files are identified by their inode, which the system may use again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Create {
        file: u64,
        name: String,
    },
    Write {
        file: u64,
        at: u64,
        data: Vec<u8>,
    },
    Size {
        file: u64,
        size: u64,
    },
    Sync {
        file: u64,
    },
    SyncDir {
        name: String,
    },
    Unlink {
        name: String,
    },
    MakeDir {
        name: String,
    },
    /// A failed sync, after which the system dropped the data it had not written.
    LostSync {
        file: u64,
    },
}

impl Change {
    /// Returns `true` if it makes other changes durable.
    pub fn is_sync(&self) -> bool {
        matches!(self, Change::Sync { .. } | Change::SyncDir { .. })
    }
}

/// Reads a journal from this offset to its last complete entry.
pub fn read(path: &Path, from: u64) -> Vec<Entry> {
    let bytes = fs::read(path).unwrap_or_default();
    let mut rest = &bytes[usize::try_from(from).unwrap().min(bytes.len())..];
    let mut entries = Vec::new();
    while let Some((change, after)) = entry(rest) {
        rest = after;
        entries.push(Entry { change, end: (bytes.len() - rest.len()) as u64 });
    }
    entries
}

/// The current length of a journal.
pub fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |journal| journal.len())
}

/// Parses an entry as the shim writes it: four numbers of 4 bytes, three of 8, a name, and data.
fn entry(bytes: &[u8]) -> Option<(Change, &[u8])> {
    const HEAD: usize = 40;
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let short = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
    let (name, rest) = rest.split_at_checked(short(4) as usize)?;
    let (data, rest) = rest.split_at_checked(short(8) as usize)?;
    let name = String::from_utf8(name.to_vec()).unwrap();
    let (file, at) = (long(16), long(24));
    let change = match short(0) {
        1 => Change::Create { file, name },
        2 => Change::Write { file, at, data: data.to_vec() },
        3 => Change::Size { file, size: at },
        4 => Change::Sync { file },
        5 => Change::SyncDir { name },
        6 => Change::Unlink { name },
        7 => panic!("{name} was renamed, which the model of the disk does not support"),
        8 => Change::MakeDir { name },
        9 => Change::LostSync { file },
        other => panic!("an unknown kind of entry: {other}"),
    };
    Some((change, rest))
}
