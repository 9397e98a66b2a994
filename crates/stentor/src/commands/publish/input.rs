//! Input of `stentor pub`: argument, stdin or files.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::{Buf, Bytes};
use stentor_client::Publish;

use super::content_type::{BOM, TEXT, by_content, by_name, is_streamed, is_text};
use crate::files::open_file;
use crate::usage::UsageError;
use crate::values;

/// Maximum number of bytes that are read whole from stdin or a file: above the limit of an event.
const BODY_BYTES_MAX: u64 = 64 << 20;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct InputArgs {
    /// Text to publish [default, or `-`: all of stdin].
    #[arg(allow_negative_numbers = true)]
    data: Option<String>,

    /// Publish each line of stdin as it arrives. Skips blank lines; waits while the server is away.
    #[arg(long, conflicts_with_all = ["data", "file", "from", "content_type", "repeat", "every"])]
    pub(super) lines: bool,

    /// Publish a file. The content type is guessed from its name. Images become `data:` URLs; every line
    /// of .ndjson or .jsonl, and every event of .sse, becomes an event. Repeatable.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["data", "from"])]
    file: Vec<PathBuf>,

    /// Content type of the file or of stdin, such as `image/png` [default: guessed].
    #[arg(long, value_name = "TYPE", value_parser = values::header_value, conflicts_with = "from")]
    content_type: Option<String>,
}

/// One input to publish.
#[derive(Debug)]
pub(super) enum Input {
    /// A single event.
    Whole(Body),
    /// A file of many events, which is read in chunks.
    Upload { path: PathBuf, content_type: String },
}

/// A body in memory.
#[derive(Debug)]
pub(super) struct Body {
    content_type: String,
    bytes: Bytes,
    /// The text of the command line, in which `{i}` is replaced.
    text: Option<String>,
}

impl InputArgs {
    /// Returns the number of inputs.
    pub(super) fn count(&self) -> usize {
        self.file.len().max(1)
    }

    /// Reads an input. If `ends`, it can be empty.
    pub(super) fn input(&self, index: usize, ends: bool) -> anyhow::Result<Input> {
        match self.file.get(index) {
            Some(path) => self.of_file(path),
            None => Ok(Input::Whole(self.body(ends)?)),
        }
    }

    /// Reads the only input.
    pub(super) fn body(&self, ends: bool) -> anyhow::Result<Body> {
        match (self.file.as_slice(), self.data.as_deref()) {
            ([], Some(text)) if text != "-" => {
                Ok(Body { text: Some(text.to_owned()), ..self.of_type(Some(TEXT), text) })
            }
            // `--end` alone, on a terminal: do not wait for the user to type.
            ([], None) if ends && std::io::stdin().is_terminal() => {
                Ok(self.of_type(Some(TEXT), ""))
            }
            ([], _) => {
                let body = read(std::io::stdin()).context("cannot publish stdin")?;
                Ok(self.of_type(Some(TEXT), body))
            }
            ([path], _) => self.whole_file(path),
            _ => Err(UsageError::new("--repeat and --every take one --file; give only one").into()),
        }
    }

    fn of_file(&self, path: &Path) -> anyhow::Result<Input> {
        let content_type = self.content_type.as_deref().or_else(|| by_name(path));
        Ok(match content_type.filter(|content_type| is_streamed(content_type)) {
            Some(content_type) => {
                Input::Upload { path: path.to_owned(), content_type: content_type.to_owned() }
            }
            None => Input::Whole(self.whole_file(path)?),
        })
    }

    fn whole_file(&self, path: &Path) -> anyhow::Result<Body> {
        let body = open_file(path).and_then(read);
        let body = body.with_context(|| format!("cannot publish {}", path.display()))?;
        Ok(self.of_type(by_name(path), body))
    }

    fn of_type(&self, content_type: Option<&str>, body: impl Into<Vec<u8>>) -> Body {
        let mut bytes = Bytes::from(body.into());
        let content_type = self.content_type.as_deref().or(content_type);
        let content_type = content_type.unwrap_or_else(|| by_content(&bytes)).to_owned();
        if !self.file.is_empty() && is_text(&content_type) && bytes.starts_with(BOM) {
            bytes.advance(BOM.len());
        }
        Body { content_type, bytes, text: None }
    }
}

impl Body {
    pub(super) fn publish(&self) -> Publish {
        Publish::body(&self.content_type, self.bytes.clone())
    }

    /// Returns the body with `{i}` replaced by the number.
    pub(super) fn numbered(&self, number: u64) -> Publish {
        match &self.text {
            Some(text) => {
                Publish::body(&self.content_type, text.replace("{i}", &number.to_string()))
            }
            None => self.publish(),
        }
    }
}

fn read(input: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    input.take(BODY_BYTES_MAX + 1).read_to_end(&mut body)?;
    if body.len() as u64 > BODY_BYTES_MAX {
        bail!("the input is larger than {} MiB; publish it in parts", BODY_BYTES_MAX >> 20);
    }
    Ok(body)
}
