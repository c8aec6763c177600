//! A client of v2 that joins a room again, 20 messages behind, and leaves it.

use std::error::Error;

use chat_core::{ClientId, Protocol, RoomName};

use crate::chat::{Chat, EPOCH, TEXT, users};

const MESSAGES: u64 = 100;
const BEHIND: u64 = 20;

/// The hub has none of the messages, and reads a page of them, as after a restart of the server.
pub(super) fn from_log(times: u32) -> Result<u64, Box<dyn Error>> {
    resume(times, false)
}

/// The hub has the frames of the messages, and another client in the room.
pub(super) fn from_recent_frames(times: u32) -> Result<u64, Box<dyn Error>> {
    resume(times, true)
}

/// Returns how often all messages came.
fn resume(times: u32, has_recent_frames: bool) -> Result<u64, Box<dyn Error>> {
    let (mut chat, room, users) = (Chat::new(), RoomName::parse("kitchen")?, users(2)?);
    chat.create(&room, &users)?;
    let (client, other) = (ClientId(0), ClientId(1));
    if has_recent_frames {
        chat.open(other, &users[1], Protocol::V2);
        chat.frame(other, r#"{"type":"join","room":"kitchen"}"#);
        chat.end_turn();
        for number in 0..MESSAGES {
            let message =
                format!(r#"{{"type":"message","room":"kitchen","text":"{TEXT}","nonce":"{number}"}}"#);
            chat.frame(other, &message);
            chat.end_turn();
        }
    } else {
        for _ in 0..MESSAGES {
            chat.store(&room, &users[1])?;
        }
    }
    chat.open(client, &users[0], Protocol::V2);
    let since = MESSAGES - BEHIND;
    let join = format!(r#"{{"type":"join","room":"kitchen","since":{since},"epoch":"{EPOCH}"}}"#);
    let join_and_leave = |chat: &mut Chat| {
        let before = chat.deliveries();
        chat.frame(client, &join);
        chat.end_turn();
        let delivered = chat.deliveries() - before;
        chat.frame(client, r#"{"type":"leave","room":"kitchen"}"#);
        chat.end_turn();
        delivered
    };
    // The first time, the other one is told that a user came, which is a delivery, too.
    join_and_leave(&mut chat);
    let pages_before = chat.pages_read;
    let resumed = (0..times).filter(|_| join_and_leave(&mut chat) == BEHIND).count() as u64;
    let pages = chat.pages_read - pages_before;
    if (pages == 0) != has_recent_frames {
        return Err(format!("{pages} pages were read from the log").into());
    }
    Ok(resumed)
}
