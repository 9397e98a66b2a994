//! A disk that loses power.
//!
//! The model takes every freedom that ext4, xfs and btrfs have, and a few more:
//!
//! - What was synced is there. A sync of a file covers what was written before it began, the file's size,
//!   and for a new file its name and the directories above. A sync of a directory covers the names in it.
//! - A name whose making or removing was not synced is there or not. What happened to one name survives in
//!   its order; different names know nothing of each other.
//! - What was written to a file and not synced survives or not, in any order: see [`Content`].
//! - After a sync that failed, the system may have forgotten what it could not write: a later sync that
//!   succeeds does not bring it back.
//!
//! It trusts the disk in one thing: what is synced is neither lost nor changed later.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use fastrand::Rng;

use super::content::{Content, Left};
use super::journal::Change;

/// What is on the disk and what is on its way there.
#[derive(Default)]
pub struct Disk {
    files: Vec<Content>,
    /// The files by the inode that they have, or had last.
    inodes: HashMap<u64, usize>,
    /// In an order in which directories come before what is in them.
    names: BTreeMap<String, Name>,
}

/// What a name stands for: nothing at first.
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
    /// Makes a change.
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

    /// Writes what may be left of the disk, should the power fail now, into an empty directory.
    pub fn leave(&self, left: Left, rng: &mut Rng, root: &Path) {
        for (name, what) in &self.names {
            let path = root.join(name);
            match what.left(left, rng) {
                Some(Node::Directory) => fs::create_dir(path).unwrap(),
                // Where the directory is missing, so is what was in it.
                Some(Node::File(file)) if path.parent().unwrap().exists() => {
                    fs::write(path, self.files[file].left(left, rng)).unwrap();
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

    /// What was synced can be found: its names are there, and the directories above.
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

    fn left(&self, left: Left, rng: &mut Rng) -> Option<Node> {
        let survive = match left {
            Left::Synced => 0,
            Left::All => self.since.len(),
            Left::Some => rng.usize(..=self.since.len()),
        };
        survive.checked_sub(1).map_or(self.synced, |last| self.since[last])
    }
}

/// The directory of a name; the root is "".
fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}
