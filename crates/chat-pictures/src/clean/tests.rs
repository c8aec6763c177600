//! Tests of the removal of metadata.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Rgb, RgbImage};

use super::*;

/// What must not be left of a picture.
const SECRET: &[u8] = b"52.5200 N 13.4050 E";

fn encoded(format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(40, 24, |x, y| Rgb([(x * 6) as u8, (y * 10) as u8, 7]));
    let mut file = Cursor::new(Vec::new());
    DynamicImage::from(image).write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn cleaned(file: &[u8], format: ImageFormat) -> (Cleaned, Vec<u8>) {
    let mut output = Cursor::new(Vec::new());
    let cleaned = clean(&mut Cursor::new(file), &mut output, format).unwrap();
    (cleaned, output.into_inner())
}

/// Metadata of a camera: the orientation, and a description.
fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x02\0".to_vec();
    tiff.extend([0x0e, 0x01, 2, 0, SECRET.len() as u8, 0, 0, 0, 38, 0, 0, 0]);
    tiff.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    tiff.extend([0; 4]);
    assert_eq!(tiff.len(), 38);
    tiff.extend(SECRET);
    tiff
}

fn jpeg_segment(marker: u8, data: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(data.len() as u16 + 2).to_be_bytes(), data].concat()
}

fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let checksum = crc32fast::hash(&[kind, data].concat());
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &checksum.to_be_bytes()].concat()
}

fn webp_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let pad = &[0][..data.len() % 2];
    [kind, &(data.len() as u32).to_le_bytes()[..], data, pad].concat()
}

/// A picture with metadata everywhere, and something after its end.
fn with_metadata(format: ImageFormat, orientation: u8) -> Vec<u8> {
    let plain = encoded(format);
    let exif = exif(orientation);
    match format {
        ImageFormat::Jpeg => {
            let mut jfif = b"JFIF\0\x01\x01\0\0\x01\0\x01\x02\x02".to_vec();
            jfif.extend(&SECRET[..12]);
            [
                &plain[..2],
                &jpeg_segment(0xe0, &jfif),
                &jpeg_segment(0xe1, &[b"Exif\0\0", &exif[..]].concat()),
                &jpeg_segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", SECRET].concat()),
                &jpeg_segment(0xed, SECRET),
                &jpeg_segment(0xfe, SECRET),
                &jpeg_segment(0xe2, &[b"ICC_PROFILE\0", &b"\x01\x01 a profile"[..]].concat()),
                &plain[2..],
                SECRET,
            ]
            .concat()
        }
        ImageFormat::Png => {
            // After the signature and the header.
            let (head, rest) = plain.split_at(33);
            [
                head,
                &png_chunk(b"tEXt", SECRET),
                &png_chunk(b"eXIf", &exif),
                &png_chunk(b"gAMA", &[0, 0, 0xb1, 0x8f]),
                &png_chunk(b"zzZz", SECRET),
                rest,
                SECRET,
            ]
            .concat()
        }
        ImageFormat::WebP => {
            let header = [0x0c | 0x20, 0, 0, 0, 39, 0, 0, 23, 0, 0];
            let chunks = [
                webp_chunk(b"VP8X", &header),
                webp_chunk(b"ICCP", b"a profile"),
                webp_chunk(b"ABCD", SECRET),
                plain[12..].to_vec(),
                webp_chunk(b"EXIF", &exif),
                webp_chunk(b"XMP ", SECRET),
            ]
            .concat();
            [b"RIFF", &(chunks.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &chunks, SECRET].concat()
        }
        _ => unreachable!(),
    }
}

const FORMATS: [ImageFormat; 3] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];

fn contains(file: &[u8], part: &[u8]) -> bool {
    file.windows(part.len()).any(|window| window == part)
}

#[test]
fn metadata_goes_and_pixels_profile_and_orientation_stay() {
    for format in FORMATS {
        for orientation in 1..=8 {
            let file = with_metadata(format, orientation);
            assert!(contains(&file, SECRET));
            let (found, clean) = cleaned(&file, format);
            let dimensions = if orientation < 5 { (40, 24) } else { (24, 40) };
            assert_eq!(found, Cleaned::Picture { dimensions }, "{format:?} {orientation}");
            assert!(!contains(&clean, &SECRET[..8]), "{format:?}: {clean:x?}");
            assert!(format == ImageFormat::Png || contains(&clean, b"a profile"));
            assert!(format != ImageFormat::Png || contains(&clean, b"gAMA"));

            let mut decoder = ImageReader::with_format(Cursor::new(&clean), format).into_decoder().unwrap();
            assert_eq!(decoder.orientation().unwrap().to_exif(), orientation, "{format:?}");
            let pixels = DynamicImage::from_decoder(decoder).unwrap();
            assert_eq!(pixels, image::load_from_memory(&encoded(format)).unwrap(), "{format:?}");
            // What is clean stays as it is.
            assert_eq!(cleaned(&clean, format), (found, clean));
        }
    }
}

#[test]
fn a_webp_without_the_extended_header_is_not_turned() {
    let plain = encoded(ImageFormat::WebP);
    assert_ne!(&plain[12..16], b"VP8X");
    let chunks = [&plain[12..], &webp_chunk(b"EXIF", &exif(6))].concat();
    let file = [b"RIFF", &(chunks.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &chunks].concat();
    // No program turns it.
    let mut decoder = ImageReader::with_format(Cursor::new(&file), ImageFormat::WebP).into_decoder().unwrap();
    assert_eq!(decoder.orientation().unwrap().to_exif(), 1);
    assert_eq!(cleaned(&file, ImageFormat::WebP), (Cleaned::Picture { dimensions: (40, 24) }, plain));
}

#[test]
fn a_picture_without_metadata_stays_as_it_is() {
    for format in [FORMATS.as_slice(), &[ImageFormat::Gif]].concat() {
        let file = encoded(format);
        assert_eq!(cleaned(&file, format), (Cleaned::Picture { dimensions: (40, 24) }, file), "{format:?}");
    }
}

#[test]
fn a_gif_is_as_large_as_its_frames() {
    let mut file = encoded(ImageFormat::Gif);
    file[6..10].copy_from_slice(&[1, 0, 1, 0]);
    let (found, copy) = cleaned(&file, ImageFormat::Gif);
    assert_eq!(found, Cleaned::Picture { dimensions: (40, 24) });
    assert_eq!(copy, file);
    // A second frame in the place of the end, and something behind it.
    assert_eq!(file.pop(), Some(b';'));
    file.extend(b",\x10\x27\0\0\x10\x27\x01\0\0\x02\x01\x00\0;behind");
    let (found, copy) = cleaned(&file, ImageFormat::Gif);
    assert_eq!(found, Cleaned::Picture { dimensions: (20_000, 24) });
    assert_eq!(copy, file);
    for end in 0..file.len() {
        let (found, copy) = cleaned(&file[..end], ImageFormat::Gif);
        assert!(found == Cleaned::NotAPicture || copy == file[..end], "{end}");
    }
}

#[test]
fn no_cut_or_changed_picture_brings_its_metadata_back() {
    for format in FORMATS {
        let file = with_metadata(format, 6);
        for end in 0..file.len() {
            let (_, clean) = cleaned(&file[..end], format);
            assert!(!contains(&clean, &SECRET[..8]), "{format:?} cut at {end}");
        }
        for at in 0..file.len() {
            for bits in [0x01, 0x80, 0xff] {
                let mut changed = file.clone();
                changed[at] ^= bits;
                // It neither panics nor takes long.
                cleaned(&changed, format);
            }
        }
    }
}

#[test]
fn what_only_begins_like_a_picture_is_none() {
    for (format, file) in [
        (ImageFormat::Jpeg, &b"\xff\xd8\xff<script>"[..]),
        (ImageFormat::Jpeg, b"\xff\xd8\xff\xd9"),
        (ImageFormat::Png, b"\x89PNG\r\n\x1a\n"),
        (ImageFormat::Png, b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xaeB`\x82"),
        (ImageFormat::WebP, b"RIFF\x04\0\0\0WEBP"),
        (ImageFormat::Gif, b"GIF89a"),
        (ImageFormat::Gif, b"GIF89a\0\0\0\0\0\0"),
    ] {
        assert_eq!(cleaned(file, format).0, Cleaned::NotAPicture, "{file:?}");
    }
}

#[test]
fn a_scan_full_of_markers_is_cleaned() {
    // If the work grew with the square of the size, this would not end.
    let mut file = encoded(ImageFormat::Jpeg);
    let end = file.split_off(file.len() - 2);
    file.extend([0xff, 0].repeat(4 << 20));
    file.extend(end);
    let (found, clean) = cleaned(&file, ImageFormat::Jpeg);
    assert_eq!(found, Cleaned::Picture { dimensions: (40, 24) });
    assert_eq!(clean, file);
}
