//! `stentor pub`.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use stentor_client::{Publish, PublishError, Publisher};

use crate::output::{say, talk};

/// The bound of what is read from stdin or a file: 64 MiB, well above what an event may have.
const BODY_BYTES_MAX: u64 = 64 << 20;

const TEXT: &str = "text/plain; charset=utf-8";

#[derive(Debug, clap::Args)]
pub(crate) struct PubArgs {
    /// The topic.
    topic: String,

    /// What to publish, as text. Without it, or as `-`, all of stdin.
    #[arg(allow_negative_numbers = true)]
    data: Option<String>,

    /// Publish this file; its name tells the content type. Of an image readers get a `data:` URL, of
    /// an .ndjson file one event per line.
    #[arg(long, value_name = "PATH", conflicts_with = "data")]
    file: Option<PathBuf>,

    /// The name of the event, for readers that tell events apart.
    #[arg(long = "type", value_name = "NAME")]
    event_type: Option<String>,

    /// After this the topic has ended, for this reason. Without any data it only ends.
    #[arg(
        long,
        value_name = "REASON",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ""
    )]
    end: Option<String>,

    /// The address of the server.
    #[arg(long, env = "STENTOR_URL", default_value = "http://localhost:8080")]
    url: String,
}

pub(crate) async fn run(args: PubArgs) -> anyhow::Result<ExitCode> {
    let publisher = Publisher::builder(&args.url).attempts_max(1).build()?;
    let answer = publisher.publish(&args.topic, args.publish()?).await.map_err(with_published)?;
    if answer.count != 1 {
        talk(format_args!("published {} events", answer.count));
    }
    if let Some(id) = &answer.last_id {
        say(id)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl PubArgs {
    fn publish(&self) -> anyhow::Result<Publish> {
        let mut publish = match (&self.file, self.data.as_deref()) {
            (Some(path), _) => from_file(path)?,
            (None, Some(data)) if data != "-" => Publish::body(TEXT, data.to_owned()),
            // Nobody is about to type: the topic only ends.
            (None, None) if self.end.is_some() && std::io::stdin().is_terminal() => {
                Publish::body(TEXT, "")
            }
            (None, _) => {
                Publish::body(TEXT, read(std::io::stdin()).context("stdin cannot be published")?)
            }
        };
        if let Some(event_type) = &self.event_type {
            publish = publish.with_type(event_type);
        }
        if let Some(reason) = &self.end {
            publish = publish.and_end(reason);
        }
        Ok(publish)
    }
}

fn from_file(path: &Path) -> anyhow::Result<Publish> {
    let body = std::fs::File::open(path).map_err(anyhow::Error::from).and_then(read);
    let body = body.with_context(|| format!("{} cannot be published", path.display()))?;
    Ok(Publish::body(content_type(path, &body), body))
}

fn read(input: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    input.take(BODY_BYTES_MAX + 1).read_to_end(&mut body)?;
    if body.len() as u64 > BODY_BYTES_MAX {
        bail!("it has more than {} MiB; publish it in parts", BODY_BYTES_MAX >> 20);
    }
    Ok(body)
}

/// The content type by the name of the file. Under a name that says nothing, text is text.
fn content_type(path: &Path, body: &[u8]) -> &'static str {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match extension.as_str() {
        "avif" => "image/avif",
        "css" => "text/css",
        "gif" => "image/gif",
        "html" => "text/html",
        "jpeg" | "jpg" => "image/jpeg",
        "js" => "text/javascript",
        "json" => "application/json",
        "md" => "text/markdown",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "ndjson" => "application/x-ndjson",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => TEXT,
        "webm" => "video/webm",
        "webp" => "image/webp",
        "xml" => "application/xml",
        "yaml" => "application/yaml",
        _ if is_text(body) => TEXT,
        _ => "application/octet-stream",
    }
}

fn is_text(body: &[u8]) -> bool {
    !body.contains(&0) && std::str::from_utf8(body).is_ok()
}

/// The error, with what it left behind.
fn with_published(error: PublishError) -> anyhow::Error {
    let published = match &error {
        PublishError::Refused { problem: Some(problem), .. } => problem.published.unwrap_or(0),
        _ => 0,
    };
    let error = anyhow::Error::from(error);
    if published == 0 { error } else { error.context(format!("stopped after {published} events")) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: PubArgs,
    }

    fn parse(line: &str) -> PubArgs {
        Line::parse_from(std::iter::once("pub").chain(line.split(' '))).args
    }

    #[test]
    fn an_argument_is_text() {
        let publish = parse("news hello --type tick").publish().unwrap();
        assert_eq!(publish, Publish::body(TEXT, "hello").with_type("tick"));
        assert_eq!(parse("news -5").publish().unwrap(), Publish::body(TEXT, "-5"));
    }

    #[test]
    fn an_end_has_a_reason_only_behind_an_equals_sign() {
        let publish = parse("news --end bye").publish().unwrap();
        assert_eq!(publish, Publish::body(TEXT, "bye").and_end(""));
        let publish = parse("news bye --end=done").publish().unwrap();
        assert_eq!(publish, Publish::body(TEXT, "bye").and_end("done"));
    }

    #[test]
    fn the_name_of_a_file_tells_its_type() {
        let of = |name: &str| content_type(Path::new(name), b"\x00\xff");
        assert_eq!(of("a/b.PNG"), "image/png");
        assert_eq!(of("x.tar.json"), "application/json");
        assert_eq!(of("lines.ndjson"), "application/x-ndjson");
        assert_eq!(of("x.bin"), "application/octet-stream");
        assert_eq!(of("png"), "application/octet-stream");
    }

    #[test]
    fn text_under_an_unknown_name_is_text() {
        assert_eq!(content_type(Path::new("server.log"), "grün\n".as_bytes()), TEXT);
        assert_eq!(content_type(Path::new("Makefile"), b"all:\n"), TEXT);
        assert_eq!(content_type(Path::new("latin1.log"), b"gr\xfcn\n"), "application/octet-stream");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = parse("news --file /no/such/file").publish().unwrap_err();
        assert!(
            format!("{error:#}").starts_with("/no/such/file cannot be published: "),
            "{error:#}"
        );
    }
}
