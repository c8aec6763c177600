//! `PUT` and `DELETE /api/me/avatar`

use std::sync::Arc;

use chat_core::Username;
use chat_store::User;
use hyper::{Response, StatusCode};

use super::call::Call;
use super::picture::{self, SentPicture};
use super::users::Profile;
use crate::answer::{self, Body};
use crate::app::App;
use crate::avatar::Picture;
use crate::error::HttpError;
use crate::signed_in::SignedIn;

/// Gives the user another picture, under the limits and in the queue of registrations.
pub(super) async fn put(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let (user, picture) = picture::receive(&app, request, SentPicture::Avatar).await?;
    replace(app, user, Some(picture)).await
}

/// Removes the picture of the user.
pub(super) async fn remove(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    replace(app, me.user, None).await
}

/// Replaces the picture of an account, in a task of its own: if the client hangs up, it is
/// completed, so that no account is left without its picture and no file without an account.
async fn replace(
    app: Arc<App>,
    user: Username,
    picture: Option<Picture>,
) -> Result<Response<Body>, HttpError> {
    let (tasks, app_of_task) = (app.tasks.clone(), Arc::clone(&app));
    let replacement =
        tasks.spawn(async move { store(&app_of_task, &user, picture).await.map(|new| (user, new)) });
    let (user, new) = replacement.await.map_err(HttpError::Task)??;
    let profile = Profile { username: user.as_str(), avatar: app.picture_address(new), bot: false };
    Ok(answer::json(StatusCode::OK, &profile))
}

/// Stores the new picture of an account and removes the file of the old one. Returns the
/// new address.
async fn store(app: &App, user: &Username, picture: Option<Picture>) -> Result<Option<String>, HttpError> {
    let users = &*app.parts.stores.users;
    let prepared = match picture {
        Some(picture) => Some(app.avatars.prepare(picture, user.clone()).await?),
        None => None,
    };
    let new = prepared.as_ref().map(|prepared| prepared.address.clone());
    for _ in 0..ATTEMPTS {
        let account = users.find_user(user).await?.ok_or(HttpError::UserNotFound)?;
        let (old, is_new) = (account.avatar.clone(), account.avatar != new);
        let changed = User { avatar: new.clone(), ..account.clone() };
        let leaving = if is_new { app.avatars.note_leaving(account).await? } else { None };
        let replaced = match users.set_avatar(user, old.as_deref(), new.as_deref()).await {
            Ok(replaced) => replaced,
            // The connection may have been lost after the commit.
            Err(error) => match users.find_user(user).await {
                Ok(Some(account)) if account.avatar == new => true,
                Ok(_) => {
                    if let Some(leaving) = leaving {
                        leaving.stays().await;
                    }
                    return Err(error.into());
                }
                Err(_) => {
                    // The next start asks which of the two pictures the account has.
                    if let Some(prepared) = prepared {
                        prepared.leave();
                    }
                    return Err(error.into());
                }
            },
        };
        if !replaced {
            // Another request has replaced the picture meanwhile.
            if let Some(leaving) = leaving {
                leaving.stays().await;
            }
            continue;
        }
        if let Some(prepared) = prepared {
            prepared.publish().await;
            // A change that came right after this one may have looked for the file before it was there.
            app.avatars.remove_unused(&changed, users).await;
        }
        if let Some(leaving) = leaving {
            leaving.remove(users).await;
        }
        tracing::info!(user = user.as_str(), "changed the picture");
        return Ok(new);
    }
    Err(HttpError::Busy)
}

/// How often a change is tried against other changes of the same picture.
const ATTEMPTS: usize = 10;
