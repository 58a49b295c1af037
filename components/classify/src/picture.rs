//! Pictures from bytes: JPEG and PNG, told apart by how they begin.
//!
//! How large a picture is stands in its first bytes, and it is refused by that before anything is decoded: what a few bytes
//! may call for is for whoever configures it to say, and not for whoever sends it.

use std::io::Cursor;

use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

const JPEG: &[u8] = b"\xff\xd8\xff";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Red, green and blue of each pixel, row by row.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<[u8; 3]>,
}

impl Picture {
    /// Of at most so many pixels. The error says what is wrong with the bytes.
    pub fn decode(bytes: &[u8], most: usize) -> Result<Self, String> {
        if bytes.starts_with(JPEG) {
            jpeg(bytes, most)
        } else if bytes.starts_with(PNG) {
            png(bytes, most)
        } else {
            Err("neither JPEG nor PNG".into())
        }
    }

    fn of(width: usize, height: usize, pixels: Vec<[u8; 3]>) -> Result<Self, String> {
        if pixels.is_empty() || pixels.len() != width * height {
            return Err(format!("{width} x {height} pixels are announced and {} are there", pixels.len()));
        }
        Ok(Self { width, height, pixels })
    }
}

fn jpeg(bytes: &[u8], most: usize) -> Result<Picture, String> {
    let broken = |error: zune_jpeg::errors::DecodeErrors| format!("a JPEG that cannot be read: {error}");
    let options = DecoderOptions::new_safe().set_strict_mode(true).jpeg_set_out_colorspace(ColorSpace::RGB);
    let options = options.set_max_width(most).set_max_height(most);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(broken)?;
    let (width, height) = decoder.dimensions().ok_or("a JPEG without a size")?;
    permitted(width, height, most)?;
    let decoded = decoder.decode().map_err(broken)?;
    let (pixels, _) = decoded.as_chunks();
    Picture::of(width, height, pixels.to_vec())
}

fn png(bytes: &[u8], most: usize) -> Result<Picture, String> {
    let broken = |error: png::DecodingError| format!("a PNG that cannot be read: {error}");
    // Eight bits for each colour, and a palette looked up.
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: 8 * most });
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let header = decoder.read_header_info().map_err(broken)?;
    let (width, height) = (header.width as usize, header.height as usize);
    permitted(width, height, most)?;
    let mut reader = decoder.read_info().map_err(broken)?;
    let size = reader.output_buffer_size().ok_or("a PNG without end")?;
    let mut decoded = vec![0; size];
    let frame = reader.next_frame(&mut decoded).map_err(broken)?;
    let decoded = decoded.get(..frame.buffer_size()).unwrap_or_default();
    let pixels = match frame.color_type {
        png::ColorType::Grayscale => decoded.iter().map(|shade| [*shade; 3]).collect(),
        png::ColorType::GrayscaleAlpha => decoded.as_chunks().0.iter().map(|[shade, _]| [*shade; 3]).collect(),
        png::ColorType::Rgb => decoded.as_chunks().0.to_vec(),
        png::ColorType::Rgba => {
            decoded.as_chunks().0.iter().map(|[red, green, blue, _]| [*red, *green, *blue]).collect()
        }
        png::ColorType::Indexed => return Err("a PNG whose palette was not looked up".into()),
    };
    Picture::of(width, height, pixels)
}

fn permitted(width: usize, height: usize, most: usize) -> Result<(), String> {
    if width.saturating_mul(height) > most {
        return Err(format!(
            "{width} x {height} pixels are more than {most}; send a smaller picture, or raise `pixels`"
        ));
    }
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A picture of `models/samples`.
    pub fn sample(name: &str) -> Vec<u8> {
        let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/samples/");
        std::fs::read(format!("{samples}{name}")).unwrap()
    }

    /// A PNG of these raw rows.
    pub fn png_of(width: u32, height: u32, color: png::ColorType, depth: png::BitDepth, rows: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == png::ColorType::Indexed {
            encoder.set_palette(vec![10, 20, 30, 40, 50, 60]);
        }
        encoder.write_header().unwrap().write_image_data(rows).unwrap();
        bytes
    }

    #[test]
    fn samples_are_read() {
        for (name, size) in [("empty.png", 64), ("person.png", 64), ("blocked.jpg", 96), ("pallet.jpg", 96)] {
            let picture = Picture::decode(&sample(name), 96 * 96).unwrap();
            assert_eq!((picture.width, picture.height), (size, size), "{name}");
        }
        let freight = Picture::decode(&sample("blocked.jpg"), 96 * 96).unwrap();
        let [red, green, blue] = freight.pixels[20 * 96 + 60];
        assert!(red > 80 && red > 2 * green && red > 2 * blue, "its freight is red: {:?}", [red, green, blue]);
    }

    #[test]
    fn every_kind_of_png_comes_out_as_colours() {
        use png::BitDepth::{Eight, One, Sixteen};
        use png::ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
        let cases: [(_, _, &[u8], [[u8; 3]; 2]); 7] = [
            (Grayscale, Eight, &[7, 9], [[7; 3], [9; 3]]),
            (Grayscale, One, &[0b0100_0000], [[0; 3], [255; 3]]),
            (Grayscale, Sixteen, &[7, 1, 9, 2], [[7; 3], [9; 3]]),
            (GrayscaleAlpha, Eight, &[7, 0, 9, 255], [[7; 3], [9; 3]]),
            (Rgb, Eight, &[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]),
            (Rgba, Eight, &[1, 2, 3, 0, 4, 5, 6, 255], [[1, 2, 3], [4, 5, 6]]),
            (Indexed, One, &[0b0100_0000], [[10, 20, 30], [40, 50, 60]]),
        ];
        for (color, depth, rows, expected) in cases {
            let picture = Picture::decode(&png_of(2, 1, color, depth, rows), 2).unwrap();
            assert_eq!(picture, Picture { width: 2, height: 1, pixels: expected.to_vec() }, "{color:?} {depth:?}");
        }
    }

    #[test]
    fn a_size_is_refused_before_anything_is_decoded() {
        let mut large = png_of(2, 1, png::ColorType::Rgb, png::BitDepth::Eight, &[0; 6]);
        // The header's own checksum stands for what a sender would have got right.
        large[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        assert!(Picture::decode(&large, 1_000_000).is_err());
        for (name, pixels) in [("empty.png", 64 * 64), ("blocked.jpg", 96 * 96), ("pallet.jpg", 96 * 96)] {
            assert!(Picture::decode(&sample(name), pixels).is_ok(), "{name}");
            let error = Picture::decode(&sample(name), pixels - 1).unwrap_err();
            assert!(error.contains("raise `pixels`"), "{name}: {error}");
        }
    }

    #[test]
    fn what_is_no_picture_is_an_error_wherever_it_breaks() {
        assert!(Picture::decode(b"", 100).is_err());
        assert!(Picture::decode(b"GIF89a", 100).is_err());
        for name in ["empty.png", "blocked.jpg", "pallet.jpg"] {
            let whole = sample(name);
            for length in (0..whole.len() * 9 / 10).step_by(97) {
                assert!(Picture::decode(&whole[..length], 1_000_000).is_err(), "{length} bytes of {name}");
            }
        }
    }

    #[test]
    fn spoiled_bytes_are_a_picture_or_an_error_and_never_more() {
        for name in ["empty.png", "blocked.jpg", "pallet.jpg"] {
            let whole = sample(name);
            let mut number = 1_u64;
            for _ in 0..300 {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let mut spoiled = whole.clone();
                let place = (number >> 33) as usize % spoiled.len();
                spoiled[place] ^= (number >> 24) as u8 | 1;
                if let Ok(picture) = Picture::decode(&spoiled, 20_000) {
                    assert!(picture.pixels.len() <= 20_000, "{name} at {place}");
                }
            }
        }
    }
}
