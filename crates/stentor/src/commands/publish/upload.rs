//! Files of many events.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{Stream, TryFutureExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use stentor_client::{Publish, PublishError, Published, Publisher};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::{Extras, retry};

/// From how many bytes on an upload is worth a progress bar.
const LONG_BYTES: u64 = 1 << 20;

/// How many bytes are read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Uploads a file without holding more of it than a piece. If the connection breaks, it is uploaded
/// again under the same key, which publishes what is missing.
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
        let pieces = pieces(path.to_owned(), bar.clone());
        publisher.upload(topic, extras.apply(Publish::stream(content_type, pieces))).await
    });
    let answer = uploading.await;
    bar.finish_and_clear();
    answer
}

fn pieces(path: PathBuf, bar: ProgressBar) -> impl Stream<Item = io::Result<Bytes>> {
    let name = path.display().to_string();
    let named = move |error| io::Error::other(format!("{name} cannot be read: {error}"));
    File::open(path)
        .map_ok(|file| ReaderStream::with_capacity(file, PIECE_BYTES))
        .try_flatten_stream()
        .inspect_ok(move |piece| bar.inc(piece.len() as u64))
        .map_err(named)
}

/// How far an upload of this length is: on a terminal, and if it is long.
fn bar(length: u64) -> ProgressBar {
    if length < LONG_BYTES {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} to go");
    let bar = ProgressBar::new(length);
    style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
}
