//! Relative links in Markdown.

use crate::repository::{self, File};

/// The relative links of a Markdown file whose target does not exist, each with its line number.
pub fn broken(file: &File) -> Vec<(usize, String)> {
    let folder = repository::root().join(&file.path);
    let Some(folder) = folder.parent() else { return Vec::new() };
    let mut broken = Vec::new();
    let mut in_code = false;
    for (index, line) in file.text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        for target in targets(line) {
            let path = target.split('#').next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !elsewhere && !folder.join(path).exists() {
                broken.push((index + 1, target.to_owned()));
            }
        }
    }
    broken
}

/// The targets of the links in a line: `[text](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}
