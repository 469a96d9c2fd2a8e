//! Pictures of the screen as files: PNG and PPM.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rrvmm_devices::vga::Frame;

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// Portable pixmap, binary (P6).
    Ppm,
}

/// A text that names no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no format of pictures: write png or ppm")]
pub struct UnknownFormat(String);

/// A picture that was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the picture {}", .path.display())]
pub struct PictureError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name.to_ascii_lowercase().as_str() {
            "png" => Ok(Format::Png),
            "ppm" => Ok(Format::Ppm),
            _ => Err(UnknownFormat(name.to_owned())),
        }
    }
}

impl Format {
    /// What the end of a file's name asks for, if it does.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        path.extension()?.to_str()?.parse().ok()
    }
}

/// The picture as a file's bytes; the same picture gives the same bytes.
///
/// # Errors
/// The picture has no pixels, which neither format can say.
pub fn encode(frame: &Frame, format: Format) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match format {
        Format::Png => {
            let mut encoder = png::Encoder::new(&mut bytes, frame.width, frame.height);
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_depth(png::BitDepth::Eight);
            let mut writer = encoder.write_header().map_err(std::io::Error::other)?;
            writer.write_image_data(&frame.rgb).map_err(std::io::Error::other)?;
            writer.finish().map_err(std::io::Error::other)?;
        }
        Format::Ppm => {
            write!(bytes, "P6\n{} {}\n255\n", frame.width, frame.height)?;
            bytes.extend_from_slice(&frame.rgb);
        }
    }
    Ok(bytes)
}

/// Writes the picture into the file `path`, over what is there.
///
/// # Errors
/// [`PictureError`] names the file.
pub fn write(frame: &Frame, path: &Path, format: Format) -> Result<(), PictureError> {
    let written = encode(frame, format).and_then(|bytes| std::fs::write(path, bytes));
    written.map_err(|source| PictureError { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame { width: 2, height: 1, rgb: vec![1, 2, 3, 0xff, 0, 7] }
    }

    #[test]
    fn a_png_decodes_to_the_same_pixels() {
        let bytes = encode(&frame(), Format::Png).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut rgb = vec![0; 6];
        let info = reader.next_frame(&mut rgb).unwrap();
        assert_eq!((info.width, info.height, rgb), (2, 1, frame().rgb));
    }

    #[test]
    fn a_ppm_is_a_header_and_the_pixels() {
        assert_eq!(encode(&frame(), Format::Ppm).unwrap(), b"P6\n2 1\n255\n\x01\x02\x03\xff\x00\x07");
    }

    #[test]
    fn names_say_the_format() {
        assert_eq!(Format::of(Path::new("a/b.PNG")), Some(Format::Png));
        assert_eq!(Format::of(Path::new("b.rrvm")), None);
        assert!("jpg".parse::<Format>().is_err());
    }
}
