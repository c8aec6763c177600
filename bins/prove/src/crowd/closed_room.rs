//! A closed room, whose members are the users of a crowd.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chat_client::{Client, ClientOptions, Credentials, Topic as ClientTopic};
use serde_json::{Value, json};

use super::Crowd;
use crate::http;
use crate::ledger::{Removal, Send, Wanted, in_room};

/// A closed room. Its first member moderates it.
pub(crate) struct ClosedRoom {
    server: SocketAddr,
    pub(crate) name: String,
    moderator: Arc<str>,
    cookie: String,
}

impl ClosedRoom {
    /// Creates a room with these members; the cookie is that of the first.
    pub(crate) async fn create(
        server: SocketAddr,
        members: &[String],
        cookie: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let body = json!({ "title": "closed", "access": "closed", "members": members[1..] });
        let created = http::call(server, "POST", "/api/rooms", cookie, &body).await?;
        let name = created.json()["name"].as_str().map(str::to_owned);
        let name = name.ok_or_else(|| format!("the room was not created: {}", created.text))?;
        Ok(Self { server, name, moderator: members[0].as_str().into(), cookie: cookie.to_owned() })
    }

    /// Removes a member, however often the server is killed meanwhile, and sends a message
    /// to the room that the member must not see, after the time `within` which a removal may take.
    pub(crate) async fn remove(
        &self,
        user: &str,
        crowd: &mut Crowd,
        within: Duration,
    ) -> Result<(), Box<dyn Error>> {
        let path = format!("/api/rooms/{}/members/{user}", self.name);
        loop {
            let answer = http::call(self.server, "DELETE", &path, &self.cookie, &Value::Null).await;
            match answer {
                Ok(answer) if answer.status == 200 => break,
                Ok(answer) if answer.status < 500 => return Err(answer.text.into()),
                // It is repeated: the server is down, or its store is.
                Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        tokio::time::sleep(within).await;
        let token = self.cookie.trim_start_matches("auth=").to_owned();
        let options = ClientOptions::new(Credentials::Token(token));
        let (client, events) = Client::connect(&format!("http://{}", self.server), options).await?;
        drop(events);
        client.join(&self.name).await?;
        let (text, nonce) = (format!("{user} is removed"), format!("removed-{user}"));
        let room = ClientTopic::room(&*self.name);
        let receipt = client.send_once(nonce.clone(), room, text.clone()).await?;
        client.close().await;
        let next = Send {
            client: MODERATOR,
            user: Arc::clone(&self.moderator),
            topic: in_room(&self.name),
            text,
            what: Wanted::Message,
            nonce: Some(nonce),
        };
        crowd.removed(Removal { user: user.into(), next, next_seq: receipt.seq, at: crowd.now() });
        Ok(())
    }
}

/// The number of the client that sends the message behind a removal.
const MODERATOR: usize = 20_000;
/// The time between two attempts while the server is down.
const PAUSE: Duration = Duration::from_millis(50);
