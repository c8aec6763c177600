//! A client that connects: its token is checked, its WebSocket's key is answered, and the hub
//! greets it with 10 rooms. Then it goes.

use std::error::Error;

use chat_auth::{SigningSecret, TokenOptions, Tokens};
use chat_core::{ClientId, Protocol, RoomName, Username};
use tungstenite::handshake::derive_accept_key;

use crate::chat::{Chat, users};

const ROOMS: usize = 10;
const MESSAGES: usize = 20;

/// Returns how many clients have connected.
pub(super) fn connect(times: u32) -> Result<u64, Box<dyn Error>> {
    let secret = SigningSecret::new("a text of 32 bytes or more, from the configuration")?;
    let tokens = Tokens::new(&secret, TokenOptions::default());
    let token = tokens.issue(NOW, "user0", "01234567-89ab-7cde-8f01-23456789abcd");
    let (mut chat, users) = (Chat::new(), users(2)?);
    for number in 0..ROOMS {
        let room = RoomName::parse(&format!("room {number}"))?;
        chat.create(&room, &users)?;
        for _ in 0..MESSAGES {
            chat.store(&room, &users[1])?;
        }
    }
    // The count is that of a whole `hello`.
    let hello = chat.sent_by(|chat| open_and_close(chat, &users[0]));
    if !hello.contains(r#""type":"hello""#) || hello.matches(r#""room":"#).count() != ROOMS {
        return Err(format!("no hello with {ROOMS} rooms: {hello}").into());
    }
    let mut connected = 0;
    for _ in 0..times {
        let claims = tokens.verify(&token, NOW + 1)?;
        let accept = derive_accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
        open_and_close(&mut chat, &Username::known(&claims.sub)?);
        connected += u64::from(accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
    Ok(connected)
}

fn open_and_close(chat: &mut Chat, user: &Username) {
    chat.open(ClientId(0), user, Protocol::V2);
    chat.close(ClientId(0));
}

/// When the token is issued, in seconds since 1970.
const NOW: u64 = 1_795_371_797;
