//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold no sources.
const SKIPPED: [&str; 5] = ["target", ".git", "node_modules", "__pycache__", "stentor-data"];

/// A text file of the repository.
#[derive(Clone, Debug)]
pub struct File {
    /// Path relative to the root, with `/` between the parts.
    pub path: String,
    /// Contents.
    pub text: String,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads all files below `folder` whose name ends with one of `endings`, sorted by path.
///
/// # Panics
///
/// Panics if a folder or file cannot be read: a check that reads nothing must not pass.
pub fn files(folder: &str, endings: &[&str]) -> Vec<File> {
    let root = root();
    let mut folders = vec![root.join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
                let path = path.strip_prefix(&root).unwrap_or(&path);
                files.push(File { path: path.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}
