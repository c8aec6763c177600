//! The address under which an avatar is served.

use std::ffi::OsStr;
use std::path::Path;

use super::format::format_of_name;

/// The address of the avatar with this file name.
pub(super) fn address(file_name: &str) -> String {
    format!("{PREFIX}{file_name}")
}

/// The file name in the address of an account's avatar; `None` if the address is
/// not that of a picture in the folder of the avatars.
pub fn avatar_file_name(address: &str) -> Option<&str> {
    address.strip_prefix(PREFIX).filter(|name| format_of_name(name).is_some())
}

/// The name of a file in the folder of the avatars, whether or not it would be served;
/// `None` if the address leads elsewhere.
pub(super) fn file_name_in_folder(address: &str) -> Option<&str> {
    let name = address.strip_prefix(PREFIX)?;
    (Path::new(name).file_name() == Some(OsStr::new(name))).then_some(name)
}

const PREFIX: &str = "/uploads/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_pictures_have_a_file_name() {
        assert_eq!(avatar_file_name(&address("0f.webp")), Some("0f.webp"));
        for other in ["", "0f.webp", "/uploads/", "/uploads/../a.png", "/uploads/a/b.png", "/etc/passwd"] {
            assert_eq!(avatar_file_name(other), None, "{other}");
        }
    }
}
