//! The secret that signs tokens: of the configuration, of the database, or of the data folder.

use std::error::Error;
use std::path::PathBuf;

use chat_auth::SigningSecret;
use chat_store::{DatabaseUrl, SharedSecret, Stores};

use crate::config::Config;

/// Where this server has its secret before the database is open.
pub(crate) enum OwnSecret {
    /// In the configuration, which counts more than a database.
    Configured(SigningSecret),
    /// In the data folder, as no other server has the database.
    InFolder(SigningSecret),
    /// In the database. The file is from before: an earlier version has kept it there.
    InDatabase { file: PathBuf },
}

impl OwnSecret {
    /// Finds the secret, and makes one if the data folder is its place.
    pub(crate) fn find(config: &mut Config) -> Result<Self, Box<dyn Error>> {
        let file = config.data_dir.join("jwt.secret");
        if let Some(secret) = config.jwt_secret.take() {
            return Ok(Self::Configured(secret));
        }
        Ok(match config.database_url {
            DatabaseUrl::Postgres(_) => Self::InDatabase { file },
            _ => Self::InFolder(SigningSecret::load_or_create(&file)?),
        })
    }

    /// The secret, once the database is open. The first server that opens it brings the secret of
    /// its file, or a new one.
    pub(crate) async fn shared(self, stores: &Stores) -> Result<SigningSecret, Box<dyn Error>> {
        let file = match self {
            Self::Configured(secret) | Self::InFolder(secret) => return Ok(secret),
            Self::InDatabase { file } => file,
        };
        let own = SigningSecret::load_existing(&file)?;
        let Some(shared) = &stores.shared else {
            return Err("this database has no place for the signing secret".into());
        };
        let new = match &own {
            Some(own) => own.as_bytes().to_vec(),
            None => SigningSecret::random()?.as_bytes().to_vec(),
        };
        let secret = SigningSecret::new(shared.shared_secret(SharedSecret::Signing, &new).await?)?;
        match own {
            Some(own) if own.as_bytes() == secret.as_bytes() => {}
            Some(_) => tracing::warn!(
                file = %file.display(),
                "the signing secret is the one in the database, not the one in this file, which is not used"
            ),
            None => {}
        }
        Ok(secret)
    }
}
