//! The public keys with which another program signs tokens.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use chat_auth::{ExternalKeys, FetchedKeys};

use crate::answer_text;

/// Where the keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeysFrom {
    /// A file, which is read at the start.
    File(PathBuf),
    /// An address, which is asked again when there may be another key.
    Url {
        /// The address.
        url: String,
        /// The least time between two questions.
        pause: Duration,
    },
}

impl KeysFrom {
    /// Reads the keys. While their address does not answer, tokens of the other program are
    /// refused, and the server works otherwise.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has no key.
    pub(crate) async fn load(&self) -> Result<ExternalKeys, Box<dyn Error>> {
        match self {
            Self::File(path) => {
                let named =
                    |error: &dyn Error| format!("external_public_key_file: {}: {error}", path.display());
                let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
                Ok(ExternalKeys::parse(&text).map_err(|error| named(&error))?)
            }
            Self::Url { url, pause } => {
                let client =
                    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
                let url = url.clone();
                let keys = ExternalKeys::fetched(move || fetch(client.clone(), url.clone()), *pause);
                keys.refresh().await;
                Ok(keys)
            }
        }
    }
}

fn fetch(client: reqwest::Client, url: String) -> FetchedKeys {
    Box::pin(async move { answer_text::read(client.get(url).send().await?.error_for_status()?).await })
}
