//! Prose is plain: `docs/style.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test panics")]

use tidy::prose::{self, Block};
use tidy::repository::{self, File};
use tidy::words;

/// Maximum length of a line of a comment or of a paragraph in the docs, in characters.
const LINE_CHARS_MAX: usize = 120;

/// Files that quote banned words and openings.
const QUOTING: [&str; 3] = ["docs/style.md", "tidy/src/words.rs", "tidy/tests/words.rs"];

/// Maximum share of sentences with a banned opening: one in this number.
const OPENINGS_ONE_IN: usize = 100;

fn read(folder: &str, endings: &[&str]) -> Vec<File> {
    let mut files = repository::files(folder, endings);
    files.retain(|file| !QUOTING.contains(&file.path.as_str()));
    files
}

fn rust() -> Vec<File> {
    [read("crates", &[".rs"]), read("bench", &[".rs"]), read("tidy", &[".rs"])].concat()
}

/// All blocks of prose except those in Markdown files.
fn code_prose() -> Vec<Block> {
    let rust = rust();
    let product = |file: &&File| file.path.contains("/src/") && !file.path.contains("/tests");
    let comments = rust.iter().flat_map(prose::comments);
    let literals = rust.iter().filter(product).flat_map(prose::literals);
    let others = [
        read("crates", &[".html", ".js", ".css", ".toml", ".c"]),
        read("bench", &[".py", ".toml"]),
        read(".ci", &["run"]),
    ]
    .concat();
    let texts: Vec<Block> = others.iter().flat_map(prose::texts).collect();
    comments.chain(literals).chain(texts).collect()
}

fn markdown() -> Vec<File> {
    read(".", &[".md"])
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} places:\n{}", faults.len(), faults.join("\n"));
}

fn banned(blocks: &[Block]) -> Vec<String> {
    let mut faults = Vec::new();
    for block in blocks {
        for (word, instead) in words::banned_in(&block.text()) {
            faults.push(format!("{}:{}: `{word}`: write {instead}", block.path, block.line));
        }
    }
    faults
}

#[test]
fn code_and_its_comments_use_plain_words() {
    assert_none(&banned(&code_prose()));
}

#[test]
fn the_docs_use_plain_words() {
    let blocks: Vec<Block> = markdown().iter().flat_map(prose::paragraphs).collect();
    assert_none(&banned(&blocks));
}

#[test]
fn comments_open_with_a_noun_or_a_verb() {
    let (mut all, mut faults) = (0, Vec::new());
    for block in rust().iter().flat_map(prose::comments) {
        for (line, sentence) in block.sentences() {
            all += 1;
            if let Some(opening) = words::opening_of(sentence) {
                faults.push(format!("{}:{line}: opens with {opening}", block.path));
            }
        }
    }
    let allowed = all / OPENINGS_ONE_IN;
    assert!(faults.len() < allowed, "{} of {all}:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_docs_open_with_a_noun_or_a_verb() {
    let mut faults = Vec::new();
    for block in markdown().iter().flat_map(prose::paragraphs) {
        for (line, sentence) in block.sentences() {
            if let Some(opening) = words::opening_of(sentence) {
                faults.push(format!("{}:{line}: opens with {opening}", block.path));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn no_doc_comment_refers_to_the_item_above_it() {
    let mut faults = Vec::new();
    for block in rust().iter().flat_map(prose::comments) {
        let first = block.lines.iter().find(|line| !line.is_empty());
        if first.is_some_and(|line| line.starts_with("The same") || line.starts_with("See above")) {
            faults.push(format!("{}:{}", block.path, block.line));
        }
    }
    assert_none(&faults);
}

#[test]
fn lines_of_prose_fit_on_a_screen() {
    let mut faults = Vec::new();
    for file in rust() {
        for (index, line) in file.text.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            if is_comment && line.chars().count() > LINE_CHARS_MAX {
                faults.push(format!("{}:{}", file.path, index + 1));
            }
        }
    }
    for block in markdown().iter().flat_map(prose::paragraphs) {
        for (index, line) in block.lines.iter().enumerate() {
            let is_table = line.starts_with('|');
            if !is_table && line.chars().count() > LINE_CHARS_MAX {
                faults.push(format!("{}:{}", block.path, block.line + index));
            }
        }
    }
    assert_none(&faults);
}
