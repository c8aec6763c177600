//! What decoding may cost.

/// Limits of an uploaded picture.
#[derive(Debug, Clone, Copy)]
pub struct PictureLimits {
    /// Pixels.
    pub pixels_max: u64,
    /// Pixels on one side.
    pub side_max: u32,
    /// Bytes that decoding may take, beside twice the size of the file.
    pub memory_max: u64,
}
