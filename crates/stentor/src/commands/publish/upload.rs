//! Uploads of files with many events.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{Stream, TryFutureExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use stentor_client::{Publish, PublishError, Published, Publisher};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::options::Extras;
use super::retry;

/// Minimum size in bytes of an upload with a progress bar.
const LONG_BYTES: u64 = 1 << 20;

/// Number of bytes that are read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Uploads a file in chunks. If the connection breaks, repeats the upload with the same key, which
/// publishes only the missing events.
pub(super) async fn upload(
    publisher: &Publisher,
    topic: &str,
    path: &Path,
    content_type: &str,
    extras: &Extras<'_>,
) -> Result<Published, PublishError> {
    let bar = bar(std::fs::metadata(path).map_or(0, |file| file.len()));
    let uploading = retry::until_done(async || {
        bar.reset();
        let chunks = chunks(path.to_owned(), bar.clone());
        publisher.upload(topic, extras.apply(Publish::stream(content_type, chunks))).await
    });
    let result = uploading.await;
    bar.finish_and_clear();
    result
}

fn chunks(path: PathBuf, bar: ProgressBar) -> impl Stream<Item = io::Result<Bytes>> {
    let name = path.display().to_string();
    let named = move |error| io::Error::other(format!("cannot read {name}: {error}"));
    File::open(path)
        .map_ok(|file| ReaderStream::with_capacity(file, CHUNK_BYTES))
        .try_flatten_stream()
        .inspect_ok(move |chunk| bar.inc(chunk.len() as u64))
        .map_err(named)
}

/// Returns a progress bar, which shows only on a terminal and for a long upload.
fn bar(length: u64) -> ProgressBar {
    if length < LONG_BYTES {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} left");
    let bar = ProgressBar::new(length);
    style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
}
