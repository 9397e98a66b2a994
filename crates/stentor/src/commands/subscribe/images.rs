//! Saves images as files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;
use stentor_client::EventObject;

use crate::data_url::Image;

/// Maximum number of bytes of an id within a file name: twice the length of the ids of a Stentor server.
const ID_BYTES_MAX: usize = 64;

/// The directory for `--save-images`.
#[derive(Debug)]
pub(super) struct Images {
    directory: PathBuf,
    /// Number of images named by a number.
    numbered: u64,
}

impl Images {
    /// Creates the directory if it is missing.
    pub(super) fn new(directory: &Path) -> anyhow::Result<Images> {
        fs::create_dir_all(directory).with_context(|| cannot_write(directory))?;
        Ok(Images { directory: directory.to_owned(), numbered: 0 })
    }

    /// Writes the event's data to a file if it is an image, and returns the path.
    pub(super) fn save(&mut self, event: &EventObject) -> anyhow::Result<Option<PathBuf>> {
        let Some(image) = Image::decode(&event.data) else { return Ok(None) };
        let name = format!("{}.{}", self.name(event), image.extension());
        let path = self.directory.join(&name);
        // The rename is atomic, so that other programs never see half an image.
        let unfinished = self.directory.join(format!(".{name}.{}", std::process::id()));
        let written =
            write(&unfinished, &image.bytes).and_then(|()| fs::rename(&unfinished, &path));
        written.with_context(|| cannot_write(&path))?;
        Ok(Some(path))
    }

    /// Returns a name that sorts by time and cannot point outside the directory. An event of a Stentor
    /// server has a time and a unique id, so it gets the same name each time it is received.
    fn name(&mut self, event: &EventObject) -> String {
        let published = event.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
        let id = event.id.as_deref().filter(|id| is_safe(id));
        if let (Some(time), Some(id)) = (published, id) {
            return format!("{}-{id}", time.strftime("%Y%m%dT%H%M%S%.3fZ"));
        }
        self.numbered += 1;
        let now = Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
        format!("{now}-{:06}", self.numbered)
    }
}

/// `true` if the id can be part of a file name.
fn is_safe(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_plain)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, time: Option<&str>, data: &str) -> EventObject {
        EventObject {
            id: Some(id.to_owned()),
            topic: None,
            event_type: "message".to_owned(),
            time: time.map(str::to_owned),
            data: data.to_owned(),
            retry: None,
        }
    }

    #[test]
    fn a_repeated_event_gets_the_same_name() {
        let directory = tempfile::tempdir().unwrap();
        let mut images = Images::new(directory.path()).unwrap();
        let event = event("1abc_5", Some("2026-01-02T03:04:05.678Z"), "");
        assert_eq!(images.name(&event), "20260102T030405.678Z-1abc_5");
        assert_eq!(images.name(&event), "20260102T030405.678Z-1abc_5");
    }

    #[test]
    fn an_event_without_a_time_or_with_an_odd_id_gets_a_number() {
        let directory = tempfile::tempdir().unwrap();
        let mut images = Images::new(directory.path()).unwrap();
        let time = Some("2026-01-02T03:04:05.678Z");
        let long = "x".repeat(ID_BYTES_MAX + 1);
        for (number, event) in (1..).zip([
            event("1abc_5", None, ""),
            event("../../etc/passwd", time, ""),
            event("", time, ""),
            event(&long, time, ""),
            event("1abc_5", Some("/../x"), ""),
        ]) {
            let name = images.name(&event);
            let (time, ending) = name.split_once('-').unwrap();
            assert_eq!(ending, format!("{number:06}"));
            assert!(
                time.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'),
                "{name}"
            );
        }
    }
}
