//! `server user`: the accounts, by hand.

use std::collections::HashSet;
use std::error::Error;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use chat_auth::{HashFor, PASSWORD_MAX_BYTES, Password, PasswordRule, Passwords};
use chat_core::Username;
use chat_store::{DatabaseUrl, NewUser, RoleChange, StoreError, Stores, User};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use rand::seq::IndexedRandom as _;
use serde_json::json;

use crate::clock::now_ms;
use crate::config::Config;
use crate::folder::private_folder;
use crate::output::print;

/// What to do with accounts. Stop a server on an SQLite file first; on Postgres the
/// server may be running.
#[derive(Subcommand)]
pub(crate) enum Task {
    /// Create an account, also if registration is closed or the name is reserved.
    Add {
        /// The name, as users will see it.
        name: String,
        /// Reuse the name of a removed account, and with the name its private
        /// conversations.
        #[arg(long)]
        reuse_name: bool,
        /// Make the account an administrator.
        #[arg(long)]
        administrator: bool,
        #[command(flatten)]
        password: NewPassword,
    },
    /// List all accounts with their roles.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Set a new password, and end all sessions of the account.
    ResetPassword {
        /// The account.
        name: String,
        #[command(flatten)]
        password: NewPassword,
    },
    /// Make an account an administrator.
    Promote {
        /// The account. It must have a password.
        name: String,
    },
    /// Take the role of administrator from an account. The last administrator keeps it.
    Demote {
        /// The account.
        name: String,
    },
    /// Remove an account and its picture, and end its sessions. Messages stay, and
    /// the name cannot be registered again.
    Remove {
        /// The account.
        name: String,
    },
}

/// Where a password comes from: one line of standard input, without an echo if
/// that is a terminal.
#[derive(Args)]
pub(crate) struct NewPassword {
    /// Generate a password, and print it.
    #[arg(long, conflicts_with = "password_stdin")]
    generate: bool,
    /// Read the password from standard input, and do not ask for it twice.
    #[arg(long)]
    password_stdin: bool,
}

/// Runs the command and prints what it did.
pub(crate) async fn user(config: Config, task: Task) -> Result<(), Box<dyn Error>> {
    let stores = open(&config.database_url, &task).await?;
    let done = match task {
        Task::Add { name, reuse_name, administrator, password } => {
            add(&config, &stores, &name, AddOptions { reuse_name, administrator }, password).await
        }
        Task::List { json } => list(&stores, json).await,
        Task::ResetPassword { name, password } => reset_password(&config, &stores, &name, password).await,
        Task::Promote { name } => promote(&stores, &name).await,
        Task::Demote { name } => demote(&stores, &name).await,
        Task::Remove { name } => remove(&config, &stores, &name).await,
    };
    stores.close().await;
    done
}

async fn open(url: &DatabaseUrl, task: &Task) -> Result<Stores, Box<dyn Error>> {
    match url {
        DatabaseUrl::Memory => {
            return Err("a memory store belongs to its server: it has no accounts for commands".into());
        }
        DatabaseUrl::Sqlite(path) => match (task, path.parent()) {
            (Task::Add { .. }, Some(folder)) => private_folder(folder)?,
            _ if !path.exists() => return Err(format!("there is no database {}", path.display()).into()),
            _ => {}
        },
        DatabaseUrl::Postgres(_) => {}
    }
    Ok(Stores::open(url).await?)
}

struct AddOptions {
    reuse_name: bool,
    administrator: bool,
}

async fn add(
    config: &Config,
    stores: &Stores,
    name: &str,
    options: AddOptions,
    password: NewPassword,
) -> Result<(), Box<dyn Error>> {
    let name = Username::parse(name)?;
    if !options.reuse_name {
        // Before the question for a password.
        check(stores, &name).await?;
    }
    let (password, printed) = password.get(config.http.password_rule, &name)?;
    let password_hash =
        Passwords::start(config.passwords.clone())?.hash(HashFor::KnownUser(""), password).await?;
    let user = NewUser { name, password_hash, avatar: None, created_at_ms: now_ms() };
    if options.reuse_name {
        stores.users.recreate_user(&user).await?;
    } else {
        stores.users.create_user(&user).await?;
    }
    let name = shown(&user.name);
    if !options.administrator {
        return print(&format!("{name} has an account now.\n{printed}"));
    }
    let made = stores.users.set_administrator(&user.name, true, now_ms()).await;
    if !matches!(made, Ok(RoleChange::Done)) {
        // The account stays, so that its password must be printed.
        print(&format!("{name} has an account now.\n{printed}"))?;
        made?;
        return Err(format!("{name} was removed before it was an administrator").into());
    }
    print(&format!("{name} has an account now, and is an administrator.\n{printed}"))
}

async fn check(stores: &Stores, name: &Username) -> Result<(), Box<dyn Error>> {
    match stores.users.check_new_name(name).await {
        Err(StoreError::NameTaken) if stores.users.find_user(name).await?.is_none() => Err(format!(
            "{} was the name of a removed account: --reuse-name gives its conversations to the new one",
            shown(name)
        )
        .into()),
        checked => Ok(checked?),
    }
}

async fn list(stores: &Stores, as_json: bool) -> Result<(), Box<dyn Error>> {
    let mut users: Vec<User> = Vec::new();
    loop {
        let some = stores.users.list_users(users.last().map(|user| &user.name), USERS_AT_ONCE).await?;
        if some.is_empty() {
            break;
        }
        users.extend(some);
    }
    let administrators: HashSet<Username> = stores.users.administrators().await?.into_iter().collect();
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
        return print(&format!("{}\n", serde_json::to_string_pretty(&users)?));
    }
    let names: Vec<String> = users.iter().map(|user| shown(&user.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("NAME".len());
    let mut table = format!("{:width$}  {:20}  PICTURE  ROLE\n", "NAME", "CREATED");
    for (user, name) in users.iter().zip(names) {
        let created = created(user).map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
        let picture = if has_picture(user) { "yes" } else { "no" };
        table += &format!("{name:width$}  {created:20}  {picture:7}  {}\n", role(user));
    }
    print(&table)
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

async fn reset_password(
    config: &Config,
    stores: &Stores,
    name: &str,
    password: NewPassword,
) -> Result<(), Box<dyn Error>> {
    let mut user = find(stores, name).await?;
    let (password, printed) = password.get(config.http.password_rule, &user.name)?;
    let hash = Passwords::start(config.passwords.clone())?.hash(HashFor::KnownUser(""), password).await?;
    // A sign-in at this moment may have replaced the old hash.
    while !stores.users.set_password_hash(&user.name, &user.password_hash, &hash).await? {
        user = find(stores, user.name.as_str()).await?;
    }
    let ended = stores.sessions.revoke_sessions_of(&user.name).await?.len();
    print(&format!("{} has a new password; sessions ended: {ended}.\n{printed}", shown(&user.name)))
}

async fn promote(stores: &Stores, name: &str) -> Result<(), Box<dyn Error>> {
    let user = find(stores, name).await?;
    let name = shown(&user.name);
    if stores.users.is_administrator(&user.name).await? {
        return print(&format!("{name} is an administrator already.\n"));
    }
    match stores.users.set_administrator(&user.name, true, now_ms()).await? {
        RoleChange::Done => print(&format!("{name} is an administrator now.\n")),
        _ => Err(format!(
            "{name} has no password here, and an administrator needs one: `server user reset-password` sets it"
        )
        .into()),
    }
}

async fn demote(stores: &Stores, name: &str) -> Result<(), Box<dyn Error>> {
    let user = find(stores, name).await?;
    let name = shown(&user.name);
    if !stores.users.is_administrator(&user.name).await? {
        return print(&format!("{name} is no administrator.\n"));
    }
    match stores.users.set_administrator(&user.name, false, now_ms()).await? {
        RoleChange::LastAdministrator => {
            Err(format!("{name} is the last administrator: promote another account first").into())
        }
        _ => print(&format!("{name} is no administrator any more.\n")),
    }
}

async fn remove(config: &Config, stores: &Stores, name: &str) -> Result<(), Box<dyn Error>> {
    let user = match (find(stores, name).await, Username::known(name)) {
        (Ok(user), _) => user,
        (Err(error), Ok(name)) => {
            // An earlier command may have ended between the account and its sessions.
            stores.sessions.revoke_sessions_of(&name).await?;
            return Err(error);
        }
        (Err(error), Err(_)) => return Err(error),
    };
    // Sign-ins fail from here on, so that no new session follows.
    stores.users.remove_user(&user.name).await?;
    let ended = stores.sessions.revoke_sessions_of(&user.name).await?.len();
    let removed = chat_http::remove_avatar(&config.http.uploads_dir, &user, &*stores.users).await;
    removed.map_err(|error| format!("the account was removed, but its picture was not: {error}"))?;
    print(&format!("The account of {} was removed; sessions ended: {ended}.\n", shown(&user.name)))
}

/// Finds the account with exactly that name, or with the name as it would be
/// registered.
async fn find(stores: &Stores, name: &str) -> Result<User, Box<dyn Error>> {
    for name in [Username::known(name), Username::parse(name)].into_iter().flatten() {
        if let Some(user) = stores.users.find_user(&name).await? {
            return Ok(user);
        }
    }
    Err(format!("there is no account {name:?}").into())
}

impl NewPassword {
    /// The password of an account, and what to print about it.
    fn get(&self, rule: PasswordRule, name: &Username) -> Result<(Password, String), Box<dyn Error>> {
        let (text, printed) = if self.generate {
            let text = generated(rule.min_chars.max(GENERATED_CHARS));
            let printed = format!("Password: {text}\n");
            (text, printed)
        } else if self.password_stdin || !io::stdin().is_terminal() {
            (line_of_stdin()?, String::new())
        } else {
            let text = rpassword::prompt_password("Password: ")?;
            if rpassword::prompt_password("Again: ")? != text {
                return Err("the two passwords are different".into());
            }
            (text, String::new())
        };
        let password = Password::parse(text)?;
        rule.check(&password, |text| name.is_written_as(text))?;
        Ok((password, printed))
    }
}

/// Characters of a generated password: more than 100 bits.
const GENERATED_CHARS: usize = 20;

/// One line of standard input, without its end.
fn line_of_stdin() -> Result<String, Box<dyn Error>> {
    let mut line = String::new();
    // More than the longest password, so that a longer one is refused and not cut.
    io::stdin().lock().take(PASSWORD_MAX_BYTES as u64 + 3).read_line(&mut line)?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// A random password, in characters that are not mistaken for others.
fn generated(chars: usize) -> String {
    let mut random = rand::rng();
    let letter = || LETTERS.choose(&mut random).copied().map(char::from);
    std::iter::repeat_with(letter).take(chars).flatten().collect()
}

const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789ABCDEFGHJKMNPQRSTUVWXYZ";

/// A name for a terminal. The original accepted control characters in names.
fn shown(name: &Username) -> String {
    match Username::parse(name.as_str()) {
        Ok(parsed) if parsed == *name => name.to_string(),
        _ => format!("{name:?}"),
    }
}
