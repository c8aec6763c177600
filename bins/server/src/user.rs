//! `server user`: the accounts, by hand.

use std::error::Error;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use chat_auth::{HashFor, PASSWORD_MAX_BYTES, Password, PasswordRule, Passwords};
use chat_core::Username;
use clap::{Args, Subcommand};
use rand::seq::IndexedRandom as _;

use crate::config::Config;
use crate::control::Operator;
use crate::output::print;
use crate::requests::Request;

/// What to do with accounts. A server that runs on the data folder does it; otherwise the
/// command opens the database.
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
        /// Remove also the last administrator.
        #[arg(long)]
        force: bool,
    },
    /// Ban a user: end all sessions, and let the user sign in no more.
    Ban {
        /// The account. It must not be an administrator.
        name: String,
        /// The reason, for administrators.
        #[arg(long, default_value = "")]
        reason: String,
        /// Delete all messages of the user, also those in private conversations. The server
        /// does so in the background, and stops if the ban ends.
        #[arg(long)]
        delete_messages: bool,
    },
    /// End the ban of a user.
    Unban {
        /// The account.
        name: String,
    },
    /// Print a link with which a user sets a new password, once in 24 hours.
    PasswordLink {
        /// The account.
        name: String,
    },
}

/// What to do with bots. A server that runs on the data folder does it; otherwise the command opens
/// the database.
#[derive(Subcommand)]
pub(crate) enum BotTask {
    /// Make a bot for some rooms, and print its token; or give it a new token and new rooms.
    Add {
        /// The name, as users will see it.
        name: String,
        /// A room that the bot may post to and read, by its name. May be repeated. To a closed room
        /// a moderator has to add the bot as well.
        #[arg(long = "room", value_name = "ROOM", required = true)]
        rooms: Vec<String>,
    },
    /// List all bots with their rooms, and the state of the addresses to which messages are delivered.
    List,
    /// End the token and the webhooks of a bot. Its messages stay.
    Revoke {
        /// The bot.
        name: String,
    },
    /// Make an address to which programs post as they do to Slack, and print it.
    Webhook {
        /// The bot whose messages they are.
        name: String,
        /// One of its rooms.
        #[arg(long, value_name = "ROOM")]
        room: String,
    },
    /// Deliver the messages of a room to the address of a program from now on, and print the secret
    /// that signs them.
    Hook {
        /// The bot to which the webhook belongs. Its own messages are not delivered.
        name: String,
        /// One of its rooms.
        #[arg(long, value_name = "ROOM")]
        room: String,
        /// The address.
        #[arg(long, value_name = "URL")]
        url: String,
        /// Deliver only messages that mention the bot.
        #[arg(long)]
        mentions: bool,
    },
    /// End such deliveries.
    Unhook {
        /// The bot.
        name: String,
        /// The id of the webhook, which `list` shows.
        id: String,
    },
}

/// Does something with bots.
pub(crate) async fn bot(config: &Config, task: BotTask) -> Result<(), Box<dyn Error>> {
    let mut operator = Operator::reach(config, false).await?;
    let done = operator
        .ask(match task {
            BotTask::Add { name, rooms } => Request::AddBot { name, rooms },
            BotTask::List => Request::ListBots,
            BotTask::Revoke { name } => Request::RevokeBot { name },
            BotTask::Webhook { name, room } => Request::AddWebhook { name, room },
            BotTask::Hook { name, room, url, mentions } => {
                Request::AddOutgoing { name, room, url, only_mentions: mentions }
            }
            BotTask::Unhook { name, id } => Request::RemoveOutgoing { name, id },
        })
        .await;
    operator.close().await;
    print(&done?)
}

/// Which entries of the audit log to print, the newest first.
#[derive(Args)]
pub(crate) struct AuditTask {
    /// Only entries before the one with this number.
    #[arg(long, value_name = "ID")]
    before: Option<u64>,
    /// The number of entries.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
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
    let may_create = matches!(task, Task::Add { .. });
    let mut operator = Operator::reach(&config, may_create).await?;
    let done = run(&config, &mut operator, task).await;
    operator.close().await;
    print(&done?)
}

async fn run(config: &Config, operator: &mut Operator, task: Task) -> Result<String, Box<dyn Error>> {
    let request = match task {
        Task::Add { name, reuse_name, administrator, password } => {
            let parsed = Username::parse(&name)?;
            if !reuse_name {
                // Before the question for a password.
                operator.ask(Request::CheckName { name: name.clone() }).await?;
            }
            let (password, printed) = password.get(config.http.password_rule, &parsed)?;
            let password_hash = hash(config, password).await?;
            let request = Request::Add { name, password_hash, reuse_name, administrator };
            return Ok(operator.ask(request).await? + &printed);
        }
        Task::ResetPassword { name, password } => {
            let name = operator.ask(Request::Find { name }).await?;
            let (password, printed) = password.get(config.http.password_rule, &Username::known(&name)?)?;
            let password_hash = hash(config, password).await?;
            return Ok(operator.ask(Request::ResetPassword { name, password_hash }).await? + &printed);
        }
        Task::List { json } => Request::List { json },
        Task::Promote { name } => Request::Promote { name },
        Task::Demote { name } => Request::Demote { name },
        Task::Remove { name, force } => Request::Remove { name, force },
        Task::Ban { name, reason, delete_messages } => Request::Ban { name, reason, delete_messages },
        Task::Unban { name } => Request::Unban { name },
        Task::PasswordLink { name } => Request::PasswordLink { name },
    };
    operator.ask(request).await
}

async fn hash(config: &Config, password: Password) -> Result<String, Box<dyn Error>> {
    Ok(Passwords::start(config.passwords.clone())?.hash(HashFor::KnownUser(""), password).await?)
}

/// Prints the audit log.
pub(crate) async fn audit(config: &Config, task: AuditTask) -> Result<(), Box<dyn Error>> {
    let mut operator = Operator::reach(config, false).await?;
    let AuditTask { before, limit } = task;
    let done = operator.ask(Request::Audit { before, limit }).await;
    operator.close().await;
    print(&done?)
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
