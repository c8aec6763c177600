//! A way to a Postgres server on which messages, and their answers, get lost.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_store::test_postgres::TestDatabase;
use chat_store::{DatabaseUrl, PostgresUrl};
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What becomes of a message, such as a commit, on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done, then the connection is cut instead of the answer.
    AnswerLost,
    /// The connection is cut while it is on its way; it arrives.
    CutBehindIt,
    /// The connection is cut; it arrives a while later.
    CutAndLate,
    /// The connection is cut, and the server does not get to know of it.
    CutAndLost,
    /// It is done, and nothing more is heard on this connection.
    NoAnswer,
    /// It does not arrive, and nothing more is heard on this connection.
    Lost,
}

pub(crate) const FATES: [Fate; 6] =
    [Fate::AnswerLost, Fate::CutBehindIt, Fate::CutAndLate, Fate::CutAndLost, Fate::NoAnswer, Fate::Lost];

/// A proxy in front of a server, for as long as it lives.
pub(crate) struct Proxy {
    address: SocketAddr,
    text: String,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// Of the next message that has these bytes in it.
    fate: Option<(Vec<u8>, Fate)>,
    /// New connections are cut at once.
    closed: bool,
}

impl Proxy {
    pub(crate) async fn before(database: &TestDatabase) -> Self {
        let options: PgConnectOptions = database.text.parse().unwrap();
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let accepting = tokio::spawn(accept(listener, server.clone(), Arc::clone(&state)));
        Self { address, text: database.text.replacen(&server, &address.to_string(), 1), state, accepting }
    }

    pub(crate) fn url(&self) -> PostgresUrl {
        assert!(self.text.contains(&self.address.to_string()), "{}", self.text);
        match DatabaseUrl::parse(&self.text).unwrap() {
            DatabaseUrl::Postgres(url) => url,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn next_commit(&self, fate: Fate) {
        // A `Query` message, see the frontend/backend protocol.
        self.next_with("COMMIT\0", fate);
    }

    pub(crate) fn next_with(&self, part: &str, fate: Fate) {
        self.state.lock().unwrap().fate = Some((part.into(), fate));
    }

    /// Whether the fate came upon something.
    pub(crate) fn has_met_one(&self) -> bool {
        self.state.lock().unwrap().fate.is_none()
    }

    pub(crate) fn refuse_new(&self, closed: bool) {
        self.state.lock().unwrap().closed = closed;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    fn fate_of(&mut self, asked: &[u8]) -> Option<Fate> {
        let (part, fate) = self.fate.as_ref()?;
        let (is_met, fate) = (asked.windows(part.len()).any(|bytes| bytes == part), *fate);
        is_met.then(|| {
            self.fate = None;
            fate
        })
    }
}

async fn accept(listener: TcpListener, server: String, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if !state.lock().unwrap().closed {
            connections.spawn(carry(client, server.clone(), Arc::clone(&state)));
        }
    }
}

async fn carry(mut client: TcpStream, server: String, state: Arc<Mutex<State>>) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let asked = &asked[..read?];
                if asked.is_empty() {
                    return Ok(());
                }
                let fate = state.lock().unwrap().fate_of(asked);
                if let Some(fate) = fate {
                    return meet(fate, client, server, asked, &mut answered).await;
                }
                server.write_all(asked).await?;
            }
            read = server.read(&mut answered) => {
                let answered = &answered[..read?];
                if answered.is_empty() {
                    return Ok(());
                }
                client.write_all(answered).await?;
            }
        }
    }
}

async fn meet(
    fate: Fate,
    client: TcpStream,
    mut server: TcpStream,
    message: &[u8],
    answer: &mut [u8],
) -> io::Result<()> {
    match fate {
        Fate::AnswerLost => {
            server.write_all(message).await?;
            assert!(server.read(answer).await? > 0);
        }
        Fate::CutBehindIt => {
            server.write_all(message).await?;
        }
        Fate::CutAndLate => {
            drop(client);
            tokio::time::sleep(Duration::from_millis(200)).await;
            server.write_all(message).await?;
            // Whatever it answers, if it is still there.
            let _ = server.read(answer).await?;
        }
        Fate::CutAndLost => {
            drop(client);
            std::future::pending::<()>().await;
        }
        Fate::NoAnswer => {
            server.write_all(message).await?;
            std::future::pending::<()>().await;
        }
        Fate::Lost => std::future::pending().await,
    }
    Ok(())
}
