//! Checks of the repository that the compiler does not make. They read the sources as text.
//!
//! ```sh
//! cargo test -p tidy                 # all checks
//! cargo run -p tidy -- sample 7      # ten doc comments, help texts and doc paragraphs, drawn with the seed 7
//! cargo run -p tidy -- openings      # share of comments that open with a clause instead of a noun
//! ```
//!
//! - [`repository`] finds the files.
//! - [`rust`] splits a Rust file into code, comments and string literals.
//! - [`prose`] finds the texts that people read: comments, help texts, Markdown paragraphs, texts of web pages.
//! - [`words`] contains the banned openings, and the banned words with their replacements.
//! - [`modules`] builds the import graph of a crate and finds its cycles.
//! - [`links`] finds relative links in Markdown whose target does not exist.

pub mod links;
pub mod modules;
pub mod prose;
pub mod repository;
pub mod rust;
pub mod words;
