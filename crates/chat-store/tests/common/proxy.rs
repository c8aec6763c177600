//! A proxy before a Postgres server that loses messages and their answers.

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

/// What the proxy does with one message, such as a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The server executes it; the connection is cut instead of the answer.
    AnswerLost,
    /// The message reaches the server, and the connection is cut at once.
    CutBehindIt,
    /// The connection is cut; the message reaches the server 200 ms later.
    CutAndLate,
    /// The message is lost and the client's connection cut; the server's stays open.
    CutAndLost,
    /// The server executes it; nothing more passes on this connection.
    NoAnswer,
    /// The message is lost; nothing more passes on this connection.
    Lost,
}

pub(crate) const FATES: [Fate; 6] =
    [Fate::AnswerLost, Fate::CutBehindIt, Fate::CutAndLate, Fate::CutAndLost, Fate::NoAnswer, Fate::Lost];

/// A proxy before a database server, until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    text: String,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// The fate of the next message that contains these bytes.
    fate: Option<(Vec<u8>, Fate)>,
    /// New connections are cut at once.
    closed: bool,
    /// Where new connections lead.
    server: String,
}

impl Proxy {
    pub(crate) async fn before(database: &TestDatabase) -> Self {
        let options: PgConnectOptions = database.text.parse().unwrap();
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { server: server.clone(), ..State::default() }));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
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

    /// Whether a message has met the fate.
    pub(crate) fn has_applied_fate(&self) -> bool {
        self.state.lock().unwrap().fate.is_none()
    }

    /// New connections lead to another database server, `host:port`.
    pub(crate) fn lead_to(&self, server: String) {
        self.state.lock().unwrap().server = server;
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
    fn fate_of(&mut self, request: &[u8]) -> Option<Fate> {
        let (part, fate) = self.fate.as_ref()?;
        let (is_met, fate) = (request.windows(part.len()).any(|bytes| bytes == part), *fate);
        is_met.then(|| {
            self.fate = None;
            fate
        })
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (closed, server) = {
            let state = state.lock().unwrap();
            (state.closed, state.server.clone())
        };
        if !closed {
            connections.spawn(forward(client, server, Arc::clone(&state)));
        }
    }
}

async fn forward(mut client: TcpStream, server: String, state: Arc<Mutex<State>>) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let (mut request, mut response) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let request = &request[..read?];
                if request.is_empty() {
                    return Ok(());
                }
                let fate = state.lock().unwrap().fate_of(request);
                if let Some(fate) = fate {
                    return apply(fate, client, server, request, &mut response).await;
                }
                server.write_all(request).await?;
            }
            read = server.read(&mut response) => {
                let response = &response[..read?];
                if response.is_empty() {
                    return Ok(());
                }
                client.write_all(response).await?;
            }
        }
    }
}

async fn apply(
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
            // The answer does not matter, nor whether there is one.
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
