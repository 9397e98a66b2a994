//! Splits a Rust file into code, comments and string literals.

/// A part of a Rust file. `line` counts from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Line on which it begins.
    pub line: usize,
    /// Kind of text.
    pub kind: Kind,
    /// Text without comment markers or quotes.
    pub text: String,
}

/// Kind of a [`Piece`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A line comment: `//`, `///` or `//!`.
    Comment,
    /// A string literal of any form.
    Literal,
}

/// A Rust file, split.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// Comments and string literals, in order.
    pub pieces: Vec<Piece>,
    /// Code with comments blanked out and literals emptied; line breaks stay.
    pub code: String,
}

/// Splits a Rust file. Block comments are dropped: rustfmt's style has none.
pub fn split(text: &str) -> Split {
    Splitter { chars: text.chars().collect(), at: 0, line: 1, out: Split::default() }.run()
}

struct Splitter {
    chars: Vec<char>,
    at: usize,
    line: usize,
    out: Split,
}

impl Splitter {
    fn run(mut self) -> Split {
        while let Some(next) = self.peek(0) {
            match next {
                '/' if self.peek(1) == Some('/') => self.line_comment(),
                '/' if self.peek(1) == Some('*') => self.block_comment(),
                '"' => self.literal(),
                'r' | 'b' | 'c' if !self.after_word() => self.prefixed(),
                '\'' => self.quote(),
                _ => self.code(),
            }
        }
        self.out
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Takes one character, which is not code.
    fn skip(&mut self) -> Option<char> {
        let next = self.peek(0)?;
        self.at += 1;
        if next == '\n' {
            self.line += 1;
            self.out.code.push('\n');
        }
        Some(next)
    }

    fn code(&mut self) {
        if let Some(next) = self.skip().filter(|next| *next != '\n') {
            self.out.code.push(next);
        }
    }

    /// `true` if the next character continues an identifier.
    fn after_word(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.chars.get(at));
        before.is_some_and(|before| before.is_alphanumeric() || *before == '_')
    }

    fn line_comment(&mut self) {
        let line = self.line;
        let mut text = String::new();
        while let Some(next) = self.peek(0).filter(|next| *next != '\n') {
            text.push(next);
            self.at += 1;
        }
        let text = text.trim_start_matches('/').trim_start_matches('!').trim().to_owned();
        self.out.pieces.push(Piece { line, kind: Kind::Comment, text });
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.peek(0).is_some() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth = depth.saturating_sub(1),
                _ => {
                    self.skip();
                    continue;
                }
            }
            self.at += 2;
            if depth == 0 {
                return;
            }
        }
    }

    /// A string literal with escapes, at its opening quote.
    fn literal(&mut self) {
        let line = self.line;
        let mut text = String::new();
        self.at += 1;
        while let Some(next) = self.skip() {
            match next {
                '"' => break,
                '\\' => {
                    // A backslash at the end of a line joins the lines.
                    if self.skip() == Some('\n') {
                        while self.peek(0).is_some_and(char::is_whitespace) {
                            self.skip();
                        }
                    }
                }
                other => text.push(other),
            }
        }
        self.keep_literal(line, text);
    }

    /// A literal with a prefix (`r"`, `br#"`, `b'`, …), or an identifier that begins like one.
    fn prefixed(&mut self) {
        let mut ahead = 0;
        while matches!(self.peek(ahead), Some('r' | 'b' | 'c')) && ahead < 2 {
            ahead += 1;
        }
        let mut hashes = 0;
        while self.peek(ahead + hashes) == Some('#') {
            hashes += 1;
        }
        let raw = self.peek(ahead - 1) == Some('r');
        if self.peek(ahead + hashes) != Some('"') || (hashes > 0 && !raw) {
            return self.code();
        }
        self.at += ahead;
        if !raw {
            return self.literal();
        }
        let line = self.line;
        self.at += hashes + 1;
        let mut text = String::new();
        while let Some(next) = self.skip() {
            if next == '"' && (0..hashes).all(|hash| self.peek(hash) == Some('#')) {
                self.at += hashes;
                break;
            }
            text.push(next);
        }
        self.keep_literal(line, text);
    }

    /// A character literal or a lifetime.
    fn quote(&mut self) {
        let escaped = self.peek(1) == Some('\\');
        if escaped || self.peek(2) == Some('\'') {
            self.at += if escaped { 3 } else { 2 };
            while self.peek(0).is_some_and(|next| next != '\'') {
                self.at += 1;
            }
            self.at += 1;
            self.out.code.push_str("' '");
        } else {
            self.code();
        }
    }

    fn keep_literal(&mut self, line: usize, text: String) {
        self.out.code.push_str("\"\"");
        self.out.pieces.push(Piece { line, kind: Kind::Literal, text });
    }
}

/// The code before its unit tests (`#[cfg(test)] mod tests`).
pub fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod tests {").next().unwrap_or(code)
}
