//! What one attacker does.

use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::attack::{Answers, Plan, TIMEOUT, status};
use crate::client::open;
use crate::server::{FORM, Server, call, call_from, form};

/// The kinds of attacks.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Wrong passwords, each for a name of its own.
    SignIns,
    /// New accounts.
    Registrations,
    /// Invitations, webhooks and bots, by secrets that nobody has.
    Secrets,
    /// One user sends messages, empty frames, fragments of one byte and pings in the room of the
    /// others, on a connection each and as fast as the server reads (--rate and --attackers do not
    /// matter).
    Messages,
    /// One user reads lists of rooms and pages of history, and opens WebSockets, each of which
    /// gets a `hello`.
    Reads,
}

impl Kind {
    /// Makes what the attackers read.
    pub(crate) async fn prepare(self, server: &Server, cookie: &str) -> Result<(), Box<dyn Error>> {
        if self != Self::Reads {
            return Ok(());
        }
        let headers = format!("Cookie: {cookie}\r\n");
        for room in 0..ROOMS {
            let new = format!("{{\"title\":\"Room {room}\",\"name\":\"room-{room}\"}}");
            let answer = server.call("POST", "/api/rooms", &headers, &new).await?;
            if status(&answer) != Some(201) {
                return Err("a room was not created".into());
            }
        }
        Ok(())
    }
}

/// Rooms that a user reads again and again.
const ROOMS: usize = 500;

/// Attacks until the attack is over.
pub(crate) async fn attacker(plan: Arc<Plan>, number: u16, addresses: u16) -> Answers {
    match plan.kind {
        Kind::SignIns | Kind::Registrations | Kind::Secrets => strangers(&plan, addresses).await,
        Kind::Messages if number < 4 => flood(&plan, number).await,
        Kind::Messages => Answers::default(),
        Kind::Reads if number.is_multiple_of(8) => pages_of_history(&plan).await,
        Kind::Reads => reads(&plan).await,
    }
}

/// Requests without a session, from one address after another.
async fn strangers(plan: &Plan, addresses: u16) -> Answers {
    let mut answers = Answers::default();
    while let Some(turn) = plan.turn().await {
        let address = (turn % u64::from(addresses)) as u16;
        let from = Ipv4Addr::new(127, 16 + plan.round as u8, (address >> 8) as u8, address as u8);
        let name = format!("x{}-{turn}", plan.round);
        let json = "Content-Type: application/json\r\n";
        let (method, path, headers, body) = match plan.kind {
            Kind::Registrations => ("POST", "/api/register".to_owned(), FORM.to_owned(), form(&name)),
            Kind::Secrets if turn % 3 == 0 => {
                ("GET", format!("/api/join/{turn:032x}"), String::new(), String::new())
            }
            Kind::Secrets if turn % 3 == 1 => {
                ("POST", format!("/hooks/{turn:032x}"), json.to_owned(), "{\"text\":\"x\"}".to_owned())
            }
            Kind::Secrets => {
                let token = format!("Authorization: Bearer bot_{turn:064x}\r\n");
                ("GET", "/api/rooms/default/messages".to_owned(), token, String::new())
            }
            _ => {
                let login = format!("{{\"username\":\"{name}\",\"password\":\"a wrong password\"}}");
                ("POST", "/api/login".to_owned(), json.to_owned(), login)
            }
        };
        let started = Instant::now();
        let answer =
            tokio::time::timeout(TIMEOUT, call_from(from, &plan.server, method, &path, &headers, &body))
                .await;
        let status = answer.ok().and_then(Result::ok).and_then(|answer| status(&answer));
        answers.note(status, started.elapsed());
    }
    answers
}

/// Lists of rooms, and WebSockets, in turn.
async fn reads(plan: &Plan) -> Answers {
    let headers = format!("Cookie: {}\r\n", plan.cookie);
    let mut answers = Answers::default();
    while let Some(turn) = plan.turn().await {
        let started = Instant::now();
        let status = if turn % 2 == 0 {
            let answer =
                tokio::time::timeout(TIMEOUT, call(&plan.server, "GET", "/api/rooms", &headers, "")).await;
            answer.ok().and_then(Result::ok).and_then(|answer| status(&answer))
        } else {
            hello(plan).await
        };
        answers.note(status, started.elapsed());
    }
    answers
}

/// Opens a WebSocket and receives `hello`.
async fn hello(plan: &Plan) -> Option<u16> {
    let opening =
        tokio::time::timeout(TIMEOUT, open(&plan.server, "crowd", &plan.cookie, true)).await.ok()?;
    let mut socket = opening.ok()?;
    tokio::time::timeout(TIMEOUT, socket.next()).await.ok()??.ok()?;
    Some(101)
}

/// Pages of history on one connection, which is opened again when it is closed.
async fn pages_of_history(plan: &Plan) -> Answers {
    let mut answers = Answers::default();
    while !plan.is_over() {
        let Ok(mut socket) = open(&plan.server, "crowd", &plan.cookie, true).await else {
            // The limit of connections has acted.
            if plan.turn().await.is_none() {
                break;
            }
            continue;
        };
        while plan.turn().await.is_some() {
            let started = Instant::now();
            let page = Message::text("{\"type\":\"history\",\"room\":\"crowd\",\"limit\":100}");
            if socket.send(page).await.is_err() {
                break;
            }
            // Until the page, or the end of the attack: the server may let it wait.
            let answer = async {
                while let Some(Ok(message)) = socket.next().await {
                    if matches!(message, Message::Text(text) if text.contains("\"history\"")) {
                        return Some(200);
                    }
                }
                None
            };
            tokio::select! {
                status = answer => {
                    answers.note(status, started.elapsed());
                    if status.is_none() {
                        break;
                    }
                }
                () = async {
                    while !plan.is_over() {
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                } => return answers,
            }
        }
    }
    answers
}

/// Frames of one shape, as fast as the server reads them.
async fn flood(plan: &Plan, number: u16) -> Answers {
    let mut answers = Answers::default();
    while !plan.is_over() {
        let opened = Instant::now();
        let Ok(mut socket) = open(&plan.server, "crowd", &plan.cookie, true).await else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        if socket.send(Message::text("{\"type\":\"join\",\"room\":\"crowd\"}")).await.is_err() {
            continue;
        }
        let (mut sink, mut stream) = socket.split();
        let sending = async {
            for sent in 0_u64.. {
                // Another task gets its turn, and the end of the attack is seen.
                if sent.is_multiple_of(64) {
                    tokio::task::yield_now().await;
                }
                let frame = match number {
                    0 => Message::text(format!(
                        "{{\"type\":\"message\",\"room\":\"crowd\",\"text\":\"flood\",\"nonce\":\"{} {sent}\"}}",
                        plan.round
                    )),
                    1 => Message::text(""),
                    2 => {
                        // A message of a thousand fragments.
                        let code = if sent.is_multiple_of(1000) { Data::Text } else { Data::Continue };
                        let is_last = sent % 1000 == 999;
                        Message::Frame(Frame::message("x", OpCode::Data(code), is_last))
                    }
                    _ => Message::Ping("x".into()),
                };
                if sink.send(frame).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = sending => {}
            () = async { while let Some(Ok(_)) = stream.next().await {} } => {}
            () = async {
                while !plan.is_over() {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            } => return answers,
        }
        answers.note(None, opened.elapsed());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    answers
}
