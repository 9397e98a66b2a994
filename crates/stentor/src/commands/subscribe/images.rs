//! Images as files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use stentor_client::EventObject;

/// The bound of an id that is part of a file's name: twice what the ids of our server have.
const ID_BYTES_MAX: usize = 64;

/// As browsers read it, padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The directory that images go to.
#[derive(Debug)]
pub(super) struct Images {
    directory: PathBuf,
    /// How many have got a number for a name.
    numbered: u64,
}

impl Images {
    /// The directory is made if it is not there.
    pub(super) fn new(directory: &Path) -> anyhow::Result<Images> {
        fs::create_dir_all(directory).with_context(|| cannot_write(directory))?;
        Ok(Images { directory: directory.to_owned(), numbered: 0 })
    }

    /// Writes the image that the event's data is, if it is one, and gives the path of the file.
    pub(super) fn save(&mut self, event: &EventObject) -> anyhow::Result<Option<PathBuf>> {
        let Some((extension, image)) = decode(&event.data) else { return Ok(None) };
        let name = format!("{}.{extension}", self.name(event));
        let path = self.directory.join(&name);
        // Nobody sees half an image: it gets its name when it is all there.
        let unfinished = self.directory.join(format!(".{name}.{}", std::process::id()));
        let written = write(&unfinished, &image).and_then(|()| fs::rename(&unfinished, &path));
        written.with_context(|| cannot_write(&path))?;
        Ok(Some(path))
    }

    /// A name that sorts by time, and holds nothing from outside that could lead anywhere. An event
    /// of our server, which has a time and an id of its own, gets the same name each time it comes.
    fn name(&mut self, event: &EventObject) -> String {
        let published = event.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
        let id = event.id.as_deref().filter(|id| is_harmless(id));
        if let (Some(time), Some(id)) = (published, id) {
            return format!("{}-{id}", time.strftime("%Y%m%dT%H%M%S%.3fZ"));
        }
        self.numbered += 1;
        let now = Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
        format!("{now}-{:06}", self.numbered)
    }
}

fn is_harmless(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_plain)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn cannot_write(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

/// The image that a `data:image/…;base64,` URL holds, and the extension for its type.
fn decode(data: &str) -> Option<(&'static str, Vec<u8>)> {
    let (head, body) = data.trim_ascii().split_once(',')?;
    let head = head.to_ascii_lowercase();
    let media_type = head.strip_prefix("data:image/")?.strip_suffix(";base64")?;
    let subtype = media_type.split(';').next().unwrap_or_default();
    let body: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    Some((extension(subtype), BASE64.decode(body).ok()?))
}

fn extension(subtype: &str) -> &'static str {
    match subtype.trim_ascii() {
        "apng" => "apng",
        "avif" => "avif",
        "bmp" => "bmp",
        "gif" => "gif",
        "jpeg" | "jpg" => "jpg",
        "png" => "png",
        "svg+xml" => "svg",
        "tiff" => "tif",
        "vnd.microsoft.icon" | "x-icon" => "ico",
        "webp" => "webp",
        _ => "image",
    }
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
    fn an_image_is_read_as_browsers_read_it() {
        let png = Some(("png", b"\x89PNG".to_vec()));
        for data in [
            "data:image/png;base64,iVBORw==",
            "data:image/png;base64,iVBORw",
            "DATA:Image/PNG;BASE64,iVBO\nRw==\n",
            "data:image/png;name=x;base64,iVBORw==",
        ] {
            assert_eq!(decode(data), png, "{data}");
        }
        assert_eq!(decode("data:image/../../x;base64,iVBORw==").unwrap().0, "image");
    }

    #[test]
    fn other_data_is_no_image() {
        for data in [
            "",
            "data:image/png,iVBORw==",
            "data:text/plain;base64,iVBORw==",
            "data:image/png;base64,***",
            "a data:image/png;base64,iVBORw==",
        ] {
            assert_eq!(decode(data), None, "{data}");
        }
    }

    #[test]
    fn an_event_that_comes_again_gets_the_same_name() {
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
