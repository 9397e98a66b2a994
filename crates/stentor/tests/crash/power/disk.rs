//! A disk that loses power.
//!
//! The model allows everything that ext4, xfs and btrfs may do, and a little more:
//!
//! - Synced data survives. A sync of a file covers all writes before it, the file's size, and for a new file its name
//!   and the directories above it. A sync of a directory covers the names in it.
//! - The creation or removal of a name that was not synced survives or not. Changes of one name survive in their
//!   order; changes of different names are independent.
//! - Writes to a file that were not synced survive or not, in any order: see [`Content`].
//! - After a failed sync the system may have dropped the data it could not write. A later successful sync does not
//!   bring it back.
//!
//! It assumes one thing of the disk: synced data is not lost or changed later.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use fastrand::Rng;

use super::content::{Content, Survival};
use super::journal::Change;

/// The content of the disk, and the changes that have not reached it.
#[derive(Default)]
pub struct Disk {
    files: Vec<Content>,
    /// The current file of each inode, or the last one.
    inodes: HashMap<u64, usize>,
    /// Sorted by name, so a directory precedes its content.
    names: BTreeMap<String, Name>,
}

/// The object with a name; none at first.
#[derive(Default)]
struct Name {
    synced: Option<Node>,
    since: Vec<Option<Node>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

impl Disk {
    /// Applies a change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Create { file, name } => {
                let new = self.files.len();
                self.inodes.insert(*file, new);
                self.name(name).since.push(Some(Node::File(new)));
                self.files.push(Content::default());
            }
            Change::MakeDir { name } => self.name(name).since.push(Some(Node::Directory)),
            Change::Unlink { name } => self.name(name).since.push(None),
            Change::Write { file, at, data } => self.content(*file).write(*at, data),
            Change::Size { file, size } => self.content(*file).set_size(*size),
            Change::LostSync { file } => self.content(*file).forget(),
            Change::Sync { file } => {
                self.content(*file).sync();
                self.find(Node::File(self.inodes[file]));
            }
            Change::SyncDir { name: dir } => {
                for (name, what) in &mut self.names {
                    if parent(name) == dir {
                        what.sync_through(what.since.len());
                    }
                }
            }
        }
    }

    /// Writes a possible content of the disk after a power failure into an empty directory.
    pub fn write_survivors(&self, survival: Survival, rng: &mut Rng, root: &Path) {
        for (name, what) in &self.names {
            let path = root.join(name);
            match what.survivors(survival, rng) {
                Some(Node::Directory) => fs::create_dir(path).unwrap(),
                // If the directory is missing, so is its content.
                Some(Node::File(file)) if path.parent().unwrap().exists() => {
                    fs::write(path, self.files[file].survivors(survival, rng)).unwrap();
                }
                Some(Node::File(_)) | None => {}
            }
        }
    }

    fn name(&mut self, name: &str) -> &mut Name {
        self.names.entry(name.to_owned()).or_default()
    }

    fn content(&mut self, inode: u64) -> &mut Content {
        &mut self.files[self.inodes[&inode]]
    }

    /// Makes a synced object reachable: its names, and the directories above it.
    fn find(&mut self, node: Node) {
        let mut above = Vec::new();
        for (name, what) in &mut self.names {
            if let Some(at) = what.since.iter().position(|since| *since == Some(node)) {
                what.sync_through(at + 1);
                above.push(parent(name).to_owned());
            }
        }
        for dir in above.into_iter().filter(|dir| !dir.is_empty()) {
            self.find_dir(&dir);
        }
    }

    fn find_dir(&mut self, dir: &str) {
        let what = self.name(dir);
        what.sync_through(what.since.len());
        if !parent(dir).is_empty() {
            self.find_dir(parent(dir));
        }
    }
}

impl Name {
    fn sync_through(&mut self, count: usize) {
        if let Some(last) = self.since.drain(..count).next_back() {
            self.synced = last;
        }
    }

    fn survivors(&self, survival: Survival, rng: &mut Rng) -> Option<Node> {
        let survive = match survival {
            Survival::Synced => 0,
            Survival::All => self.since.len(),
            Survival::Some => rng.usize(..=self.since.len()),
        };
        survive.checked_sub(1).map_or(self.synced, |last| self.since[last])
    }
}

/// The directory of a name; "" for the root.
fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}
