//! Images in `data:` URLs.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Accepts what browsers accept: with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A decoded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// The media type without parameters, in lower case, such as `image/png`.
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

impl Image {
    /// Decodes a `data:image/…;base64,` URL; `None` for any other text.
    pub(crate) fn decode(url: &str) -> Option<Image> {
        let (head, body) = url.trim_ascii().split_once(',')?;
        let head = head.to_ascii_lowercase();
        let media_type = head.strip_prefix("data:")?.strip_suffix(";base64")?;
        let media_type = media_type.split(';').next().unwrap_or_default().trim_ascii();
        if !media_type.starts_with("image/") {
            return None;
        }
        let body: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        Some(Image { media_type: media_type.to_owned(), bytes: BASE64.decode(body).ok()? })
    }

    /// Returns the extension of a file with this image: `image` for an unknown type.
    pub(crate) fn extension(&self) -> &'static str {
        match self.media_type.strip_prefix("image/").unwrap_or_default() {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_read_as_browsers_read_it() {
        let png = Image { media_type: "image/png".to_owned(), bytes: b"\x89PNG".to_vec() };
        for data in [
            "data:image/png;base64,iVBORw==",
            "data:image/png;base64,iVBORw",
            "DATA:Image/PNG;BASE64,iVBO\nRw==\n",
            "data:image/png;name=x;base64,iVBORw==",
        ] {
            assert_eq!(Image::decode(data), Some(png.clone()), "{data}");
        }
        assert_eq!(png.extension(), "png");
        let unknown = Image::decode("data:image/../../x;base64,iVBORw==").unwrap();
        assert_eq!(unknown.extension(), "image");
    }

    #[test]
    fn other_data_is_not_an_image() {
        for data in [
            "",
            "data:image/png,iVBORw==",
            "data:text/plain;base64,iVBORw==",
            "data:image/png;base64,***",
            "a data:image/png;base64,iVBORw==",
        ] {
            assert_eq!(Image::decode(data), None, "{data}");
        }
    }
}
