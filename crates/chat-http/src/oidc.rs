//! Signing in by an OpenID provider: what the settings say of it, and the accounts of its users.

use chat_auth::{NO_PASSWORD, OidcProvider, OidcUser};
use chat_core::{ReservedNames, USERNAME_MAX_CHARS, Username};
use chat_shard::now_ms;
use chat_store::{NewUser, RegistrationTerms, StoreError, Subject, User};

use crate::app::App;
use crate::error::HttpError;
use crate::hex;

/// An OpenID provider that signs users in, beside or in place of passwords.
#[derive(Debug)]
pub struct OidcSignIn {
    /// How the page calls the provider: "Continue with …".
    pub name: String,
    /// The provider. The address to which it sends browsers back is
    /// [`OidcSignIn::CALLBACK`] below the public URL and the base path of the chat.
    pub provider: OidcProvider,
}

impl OidcSignIn {
    /// The path to which the provider sends browsers back.
    pub const CALLBACK: &str = "/api/oidc/callback";

    /// Signs users in by this provider, which the page calls `name`.
    pub fn new(name: impl Into<String>, provider: OidcProvider) -> Self {
        Self { name: name.into(), provider }
    }
}

/// The account of a user of the provider; a new one, without a password, at the first sign-in.
///
/// Users are told apart by their subjects. A name belongs to the account that has it: another user
/// of the provider who is called the same gets another name.
///
/// # Errors
///
/// [`HttpError::TooManyAccounts`], [`HttpError::DiskLow`], [`HttpError::Store`].
pub(crate) async fn account(app: &App, oidc: &OidcSignIn, user: &OidcUser) -> Result<User, HttpError> {
    let subject = Subject { issuer: oidc.provider.issuer(), subject: &user.subject };
    if let Some(found) = find(app, subject).await? {
        return Ok(found);
    }
    if let Err(low) = app.files.disk.check_registration() {
        app.metrics.registration_refused_by_disk();
        return Err(low.into());
    }
    let accounts_max = app.options.registration_limits.accounts_max;
    let terms = RegistrationTerms { invite: None, accounts_max, subject: Some(subject) };
    for name in names(&user.names) {
        if app.options.reserved_names.covers(&name) || ReservedNames::is_operator(&name) {
            continue;
        }
        let (password_hash, created_at_ms) = (NO_PASSWORD.to_owned(), now_ms());
        let new = NewUser { name, password_hash, avatar: None, created_at_ms };
        let mut full = None;
        match app.parts.stores.administration.register(&new, terms).await {
            Ok(_) => tracing::info!(user = new.name.as_str(), "made an account for a user of the provider"),
            Err(StoreError::NameTaken | StoreError::NameConfusable) => {}
            Err(error @ StoreError::TooManyAccounts { .. }) => full = Some(error),
            Err(error) => return Err(error.into()),
        }
        // Another sign-in of the same user may have been first, and have taken the last place.
        if let Some(found) = find(app, subject).await? {
            return Ok(found);
        }
        if let Some(error) = full {
            return Err(error.into());
        }
    }
    Err(HttpError::NameTaken)
}

/// The account of a user of the provider, if there is one.
pub(crate) async fn find(app: &App, subject: Subject<'_>) -> Result<Option<User>, HttpError> {
    Ok(app.parts.stores.users.find_subject(subject).await?)
}

/// The names that a new account may get, the best first: what the user is called, then the same with
/// a number, and one that nobody has.
fn names(called: &[String]) -> impl Iterator<Item = Username> {
    let mut names: Vec<Username> = Vec::new();
    for name in called.iter().filter_map(|name| shortened(name, USERNAME_MAX_CHARS)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let first = names.first().map_or_else(|| "user".to_owned(), |first| first.as_str().to_owned());
    let numbers = (2..=NUMBERED_MAX).map(|number| number.to_string());
    let random = std::iter::repeat_with(|| hex::encode(&rand::random::<[u8; 4]>())).take(RANDOM_MAX);
    let numbered = numbers.chain(random).filter_map(move |number| {
        let first = shortened(&first, USERNAME_MAX_CHARS - number.len() - 1)?;
        Username::parse(&format!("{}-{number}", first.as_str())).ok()
    });
    names.into_iter().chain(numbered)
}

/// A name of at most that many characters, if anything of it can be a name: of a long address of
/// e-mail, the part before the `@`.
fn shortened(name: &str, max_chars: usize) -> Option<Username> {
    let is_short = |name: &str| name.chars().count() <= max_chars;
    let local = name.split('@').next().unwrap_or_default();
    let name = if is_short(name.trim()) { name } else { local };
    let cut: String = name.trim().chars().take(max_chars).collect();
    Username::parse(&cut).ok()
}

/// `alice-2`, …
const NUMBERED_MAX: u32 = 9;
/// Attempts with a random number.
const RANDOM_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn first(called: &[&str], count: usize) -> Vec<String> {
        let called: Vec<String> = called.iter().map(|name| (*name).to_owned()).collect();
        names(&called).take(count).map(|name| name.as_str().to_owned()).collect()
    }

    #[test]
    fn a_name_is_what_the_user_is_called_as_far_as_it_can_be_one() {
        assert_eq!(first(&["alice", "alice", " Alice A. "], 4), ["alice", "Alice A.", "alice-2", "alice-3"]);
        assert_eq!(first(&["Алиса"], 2), ["Алиса", "Алиса-2"]);
        assert_eq!(first(&["a@b.example"], 1), ["a@b.example"]);
        assert_eq!(first(&["alice.anderson@mail.company.example"], 1), ["alice.anderson"]);
        let long = "Maximilian Alexander von Habsburg";
        assert_eq!(first(&[long], 2), ["Maximilian Alexander von", "Maximilian Alexander v-2"]);
        // What cannot be a name is passed over.
        assert_eq!(first(&["", "\u{202e}x", "..."], 1), ["user-2"]);
        let all = first(&[], 20);
        assert_eq!((all.len(), all[0].as_str()), (11, "user-2"));
        assert!(all[10].starts_with("user-") && all[10].len() == 13 && all[9] != all[10], "{all:?}");
    }
}
