//! Where that comes from which is published.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use stentor_client::Publish;

use super::content_type::{TEXT, by_content, by_name, is_streamed};

/// The bound of what is read whole from stdin or a file: 64 MiB, well above what an event may have.
const BODY_BYTES_MAX: u64 = 64 << 20;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct InputArgs {
    /// What to publish, as text. Without it, or as `-`, all of stdin.
    #[arg(allow_negative_numbers = true)]
    data: Option<String>,

    /// Publish each line of stdin by itself, as it comes. Blank ones are skipped. While the server is
    /// away they wait.
    #[arg(long, conflicts_with_all = ["data", "file", "from", "content_type", "repeat", "every"])]
    pub(super) lines: bool,

    /// Publish this file; its name tells the content type. Of an image readers get a `data:` URL; of
    /// an .ndjson or .jsonl file each line is an event, of an .sse file each event. Repeatable.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["data", "from"])]
    file: Vec<PathBuf>,

    /// The content type of the file or of stdin, such as `image/png`.
    #[arg(long, value_name = "TYPE", conflicts_with = "from")]
    content_type: Option<String>,
}

/// One thing to publish.
#[derive(Debug)]
pub(super) enum Input {
    Whole(Body),
    /// A file of many events, which is not read whole.
    Upload {
        path: PathBuf,
        content_type: String,
    },
}

/// A body that is held in memory.
#[derive(Debug)]
pub(super) struct Body {
    content_type: String,
    bytes: Bytes,
    /// The text of the command line, in which a number may stand.
    text: Option<String>,
}

impl InputArgs {
    /// How many things there are to publish.
    pub(super) fn count(&self) -> usize {
        self.file.len().max(1)
    }

    /// One of them; if the topic is to end, that may be nothing.
    pub(super) fn input(&self, index: usize, ends: bool) -> anyhow::Result<Input> {
        match self.file.get(index) {
            Some(path) => self.of_file(path),
            None => Ok(Input::Whole(self.body(ends)?)),
        }
    }

    /// The one thing that is to be published.
    pub(super) fn body(&self, ends: bool) -> anyhow::Result<Body> {
        match (self.file.as_slice(), self.data.as_deref()) {
            ([], Some(text)) if text != "-" => {
                Ok(Body { text: Some(text.to_owned()), ..self.of_type(Some(TEXT), text) })
            }
            // Nobody is about to type: the topic only ends.
            ([], None) if ends && std::io::stdin().is_terminal() => {
                Ok(self.of_type(Some(TEXT), ""))
            }
            ([], _) => {
                let body = read(std::io::stdin()).context("stdin cannot be published")?;
                Ok(self.of_type(Some(TEXT), body))
            }
            ([path], _) => self.whole_file(path),
            _ => bail!("one file can be repeated, not several"),
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
        let body = std::fs::File::open(path).map_err(anyhow::Error::from).and_then(read);
        let body = body.with_context(|| format!("{} cannot be published", path.display()))?;
        Ok(self.of_type(by_name(path), body))
    }

    fn of_type(&self, content_type: Option<&str>, body: impl Into<Vec<u8>>) -> Body {
        let bytes = Bytes::from(body.into());
        let content_type = self.content_type.as_deref().or(content_type);
        let content_type = content_type.unwrap_or_else(|| by_content(&bytes)).to_owned();
        Body { content_type, bytes, text: None }
    }
}

impl Body {
    pub(super) fn publish(&self) -> Publish {
        Publish::body(&self.content_type, self.bytes.clone())
    }

    /// The same with its number, where that is to stand.
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
        bail!("it has more than {} MiB; publish it in parts", BODY_BYTES_MAX >> 20);
    }
    Ok(body)
}
