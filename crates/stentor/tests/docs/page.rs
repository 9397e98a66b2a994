//! The code blocks of a page in docs/.

use std::path::Path;

/// A block of code.
pub struct Block {
    /// Line number of the first line of code, counted from 1.
    pub line: usize,
    pub code: String,
}

/// Returns the code blocks of a page that are marked with this language and nothing else.
pub fn blocks(page: &str, language: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let fence = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line == fence {
            let code: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            blocks.push(Block { line: number + 2, code: code.join("\n") });
        }
    }
    assert!(!blocks.is_empty(), "{page} has no {language} block");
    blocks
}
