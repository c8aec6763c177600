//! Texts that were taken back: after some time no route answers with one of them, and no
//! file of the database has one.

use std::collections::HashSet;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::crowd::socket::{Protocol, connect};
use crate::raw::RawConnection;
use crate::scenarios::resume::as_error;
use crate::server::{Server, Store};

/// Where a text may remain, read at one moment.
#[derive(Default)]
pub(crate) struct Places(Vec<(String, Vec<u8>)>);

impl Places {
    /// Reads what a running server shows of rooms to one of their members, in every way: all
    /// entries, messages only, around a number, by their numbers; and after a minute the files
    /// of SQLite, unless `files` is false.
    pub(crate) async fn look(
        server: &Server,
        rooms: &[String],
        cookie: &str,
        files: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let mut places = Self::default();
        for room in rooms {
            let shown = shown(server.address, room, cookie).await.map_err(as_error)?;
            places.0.push((format!("the history of {room}"), shown));
        }
        if server.store() == Store::Sqlite && files {
            tokio::time::sleep(TAKEN_BACK).await;
            for name in ["chat.db", "chat.db-wal"] {
                if let Ok(bytes) = std::fs::read(server.data().join(name)) {
                    places.0.push((name.to_owned(), bytes));
                }
            }
        }
        Ok(places)
    }

    /// Reads the files of a Postgres after a `VACUUM`, once nothing else uses the database.
    pub(crate) fn look_after_vacuum(&mut self, server: &Server) {
        if let Some(files) = block_in_place(|| server.files_after_vacuum()) {
            self.0.extend(files);
        }
    }

    /// Where one of these texts is, in a sentence for each.
    pub(crate) fn find(&self, texts: &[&str]) -> Vec<String> {
        let texts: HashSet<&str> = texts.iter().copied().collect();
        let mut found = Vec::new();
        for (place, bytes) in &self.0 {
            let here: HashSet<&str> = texts_in(bytes).filter(|text| texts.contains(text)).collect();
            found.extend(here.into_iter().map(|text| format!("{text:?} is in {place}")));
        }
        found
    }

    /// How many bytes were read.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

/// All that looks like a text of a device: a user's name, a verb, a number and a full stop.
fn texts_in(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let starts = bytes.windows(4).enumerate().filter(|(_, four)| *four == b"user");
    starts.filter_map(|(start, _)| {
        let rest = &bytes[start..bytes.len().min(start + TEXT_MAX)];
        let ends = [&b" says "[..], b" edits "].into_iter().filter_map(|verb| {
            let at = rest.windows(verb.len()).position(|here| here == verb)?;
            Some(at + verb.len())
        });
        let verb = ends.min()?;
        let digits = rest[verb..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let end = verb + digits;
        (rest.get(end) == Some(&b'.')).then(|| std::str::from_utf8(&rest[..=end]).ok()).flatten()
    })
}

/// The frames with all that a server has of a room.
async fn shown(
    server: SocketAddr,
    room: &str,
    cookie: &str,
) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let mut bytes = Vec::new();
    let mut connection = RawConnection::open(server, cookie, None).await?;
    connection.join(room, None).await?;
    for fold in [false, true] {
        let mut after = 0;
        loop {
            let page =
                page(&mut connection, room, json!({ "after": after, "limit": 100, "fold": fold })).await?;
            let last = page["messages"].as_array().and_then(|all| all.last()?["seq"].as_u64());
            bytes.extend(page.to_string().bytes());
            let numbers: Vec<&Value> = page["messages"].as_array().into_iter().flatten().collect();
            if fold && let Some(first) = numbers.first() {
                let numbers: Vec<&Value> = numbers.iter().take(50).map(|message| &message["seq"]).collect();
                let asked = json!({ "seqs": numbers });
                bytes.extend(self::page(&mut connection, room, asked).await?.to_string().bytes());
                let asked = json!({ "around": first["seq"], "limit": 100 });
                bytes.extend(self::page(&mut connection, room, asked).await?.to_string().bytes());
            }
            match last.or_else(|| page["upto"].as_u64()) {
                Some(last) if page["has_more"] == true && last > after => after = last,
                _ => break,
            }
        }
    }
    // What v1 is sent when it joins.
    let query = format!("room={}", room.replace(' ', "%20"));
    let mut v1 = RawConnection { socket: connect(server, cookie, &query, Protocol::V1, None).await? };
    while let Ok(Ok(frame)) = tokio::time::timeout(SILENCE, v1.next()).await {
        bytes.extend(frame.to_string().bytes());
    }
    Ok(bytes)
}

async fn page(
    connection: &mut RawConnection,
    room: &str,
    mut asked: Value,
) -> Result<Value, Box<dyn Error + Send + Sync>> {
    (asked["type"], asked["room"]) = ("history".into(), room.into());
    connection.send(&asked).await?;
    connection.next_of("history").await
}

/// The length of the longest text that is looked for, in bytes.
const TEXT_MAX: usize = 60;
/// When v1 has got all of a replay.
const SILENCE: Duration = Duration::from_millis(300);
/// The time after which the files have nothing of what was taken back.
const TAKEN_BACK: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_it_is() {
        let bytes = b"\x00\x17abuser1.3 says 12.\x01user11.3 edits 7.xxuser1.3 says 123.user2.1 says x";
        let all: Vec<&str> = texts_in(bytes).collect();
        assert_eq!(all, ["user1.3 says 12.", "user11.3 edits 7.", "user1.3 says 123."]);
        let places = Places(vec![("a file".into(), bytes.to_vec()), ("another".into(), b"nothing".to_vec())]);
        assert_eq!(
            places.find(&["user1.3 says 12.", "user9.3 says 1."]),
            ["\"user1.3 says 12.\" is in a file"]
        );
        assert_eq!(places.find(&["user1.3 says 1."]), [""; 0]);
    }
}
