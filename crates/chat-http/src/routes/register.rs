//! `POST /api/register`

use chat_auth::HashFor;
use chat_core::SecretHash;
use chat_pictures::PictureFor;
use chat_shard::now_ms;
use chat_store::{NewUser, RegistrationTerms, StoreError};
use hyper::header::EXPECT;
use hyper::{Response, StatusCode};

use super::call::Call;
use super::room_call;
use crate::Registration;
use crate::answer::{self, Body, Done};
use crate::app::App;
use crate::avatar::AvatarError;
use crate::body::RequestBody;
use crate::client_address::{ClientAddress, note_limited};
use crate::error::HttpError;
use crate::form::RegistrationForm;
use crate::secret;

/// Creates an account. Cheap checks come first; the picture and the hash are made last. A
/// registration that is refused leaves nothing behind.
pub(super) async fn register(call: Call) -> Result<Response<Body>, HttpError> {
    let address = call.address();
    let Call { app, request, .. } = call;
    let (head, body) = request.into_parts();
    let mut body = RequestBody::new(body, &app.options);
    if let Err(refused) = check_whether_open(&app, address).await {
        // A client that sent `Expect: 100-continue` has not sent the body.
        if !head.headers.contains_key(EXPECT) {
            body.discard().await;
        }
        return Err(refused);
    }
    let max_bytes = app.options.avatar_max_bytes + OTHER_FIELDS_MAX_BYTES;
    let form = match RegistrationForm::read(&head.headers, &mut body, &app.avatars, max_bytes).await {
        Ok(form) => form,
        Err(error) => {
            body.discard().await;
            return Err(error);
        }
    };
    let RegistrationForm { username, password, avatar, invite } = form;
    let invite = invite.map(|invite| secret::hash(&invite));
    match &invite {
        None if app.options.registration == Registration::Invite => return Err(HttpError::InviteRequired),
        None => {}
        Some(invite) => {
            let found = app.parts.stores.administration.find_invite(invite, now_ms()).await?;
            if let Some(room) = found.ok_or(HttpError::SecretNotFound)?.room {
                room_call::ask_hooks(&app, &username, &room).await?;
            }
        }
    }
    app.options.password_rule.check(&password, |text| username.is_written_as(text))?;
    if app.options.reserved_names.covers(&username) {
        return Err(HttpError::NameReserved);
    }
    app.parts.stores.users.check_new_name(&username).await?;
    let tasks = app.tasks.clone();
    // Taken back if no account is made.
    let counted = app.registrations.count(address.network(), &app.tasks).await;
    let registering = counted.inspect_err(|error| note_refused(&app, address, error))?;
    // There is no user yet: addresses share out the turns, as far as they are known.
    let whose = address.network().map_or_else(|| username.as_str().to_owned(), |network| network.to_string());
    let picture = match avatar {
        Some(avatar) => {
            let turn = app.pictures.turn(PictureFor::Registration(&whose)).await;
            let turn = turn.inspect_err(|_| app.metrics.limit_refused("picture_queue_max"));
            Some(avatar.picture(turn.map_err(AvatarError::from)?).await?)
        }
        None => None,
    };
    let hash = app.parts.passwords.hash(HashFor::Registration(&whose), password).await;
    let password_hash = hash.inspect_err(|_| app.metrics.limit_refused("registration_queue_max"))?;

    // If the client hangs up, this future is dropped. A task of its own completes the
    // registration, so that no account is left without its picture.
    let creation = tasks.spawn(async move {
        let avatar = match picture {
            Some(picture) => Some(app.avatars.prepare(picture, username.clone()).await?),
            None => None,
        };
        let user = NewUser {
            name: username,
            password_hash,
            avatar: avatar.as_ref().map(|avatar| avatar.address.clone()),
            created_at_ms: now_ms(),
        };
        match create(&app, &user, invite.as_ref()).await {
            Created::Yes => registering.keep(),
            Created::No(error) => {
                let refused = error.into();
                note_refused(&app, address, &refused);
                return Err(refused);
            }
            Created::NotInvited => return Err(HttpError::SecretNotFound),
            Created::Unknown(error) => {
                registering.keep();
                if let Some(avatar) = avatar {
                    avatar.leave();
                }
                return Err(error.into());
            }
        }
        if let Some(avatar) = avatar {
            avatar.publish().await;
        }
        tracing::info!(user = user.name.as_str(), "registered");
        Ok::<_, HttpError>(())
    });
    creation.await.map_err(HttpError::Task)??;
    Ok(answer::json(StatusCode::OK, &Done::REGISTERED))
}

/// Whether an account may be created from this address now.
async fn check_whether_open(app: &App, address: ClientAddress) -> Result<(), HttpError> {
    if app.options.registration == Registration::Closed {
        return Err(HttpError::RegistrationClosed);
    }
    if let Err(low) = app.files.disk.check_registration() {
        app.metrics.registration_refused_by_disk();
        return Err(low.into());
    }
    let allowed = app.registrations.check(address.network());
    allowed.inspect_err(|error| note_refused(app, address, error))?;
    let left = app.check_accounts().await;
    left.inspect_err(|error| note_refused(app, address, error))
}

/// Counts a registration that a limit refuses.
fn note_refused(app: &App, address: ClientAddress, error: &HttpError) {
    match error {
        HttpError::TooManyRegistrations { limit, .. } => {
            app.metrics.limit_refused(limit);
            if *limit == "registrations_per_address" {
                note_limited(address.limited(), limit);
            }
        }
        HttpError::TooManyAccounts => app.metrics.limit_refused("accounts_max"),
        _ => {}
    }
}

/// Whether an account was created.
enum Created {
    Yes,
    No(StoreError),
    /// The invitation was used or withdrawn meanwhile.
    NotInvited,
    /// The store did not answer, and did not answer the question afterwards.
    Unknown(StoreError),
}

async fn create(app: &App, user: &NewUser, invite: Option<&SecretHash>) -> Created {
    let users = &app.parts.stores.users;
    let accounts_max = app.options.registration_limits.accounts_max;
    let terms = RegistrationTerms { invite, accounts_max, subject: None };
    let error = match app.parts.stores.administration.register(user, terms).await {
        Ok(true) => return Created::Yes,
        Ok(false) => return Created::NotInvited,
        Err(
            error @ (StoreError::NameTaken | StoreError::NameConfusable | StoreError::TooManyAccounts { .. }),
        ) => return Created::No(error),
        Err(error) => error,
    };
    // The connection may have been lost after the commit. No other account has the
    // random salt of this hash.
    match users.find_user(&user.name).await {
        Ok(Some(found)) if found.password_hash == user.password_hash => Created::Yes,
        Ok(_) => Created::No(error),
        Err(_) => Created::Unknown(error),
    }
}

/// Bytes of a form beside its picture: other fields, headers, boundaries.
pub(super) const OTHER_FIELDS_MAX_BYTES: u64 = 64 * 1024;
