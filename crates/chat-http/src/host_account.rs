//! Accounts of users whom a host, or another issuer, signs in.

use chat_auth::NO_PASSWORD;
use chat_core::Username;
use chat_shard::now_ms;
use chat_store::{NewUser, StoreError};

use crate::app::App;
use crate::error::HttpError;
use crate::signed_in::SignedIn;

/// Creates an account without a password, unless there is one, and gives it the picture of the
/// host. Private messages are stored only for accounts, and no other user can register the
/// name. No account is created for a name that could not be registered, or that is confusable
/// with that of another account.
///
/// # Errors
///
/// Those of the store.
pub(crate) async fn ensure(app: &App, signed_in: &SignedIn) -> Result<(), HttpError> {
    let user = &signed_in.user;
    let picture = signed_in.of_host.as_ref().and_then(|of_host| of_host.identified.picture.as_deref());
    if Username::parse(user.as_str()).as_ref() != Ok(user) {
        return Ok(());
    }
    if let Some(account) = app.parts.stores.users.find_user(user).await? {
        if picture.is_some() && picture != account.avatar.as_deref() {
            app.parts.stores.users.set_avatar(user, account.avatar.as_deref(), picture).await?;
        }
        return Ok(());
    }
    let account = NewUser {
        name: user.clone(),
        password_hash: NO_PASSWORD.to_owned(),
        avatar: picture.map(str::to_owned),
        created_at_ms: now_ms(),
    };
    match app.parts.stores.users.create_user(&account).await {
        Ok(()) => tracing::info!(user = user.as_str(), "made an account for a user of another issuer"),
        Err(error @ (StoreError::NameTaken | StoreError::NameConfusable)) => {
            tracing::info!(user = user.as_str(), %error, "made no account for a user of another issuer");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
