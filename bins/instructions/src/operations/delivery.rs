//! A message in a room with 100 clients, from the sender's frame to the frames that the hub has
//! for its clients.

use std::error::Error;

use chat_core::{ClientId, Protocol, RoomName};

use crate::chat::{Chat, TEXT, users};

const CLIENTS: u32 = 100;

pub(super) fn to_v1(turns: u32) -> Result<u64, Box<dyn Error>> {
    deliver(turns, &Room { is_v2: false, ..V2_CLIENTS })
}

pub(super) fn to_v2(turns: u32) -> Result<u64, Box<dyn Error>> {
    deliver(turns, &V2_CLIENTS)
}

pub(super) fn to_v2_of_32(turns: u32) -> Result<u64, Box<dyn Error>> {
    deliver(turns, &Room { messages: 32, ..V2_CLIENTS })
}

pub(super) fn to_v2_beside_members(turns: u32) -> Result<u64, Box<dyn Error>> {
    deliver(turns, &Room { members_elsewhere: 100, ..V2_CLIENTS })
}

struct Room {
    is_v2: bool,
    /// Messages in a turn.
    messages: u32,
    /// Connected members that have not joined the room: they are sent `activity`.
    members_elsewhere: u32,
}

const V2_CLIENTS: Room = Room { is_v2: true, messages: 1, members_elsewhere: 0 };

/// Has messages sent in so many turns. Returns how many deliveries that were.
fn deliver(turns: u32, room: &Room) -> Result<u64, Box<dyn Error>> {
    let Room { is_v2, messages, members_elsewhere } = *room;
    let (mut chat, room, users) =
        (Chat::new(), RoomName::parse("kitchen")?, users(CLIENTS + members_elsewhere)?);
    chat.create(&room, &users)?;
    for (client, user) in (0..).map(ClientId).zip(&users) {
        let protocol = if is_v2 { Protocol::V2 } else { Protocol::V1 { room: room.clone() } };
        chat.open(client, user, protocol);
        if is_v2 && client.0 < CLIENTS {
            chat.frame(client, r#"{"type":"join","room":"kitchen"}"#);
            chat.end_turn();
        }
    }
    let before = chat.deliveries();
    for turn in 0..turns {
        for message in 0..messages {
            let client = ClientId((turn * messages + message) % CLIENTS);
            let text = match is_v2 {
                true => format!(
                    r#"{{"type":"message","room":"kitchen","text":"{TEXT}","nonce":"{turn:08}-{message:02}"}}"#
                ),
                false => format!(r#"{{"type":"message","text":"{TEXT}"}}"#),
            };
            chat.frame(client, &text);
        }
        chat.end_turn();
    }
    Ok(chat.deliveries() - before)
}
