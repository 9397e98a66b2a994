//! Texts that people read: comments, help texts, Markdown paragraphs, texts of web pages.

use crate::repository::File;
use crate::rust::{self, Kind};

/// A block of prose with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Path of the file.
    pub path: String,
    /// Number of the first line, from 1.
    pub line: usize,
    /// Lines, without markers.
    pub lines: Vec<String>,
}

impl Block {
    /// The text in one line.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// Lines that begin a sentence, each with its number: the first line, and every line that follows an empty line
    /// or the end of a sentence.
    pub fn sentences(&self) -> impl Iterator<Item = (usize, &str)> {
        let before = std::iter::once("").chain(self.lines.iter().map(String::as_str));
        let lines = self.lines.iter().enumerate().zip(before);
        lines.filter_map(|((index, line), before)| {
            let begins = before.is_empty() || before.ends_with(['.', '!', '?', ':', '`', '|']);
            (begins && !line.is_empty()).then_some((self.line + index, line.as_str()))
        })
    }
}

/// The blocks of comments of a Rust file, without code examples.
pub fn comments(file: &File) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut in_code = false;
    for piece in rust::split(&file.text).pieces {
        if piece.kind != Kind::Comment {
            continue;
        }
        let continues =
            blocks.last().is_some_and(|block| block.line + block.lines.len() == piece.line);
        if !continues {
            in_code = false;
            blocks.push(Block { path: file.path.clone(), line: piece.line, lines: Vec::new() });
        }
        let fence = piece.text.starts_with("```");
        let line = if fence || in_code { String::new() } else { piece.text };
        in_code ^= fence;
        if let Some(block) = blocks.last_mut() {
            block.lines.push(line);
        }
    }
    blocks.retain(|block| block.lines.iter().any(|line| !line.is_empty()));
    blocks
}

/// The doc comments of a file that clap shows as help: those inside items that derive one of clap's traits.
pub fn help_texts(file: &File) -> Vec<Block> {
    let mut inside = Vec::new();
    let mut derives = false;
    let mut depth = false;
    for (index, line) in file.text.lines().enumerate() {
        if line.starts_with("#[derive(") {
            let traits = ["Args", "Parser", "Subcommand", "ValueEnum"];
            derives = traits.iter().any(|name| line.contains(name));
        }
        if derives
            && (line.starts_with("pub") || line.starts_with("struct") || line.starts_with("enum"))
        {
            depth = line.ends_with('{');
            derives = false;
        }
        if line == "}" {
            depth = false;
        }
        if depth {
            inside.push(index + 1);
        }
    }
    let mut blocks = comments(file);
    blocks.retain(|block| inside.contains(&block.line));
    blocks
}

/// The string literals of a Rust file that look like a sentence: several words.
pub fn literals(file: &File) -> Vec<Block> {
    let split = rust::split(&file.text);
    let literals = split.pieces.into_iter().filter(|piece| piece.kind == Kind::Literal);
    let sentences = literals.filter(|piece| piece.text.split_whitespace().count() >= 3);
    sentences
        .map(|piece| Block {
            path: file.path.clone(),
            line: piece.line,
            lines: piece.text.lines().map(str::to_owned).collect(),
        })
        .collect()
}

/// The paragraphs, list items, headings and table rows of a Markdown file, without code blocks. Each row is a block.
pub fn paragraphs(file: &File) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut in_code = false;
    let mut open = false;
    for (index, line) in file.text.lines().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") {
            in_code = !in_code;
            open = false;
            continue;
        }
        if in_code || trimmed.is_empty() {
            open = false;
            continue;
        }
        let starts = trimmed.starts_with(['#', '|', '-', '*', '>'])
            || trimmed.starts_with(|first: char| first.is_ascii_digit());
        if !open || starts {
            blocks.push(Block { path: file.path.clone(), line: index + 1, lines: Vec::new() });
        }
        open = !trimmed.starts_with(['#', '|']);
        if let Some(block) = blocks.last_mut() {
            block.lines.push(trimmed.to_owned());
        }
    }
    blocks
}

/// The lines of web pages and scripts that contain text: all lines of HTML and JavaScript, comment lines of other
/// files.
pub fn texts(file: &File) -> Vec<Block> {
    let ending = file.path.rsplit('.').next();
    let whole = matches!(ending, Some("html" | "js"));
    let is_comment = |line: &str| line.starts_with(['#', '*']) || line.starts_with("/*");
    let lines = file.text.lines().enumerate();
    lines
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && (whole || is_comment(line)))
        .map(|(line, text)| Block { path: file.path.clone(), line, lines: vec![text.to_owned()] })
        .collect()
}
