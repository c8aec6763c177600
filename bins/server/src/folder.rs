//! Folders for what the server stores.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use chat_store::DatabaseUrl;

/// Creates a folder that only this user can open, unless it exists: it will hold
/// messages, hashes of passwords and the signing secret.
///
/// # Errors
/// A sentence with the path.
pub(crate) fn private_folder(path: &Path) -> Result<(), String> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|error| format!("the folder {} cannot be created: {error}", path.display()))
}

/// The same for the folder of an SQLite file.
///
/// # Errors
/// A sentence with the path.
pub(crate) fn database_folder(url: &DatabaseUrl) -> Result<(), String> {
    match url {
        DatabaseUrl::Sqlite(path) => path.parent().map_or(Ok(()), private_folder),
        DatabaseUrl::Postgres(_) | DatabaseUrl::Memory => Ok(()),
    }
}
