//! How a picture has to be turned, in the metadata of a camera (Exif 3.0, §4.6.2).

use image::metadata::Orientation;

/// The orientation that a block of metadata says; a damaged one is ignored.
pub(super) fn read(tiff: &[u8]) -> Orientation {
    Orientation::from_exif_chunk(tiff).unwrap_or(Orientation::NoTransforms)
}

/// A block of metadata that says the orientation only; `None` if the picture is upright.
pub(super) fn write(orientation: Orientation) -> Option<Vec<u8>> {
    if orientation == Orientation::NoTransforms {
        return None;
    }
    let mut tiff = b"MM\0*\0\0\0\x08".to_vec();
    // One field: its tag, its type (a number of 16 bits), how many, and the value.
    tiff.extend_from_slice(&[0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation.to_exif(), 0, 0]);
    // No further block.
    tiff.extend_from_slice(&[0; 4]);
    Some(tiff)
}

/// The size of the upright picture.
pub(super) fn upright((width, height): (u32, u32), orientation: Orientation) -> (u32, u32) {
    if orientation.to_exif() >= 5 { (height, width) } else { (width, height) }
}
