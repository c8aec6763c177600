//! The socket by which commands reach the running server: `control.sock` in its data folder,
//! for the owner of the folder only.
//!
//! A command writes a line of JSON for each [`Request`], and reads a line with the [`Answer`].
//! Without a running server, it opens the database itself.

use std::error::Error;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_http::Server;
use chat_store::{DatabaseUrl, Stores};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::config::Config;
use crate::requests::{Context, Request};

/// A line of a command.
#[derive(Serialize, Deserialize)]
struct Line {
    /// The database that the command is about; see [`database`].
    database: String,
    request: Request,
}

/// A line of the server.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// It was done; the text is for the operator.
    Done(String),
    /// It was not done, for this reason.
    Refused(String),
    /// The server has another database.
    OtherDatabase,
}

/// The server's end of the socket.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    database: String,
    context: Context,
}

impl ControlSocket {
    /// Creates the socket, in place of one that a crash has left. `None`, with a warning in the
    /// log, if that is not possible: a server does without.
    pub(crate) fn open(config: &Config, context: Context) -> Option<Self> {
        let path = path(&config.data_dir);
        match bind(&path) {
            Ok(listener) => Some(Self { listener, path, database: database(&config.database_url), context }),
            Err(error) => {
                tracing::warn!(
                    path = %path.display(),
                    %error,
                    "commands such as `server user` cannot reach this server"
                );
                None
            }
        }
    }

    /// Answers one command after the other. Never resolves.
    pub(crate) async fn serve(&self, server: &Server) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    if let Err(error) = self.answer(stream, server).await {
                        tracing::debug!(%error, "a command was not answered");
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a command cannot connect");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    async fn answer(&self, stream: UnixStream, server: &Server) -> io::Result<()> {
        // Root may command every server.
        let owner = std::fs::metadata(&self.path)?.uid();
        let user = stream.peer_cred()?.uid();
        if user != owner && user != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut stream = BufReader::new(stream);
        while let Some(line) = timeout(COMMAND_MAX, read_line(&mut stream, REQUEST_MAX_BYTES)).await?? {
            let Line { database, request } = serde_json::from_str(&line)?;
            let answer = if database == self.database {
                match self.context.perform(request).await {
                    Ok(done) => {
                        server.end_sessions(&done.ended).await;
                        if let Some((user, is_administrator)) = &done.role {
                            server.role_changed(user, *is_administrator);
                        }
                        if done.webhook_made {
                            server.webhook_made();
                        }
                        if let Some(user) = &done.banned {
                            server.end_user(user).await;
                        }
                        Answer::Done(done.text)
                    }
                    Err(error) => Answer::Refused(crate::sentence(error.as_ref())),
                }
            } else {
                Answer::OtherDatabase
            };
            let mut line = serde_json::to_string(&answer)?;
            line.push('\n');
            timeout(COMMAND_MAX, stream.write_all(line.as_bytes())).await??;
        }
        Ok(())
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What a command works on.
pub(crate) enum Operator {
    /// A running server, and the database that both have.
    Running(BufReader<UnixStream>, String),
    /// A database that no server has, or Postgres.
    Opened(Box<Context>),
}

impl Operator {
    /// Connects to the running server, or opens the database; `may_create`: also one that is
    /// not there yet.
    pub(crate) async fn reach(config: &Config, may_create: bool) -> Result<Self, Box<dyn Error>> {
        if let Ok(stream) = UnixStream::connect(path(&config.data_dir)).await {
            let mut running = Self::Running(BufReader::new(stream), database(&config.database_url));
            if running.ask(Request::Hello).await.is_ok() {
                return Ok(running);
            }
        }
        match &config.database_url {
            DatabaseUrl::Memory => {
                return Err("a memory store belongs to its server, and no server runs here".into());
            }
            DatabaseUrl::Sqlite(path) => match path.parent() {
                Some(folder) if may_create => crate::folder::private_folder(folder)?,
                _ if !path.exists() => return Err(format!("there is no database {}", path.display()).into()),
                _ => {}
            },
            DatabaseUrl::Postgres(_) => {}
        }
        let stores = Stores::open(&config.database_url).await?;
        Ok(Self::Opened(Box::new(Context::new(config, stores))))
    }

    /// Has a request done, and returns the text for the operator.
    pub(crate) async fn ask(&mut self, request: Request) -> Result<String, Box<dyn Error>> {
        let (stream, database) = match self {
            Self::Opened(context) => return Ok(context.perform(request).await?.text),
            Self::Running(stream, database) => (stream, database),
        };
        let mut line = serde_json::to_string(&Line { database: database.clone(), request })?;
        line.push('\n');
        stream.write_all(line.as_bytes()).await?;
        let answer = timeout(ANSWER_MAX, read_line(stream, u64::MAX)).await;
        let answer = answer.map_err(|_| "the server does not answer")??;
        match serde_json::from_str(&answer.ok_or("the server has stopped")?)? {
            Answer::Done(text) => Ok(text),
            Answer::Refused(sentence) => Err(sentence.into()),
            Answer::OtherDatabase => Err("the server has another database".into()),
        }
    }

    /// Closes what was opened.
    pub(crate) async fn close(self) {
        match self {
            Self::Running(..) => {}
            Self::Opened(context) => context.stores.close().await,
        }
    }
}

/// Reads a line; `None` at the end.
async fn read_line(stream: &mut (impl AsyncBufRead + Unpin), max_bytes: u64) -> io::Result<Option<String>> {
    let mut line = String::new();
    stream.take(max_bytes).read_line(&mut line).await?;
    match line.is_empty() || line.ends_with('\n') {
        true => Ok(Some(line).filter(|line| !line.is_empty())),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Creates the socket with its permissions, before it has its name.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let _ = std::fs::remove_file(&temporary);
    let listener = UnixListener::bind(&temporary)?;
    let named = std::fs::set_permissions(&temporary, Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(&temporary, path));
    if named.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    named.map(|()| listener)
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// A database as a text that is the same for the server and for commands.
fn database(url: &DatabaseUrl) -> String {
    match url {
        DatabaseUrl::Sqlite(path) => {
            let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            path.display().to_string()
        }
        DatabaseUrl::Memory | DatabaseUrl::Postgres(_) => url.to_string(),
    }
}

/// How long a command may take to send a request, or to read an answer. Other commands wait.
const COMMAND_MAX: Duration = Duration::from_secs(120);
/// How long a command waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The longest request.
const REQUEST_MAX_BYTES: u64 = 64 * 1024;
/// The pause after a failure to accept a command.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
