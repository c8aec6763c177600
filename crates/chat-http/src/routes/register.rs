//! `POST /api/register`

use chat_store::NewUser;
use hyper::{Response, StatusCode};
use serde_json::json;

use super::Call;
use crate::answer::{self, Body};
use crate::app::now_ms;
use crate::body::RequestBody;
use crate::error::HttpError;
use crate::form::RegistrationForm;

/// Makes an account. What costs little is checked first, the hash comes late,
/// and the picture gets its name before there is an account that points to it.
pub(super) async fn register(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let (head, body) = request.into_parts();
    let mut body = RequestBody::new(body, &app.options);
    let max_bytes = app.options.avatar_max_bytes + OTHER_FIELDS_MAX_BYTES;
    let form = match RegistrationForm::read(&head.headers, &mut body, &app.avatars, max_bytes).await {
        Ok(form) => form,
        Err(error) => {
            body.discard().await;
            return Err(error);
        }
    };
    let RegistrationForm { username, password, avatar } = form;
    if app.parts.users.find_user(&username).await?.is_some() {
        return Err(HttpError::NameTaken);
    }
    let password_hash = app.parts.passwords.hash(password).await?;

    // A client that hangs up drops this request; a task of its own goes on, so
    // that there is never an account whose picture was taken away.
    let tasks = app.tasks.clone();
    let creation = tasks.spawn(async move {
        let avatar = match avatar {
            Some(avatar) => Some(avatar.publish(&app.avatars).await?),
            None => None,
        };
        let user = NewUser {
            name: username,
            password_hash,
            avatar: avatar.as_ref().map(|avatar| avatar.address.clone()),
            created_at_ms: now_ms(),
        };
        app.parts.users.create_user(&user).await?;
        if let Some(avatar) = avatar {
            avatar.keep();
        }
        tracing::info!(user = ?user.name, "registered");
        Ok::<_, HttpError>(())
    });
    creation.await.map_err(HttpError::Task)??;
    Ok(answer::json(StatusCode::OK, &json!({ "status": "registered" })))
}

/// Bytes of a form beside its picture: fields, headers, boundaries.
const OTHER_FIELDS_MAX_BYTES: u64 = 64 * 1024;
