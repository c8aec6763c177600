//! What commands about accounts ask for: done by the running server, or by the command itself.

use std::collections::HashSet;
use std::error::Error;

use chat_core::{ReservedNames, RoomName, RoomTextError, SessionId, Username, parse_room_description};
use chat_http::{HttpOptions, OutgoingOrder, make_bot, make_outgoing, make_webhook};
use chat_store::{AuditAction, NewBan, NewUser, OutgoingWebhook, RoleChange, StoreError, Stores, User};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::address::page_url;
use crate::clock::now_ms;
use crate::config::Config;

/// A request of a command. Passwords are hashed before.
#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Request {
    /// Nothing.
    Hello,
    /// To check the name of a new account, before the question for a password.
    CheckName { name: String },
    /// To add an account.
    Add { name: String, password_hash: String, reuse_name: bool, administrator: bool },
    /// To list all accounts.
    List { json: bool },
    /// To find an account; the answer is its exact name.
    Find { name: String },
    /// To set a password.
    ResetPassword { name: String, password_hash: String },
    /// To make an account an administrator.
    Promote { name: String },
    /// To take this role.
    Demote { name: String },
    /// To remove an account.
    Remove {
        name: String,
        #[serde(default)]
        force: bool,
    },
    /// To ban a user.
    Ban {
        name: String,
        reason: String,
        #[serde(default)]
        delete_messages: bool,
    },
    /// To end a ban.
    Unban { name: String },
    /// To make a link that sets a password.
    PasswordLink { name: String },
    /// To make a bot for some rooms, or to give it a new token.
    AddBot { name: String, rooms: Vec<String> },
    /// To list all bots.
    ListBots,
    /// To end the token and the webhooks of a bot.
    RevokeBot { name: String },
    /// To make a webhook of a bot for one of its rooms.
    AddWebhook { name: String, room: String },
    /// To make an outgoing webhook of a bot for one of its rooms.
    AddOutgoing { name: String, room: String, url: String, only_mentions: bool },
    /// To remove an outgoing webhook of a bot.
    RemoveOutgoing { name: String, id: String },
    /// To list the audit log.
    Audit { before: Option<u64>, limit: usize },
}

/// The result of a request.
pub(crate) struct Done {
    /// The text for the operator.
    pub(crate) text: String,
    /// The sessions that were ended.
    pub(crate) ended: Vec<SessionId>,
    /// The user who was banned.
    pub(crate) banned: Option<Username>,
    /// The user whose role was changed, and whether the user is an administrator now.
    pub(crate) role: Option<(Username, bool)>,
    /// Whether an outgoing webhook was made.
    pub(crate) webhook_made: bool,
}

impl From<String> for Done {
    fn from(text: String) -> Self {
        Self { text, ended: Vec::new(), banned: None, role: None, webhook_made: false }
    }
}

/// What requests work on.
pub(crate) struct Context {
    pub(crate) stores: Stores,
    http: HttpOptions,
    /// Whether another issuer signs in users, who may have no account.
    external_tokens: bool,
    /// Where the page is.
    page: String,
}

impl Context {
    pub(crate) fn new(config: &Config, stores: Stores) -> Self {
        let page = match &config.http.public_url {
            Some(url) => url.origin().to_owned(),
            None => {
                let has_tls = config.tls.is_some();
                let scheme = if has_tls { "https" } else { "http" };
                let address = config.listen.parse();
                address.map_or_else(
                    |_| format!("{scheme}://{}", config.listen),
                    |address| page_url(address, has_tls),
                )
            }
        };
        let page = format!("{}{}", page.trim_end_matches('/'), config.http.base_path.as_str());
        let external_tokens = config.tokens.accept_external;
        Self { stores, http: config.http.clone(), external_tokens, page }
    }

    /// Does what a request asks for.
    pub(crate) async fn perform(&self, request: Request) -> Result<Done, Box<dyn Error>> {
        match request {
            Request::Hello => Ok(String::new().into()),
            Request::CheckName { name } => self.check_name(&name).await,
            Request::Add { name, password_hash, reuse_name, administrator } => {
                self.add(&name, password_hash, reuse_name, administrator).await
            }
            Request::List { json } => self.list(json).await,
            Request::Find { name } => Ok(self.find(&name).await?.name.as_str().to_owned().into()),
            Request::ResetPassword { name, password_hash } => {
                self.reset_password(&name, &password_hash).await
            }
            Request::Promote { name } => self.promote(&name).await,
            Request::Demote { name } => self.demote(&name).await,
            Request::Remove { name, force } => self.remove(&name, force).await,
            Request::Ban { name, reason, delete_messages } => self.ban(&name, &reason, delete_messages).await,
            Request::Unban { name } => self.unban(&name).await,
            Request::PasswordLink { name } => self.password_link(&name).await,
            Request::AddBot { name, rooms } => self.add_bot(&name, &rooms).await,
            Request::ListBots => self.list_bots().await,
            Request::RevokeBot { name } => self.revoke_bot(&name).await,
            Request::AddWebhook { name, room } => self.add_webhook(&name, &room).await,
            Request::AddOutgoing { name, room, url, only_mentions } => {
                self.add_outgoing(&name, &room, url, only_mentions).await
            }
            Request::RemoveOutgoing { name, id } => self.remove_outgoing(&name, &id).await,
            Request::Audit { before, limit } => self.audit(before, limit).await,
        }
    }

    /// Writes an entry of the audit log about an account.
    async fn note(&self, action: AuditAction, name: &Username) -> Result<(), StoreError> {
        self.stores.administration.note_account(action, name, now_ms()).await
    }

    async fn check_name(&self, name: &str) -> Result<Done, Box<dyn Error>> {
        let users = &self.stores.users;
        let name = new_name(name)?;
        match users.check_new_name(&name).await {
            Err(StoreError::NameTaken) if users.find_user(&name).await?.is_none() => Err(format!(
                "{} was the name of a removed account: --reuse-name gives its conversations to the new one",
                shown(&name)
            )
            .into()),
            checked => Ok(checked.map(|()| String::new().into())?),
        }
    }

    async fn add(
        &self,
        name: &str,
        password_hash: String,
        reuse_name: bool,
        administrator: bool,
    ) -> Result<Done, Box<dyn Error>> {
        let users = &self.stores.users;
        let name = new_name(name)?;
        let user = NewUser { name, password_hash, avatar: None, created_at_ms: now_ms() };
        if reuse_name {
            users.recreate_user(&user).await?;
        } else {
            users.create_user(&user).await?;
        }
        self.note(AuditAction::UserCreate, &user.name).await?;
        let name = shown(&user.name);
        if !administrator {
            return Ok(format!("{name} has an account now.\n").into());
        }
        // The account stays if this fails: the text says what it is.
        let text = match users.set_administrator(&user.name, true, now_ms()).await {
            Ok(RoleChange::Done) => format!("{name} has an account now, and is an administrator.\n"),
            Ok(_) => format!("{name} has an account now, but is banned, and no administrator.\n"),
            Err(error) => format!("{name} has an account now, but is no administrator: {error}\n"),
        };
        Ok(text.into())
    }

    async fn list(&self, as_json: bool) -> Result<Done, Box<dyn Error>> {
        let mut users: Vec<User> = Vec::new();
        loop {
            let last = users.last().map(|user| &user.name);
            let some = self.stores.users.list_users(last, USERS_AT_ONCE).await?;
            if some.is_empty() {
                break;
            }
            users.extend(some);
        }
        let administrators: HashSet<Username> =
            self.stores.users.administrators().await?.into_iter().collect();
        let role = |user: &User| if administrators.contains(&user.name) { "administrator" } else { "member" };
        if as_json {
            let users: Vec<_> = users
                .iter()
                .map(|user| {
                    json!({
                        "username": user.name.as_str(),
                        "created": created(user).map(|at| at.to_string()),
                        "picture": has_picture(user),
                        "role": role(user),
                    })
                })
                .collect();
            return Ok(format!("{}\n", serde_json::to_string_pretty(&users)?).into());
        }
        let names: Vec<String> = users.iter().map(|user| shown(&user.name)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("NAME".len());
        let mut table = format!("{:width$}  {:20}  PICTURE  ROLE\n", "NAME", "CREATED");
        for (user, name) in users.iter().zip(names) {
            let created = created(user).map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
            let picture = if has_picture(user) { "yes" } else { "no" };
            table += &format!("{name:width$}  {created:20}  {picture:7}  {}\n", role(user));
        }
        Ok(table.into())
    }

    async fn reset_password(&self, name: &str, password_hash: &str) -> Result<Done, Box<dyn Error>> {
        let user = self.find(name).await?;
        let administration = &self.stores.administration;
        let ended = administration.reset_password(&user.name, password_hash, None, now_ms()).await?;
        let ended = ended.ok_or("the account was removed meanwhile")?;
        let name = shown(&user.name);
        let text = format!("{name} has a new password; sessions ended: {}.\n", ended.len());
        Ok(Done { ended, ..text.into() })
    }

    async fn promote(&self, name: &str) -> Result<Done, Box<dyn Error>> {
        let user = self.find(name).await?;
        let name = shown(&user.name);
        if self.stores.users.is_administrator(&user.name).await? {
            return Ok(format!("{name} is an administrator already.\n").into());
        }
        match self.stores.users.set_administrator(&user.name, true, now_ms()).await? {
            RoleChange::Done => {
                let text = format!("{name} is an administrator now.\n");
                Ok(Done { role: Some((user.name, true)), ..text.into() })
            }
            RoleChange::Banned => {
                Err(format!("{name} is banned: `server user unban` ends that").into())
            }
            _ => Err(format!(
                "{name} has no password here, and an administrator needs one: `server user reset-password` sets it"
            )
            .into()),
        }
    }

    async fn demote(&self, name: &str) -> Result<Done, Box<dyn Error>> {
        let user = self.find(name).await?;
        let name = shown(&user.name);
        if !self.stores.users.is_administrator(&user.name).await? {
            return Ok(format!("{name} is no administrator.\n").into());
        }
        match self.stores.users.set_administrator(&user.name, false, now_ms()).await? {
            RoleChange::LastAdministrator => {
                Err(format!("{name} is the last administrator: promote another account first").into())
            }
            _ => {
                let text = format!("{name} is no administrator any more.\n");
                Ok(Done { role: Some((user.name, false)), ..text.into() })
            }
        }
    }

    async fn remove(&self, name: &str, force: bool) -> Result<Done, Box<dyn Error>> {
        let Stores { users, sessions, shared, .. } = &self.stores;
        let user = match (self.find(name).await, Username::known(name)) {
            (Ok(user), _) => user,
            (Err(error), Ok(name)) => {
                // An earlier command may have ended between the account and its sessions.
                sessions.revoke_sessions_of(&name).await?;
                return Err(error);
            }
            (Err(error), Err(_)) => return Err(error),
        };
        let administrators = users.administrators().await?;
        if !force && administrators == [user.name.clone()] {
            return Err(format!(
                "{} is the last administrator: promote another account first, or use --force",
                shown(&user.name)
            )
            .into());
        }
        // Sign-ins fail from here on, so that no new session follows.
        users.remove_user(&user.name).await?;
        let ended = sessions.revoke_sessions_of(&user.name).await?;
        self.note(AuditAction::UserRemove, &user.name).await?;
        let removed =
            chat_http::remove_avatar(&self.http.uploads_dir, &user, &**users, shared.as_deref()).await;
        let name = shown(&user.name);
        let text = match removed {
            Ok(()) => format!("The account of {name} was removed; sessions ended: {}.\n", ended.len()),
            Err(error) => format!(
                "The account of {name} was removed; sessions ended: {}. Its picture was not removed: {error}\n",
                ended.len()
            ),
        };
        Ok(Done { ended, ..text.into() })
    }

    async fn ban(&self, name: &str, reason: &str, delete_messages: bool) -> Result<Done, Box<dyn Error>> {
        let reason = parse_room_description(reason).map_err(|error| match error {
            RoomTextError::TooLong { max, .. } => format!("the reason is too long (max {max})"),
            _ => "the reason must not contain control characters".to_owned(),
        })?;
        let user = match (self.find(name).await, Username::known(name)) {
            (Ok(user), _) => user.name,
            // Another issuer names any user.
            (Err(_), Ok(name)) if self.external_tokens => name,
            (Err(error), _) => return Err(error),
        };
        let without_account = self.external_tokens;
        let ban = NewBan { user, reason, delete_messages, without_account };
        let ended = self.stores.administration.ban(&ban, None, now_ms()).await??;
        let mut text = format!("{} is banned; sessions ended: {}.\n", shown(&ban.user), ended.len());
        if delete_messages {
            text +=
                "The server deletes the messages in the background, from now on or from its next start.\n";
        }
        Ok(Done { ended, banned: Some(ban.user), ..text.into() })
    }

    async fn unban(&self, name: &str) -> Result<Done, Box<dyn Error>> {
        for name in [Username::known(name), Username::typed(name)].into_iter().flatten() {
            if self.stores.administration.unban(&name, None, now_ms()).await? {
                return Ok(format!("{} is not banned any more.\n", shown(&name)).into());
            }
        }
        Err(format!("{name:?} is not banned").into())
    }

    async fn password_link(&self, name: &str) -> Result<Done, Box<dyn Error>> {
        let found = self.find(name).await?;
        if !found.has_password() {
            return Err(format!(
                "{} has no password here, as another server signs the user in: `server user reset-password` would set one",
                shown(&found.name)
            )
            .into());
        }
        let user = found.name;
        let now = now_ms();
        let (link, secret) = chat_http::new_password_link(user, now);
        if !self.stores.administration.create_password_link(&link, None, now).await? {
            return Err("the account was removed meanwhile".into());
        }
        let (name, page) = (shown(&link.user), &self.page);
        Ok(format!("With this link, {name} sets a password once in 24 hours:\n{page}/password/{secret}\n")
            .into())
    }

    async fn add_bot(&self, name: &str, rooms: &[String]) -> Result<Done, Box<dyn Error>> {
        let name = new_name(name)?;
        let rooms = rooms.iter().map(|room| RoomName::parse(room)).collect::<Result<Vec<_>, _>>()?;
        let token = make_bot(&*self.stores.bots, name.clone(), rooms, None, now_ms()).await?;
        Ok(format!("{} is a bot now. Its token, which is shown once:\n{token}\n", shown(&name)).into())
    }

    async fn list_bots(&self) -> Result<Done, Box<dyn Error>> {
        let mut text = String::new();
        let outgoing = self.stores.outgoing.outgoing_webhooks().await?;
        for bot in self.stores.bots.bots().await? {
            let rooms: Vec<&str> = bot.rooms.iter().map(RoomName::as_str).collect();
            let state = match bot.has_token {
                true => format!("rooms: {}; webhooks: {}", rooms.join(", "), bot.webhooks),
                false => "revoked".to_owned(),
            };
            text += &format!("{}  {state}\n", shown(&bot.name));
            for webhook in outgoing.iter().filter(|webhook| webhook.bot == bot.name) {
                text += &outgoing_line(webhook);
            }
        }
        Ok(text.into())
    }

    async fn revoke_bot(&self, name: &str) -> Result<Done, Box<dyn Error>> {
        let name = Username::known(name)?;
        if !self.stores.bots.revoke_bot(&name, None, now_ms()).await? {
            return Err(format!("there is no bot {name:?} with a token").into());
        }
        Ok(format!("The token and the webhooks of {} have ended.\n", shown(&name)).into())
    }

    async fn add_outgoing(
        &self,
        name: &str,
        room: &str,
        url: String,
        only_mentions: bool,
    ) -> Result<Done, Box<dyn Error>> {
        let (bot, room) = (Username::known(name)?, RoomName::parse(room)?);
        let order = OutgoingOrder { bot, room, url, only_mentions };
        let made = make_outgoing(&*self.stores.outgoing, &self.http, order, None, now_ms()).await?;
        let text = format!(
            "The outgoing webhook {} gets the messages from now on. The secret that signs them, which is shown \
             once:\n{}\n",
            made.id, made.secret
        );
        Ok(Done { webhook_made: true, ..text.into() })
    }

    async fn remove_outgoing(&self, name: &str, id: &str) -> Result<Done, Box<dyn Error>> {
        let name = Username::known(name)?;
        if !self.stores.outgoing.remove_outgoing(&name, id, None, now_ms()).await? {
            return Err(format!("{} has no outgoing webhook {id:?}", shown(&name)).into());
        }
        Ok(format!("The outgoing webhook {id} gets no messages any more.\n").into())
    }

    async fn add_webhook(&self, name: &str, room: &str) -> Result<Done, Box<dyn Error>> {
        let (name, room) = (Username::known(name)?, RoomName::parse(room)?);
        let path = make_webhook(&*self.stores.bots, name.clone(), room, None, now_ms()).await?;
        let (name, page) = (shown(&name), &self.page);
        Ok(format!("What is posted here is a message of {name}; the address is shown once:\n{page}{path}\n")
            .into())
    }

    async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Done, Box<dyn Error>> {
        let mut text = String::new();
        for entry in self.stores.administration.audit(before, limit).await? {
            let at = i64::try_from(entry.at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
            let at = at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
            let by = entry.by.as_ref().map_or_else(|| "server".to_owned(), shown);
            let target = match Username::known(&entry.target) {
                Ok(target) => shown(&target),
                Err(_) => format!("{:?}", entry.target),
            };
            let target = if entry.target.is_empty() { "-".to_owned() } else { target };
            let details = entry.details.map(|details| format!("  {details}")).unwrap_or_default();
            text += &format!("{:6}  {at:20}  {by}  {}  {target}{details}\n", entry.id, entry.action.as_str());
        }
        Ok(text.into())
    }

    /// Finds the account with exactly that name, or with the name as it would be
    /// registered.
    async fn find(&self, name: &str) -> Result<User, Box<dyn Error>> {
        for name in [Username::known(name), Username::typed(name)].into_iter().flatten() {
            if let Some(user) = self.stores.users.find_user(&name).await? {
                return Ok(user);
            }
        }
        Err(format!("there is no account {name:?}").into())
    }
}

/// The name of a new account. The operator may use all reserved names but the own one.
fn new_name(name: &str) -> Result<Username, Box<dyn Error>> {
    let name = Username::parse(name)?;
    if ReservedNames::is_operator(&name) {
        return Err(format!("{} stands for the operator: no account can have that name", shown(&name)).into());
    }
    Ok(name)
}

/// Accounts in one query.
const USERS_AT_ONCE: usize = 1_000;

/// When the account was created; `None` for accounts of the original without a
/// time.
fn created(user: &User) -> Option<Timestamp> {
    let ms = i64::try_from(user.created_at_ms).ok().filter(|ms| *ms > 0)?;
    Timestamp::from_millisecond(ms).ok()
}

fn has_picture(user: &User) -> bool {
    user.avatar.as_deref().is_some_and(|address| !address.is_empty())
}

/// An outgoing webhook in the list of bots.
fn outgoing_line(webhook: &OutgoingWebhook) -> String {
    let what = if webhook.only_mentions { "mentions" } else { "messages" };
    let state = match (&webhook.off_at_ms, &webhook.last) {
        (Some(_), Some((_, result))) => format!("off: {result}"),
        (Some(_), None) => "off".to_owned(),
        (None, Some((_, result))) if webhook.failures > 0 => {
            format!("failures: {}, the last one: {result}", webhook.failures)
        }
        (None, Some((_, result))) => result.clone(),
        (None, None) => "nothing delivered yet".to_owned(),
    };
    format!("  {}  {what} of {} to {}; {state}\n", webhook.id, webhook.room, webhook.url)
}

/// A name for a terminal. The original accepted control characters in names.
fn shown(name: &Username) -> String {
    match Username::parse(name.as_str()) {
        Ok(parsed) if parsed == *name => name.to_string(),
        _ => format!("{name:?}"),
    }
}
