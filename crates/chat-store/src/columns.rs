//! Values of the chat as columns of a database, and back.

use std::sync::Arc;

use chat_core::{
    AttachedFile, Body, Emoji, Mentions, MessageState, MessageText, Pair, Reaction, RoomName, Topic, Username,
};

use crate::StoreError;

/// The columns `kind, name, other` of a topic.
pub(crate) fn topic_key(topic: &Topic) -> (i64, &str, &str) {
    match topic {
        Topic::Room(name) => (ROOM, name.as_str(), ""),
        Topic::Pair(pair) => (PAIR, pair.low().as_str(), pair.high().as_str()),
    }
}

/// The topic of the columns `kind, name, other`.
pub(crate) fn topic((kind, name, other): (i64, &str, &str)) -> Result<Topic, StoreError> {
    match kind {
        ROOM => Ok(Topic::Room(room(name)?)),
        PAIR => Ok(Topic::Pair(Pair::new(username(name)?, username(other)?))),
        _ => Err(StoreError::Damaged { what: "an unknown kind of topic" }),
    }
}

/// The user in a column.
pub(crate) fn username(name: &str) -> Result<Username, StoreError> {
    Username::known(name).map_err(|_| StoreError::Damaged { what: "an invalid username" })
}

/// The room in a column.
pub(crate) fn room(name: &str) -> Result<RoomName, StoreError> {
    RoomName::parse(name).map_err(|_| StoreError::Damaged { what: "an invalid name of a room" })
}

/// The column `kind` of an entry with this body.
pub(crate) fn entry_kind(body: &Body) -> i64 {
    match body {
        Body::Message { .. } => MESSAGE,
        Body::Edit { .. } => EDIT,
        Body::Delete { .. } => DELETE,
        Body::React { .. } => REACT,
        Body::Unreact { .. } => UNREACT,
    }
}

/// The body in the columns `text, mentions, reply_to, files` of a message, with its state.
pub(crate) fn message(
    text: &str,
    mentions: Option<&str>,
    reply_to: Option<u64>,
    files: Option<&str>,
    state: Option<Box<MessageState>>,
) -> Result<Body, StoreError> {
    let mentions = mentions.map(parse_mentions).transpose()?;
    let files = files.map(parse_files).transpose()?;
    Ok(Body::Message { text: MessageText::stored(text), mentions, reply_to, files, state })
}

/// The body in the columns `kind, target, emoji` of a change. `newest` are the text and the
/// column `mentions` of the target, if it is not deleted and this is its newest edit.
pub(crate) fn change(
    kind: i64,
    target: u64,
    emoji: Option<&str>,
    newest: Option<(&str, Option<&str>)>,
) -> Result<Body, StoreError> {
    let emoji =
        || emoji.map(Emoji::stored).ok_or(StoreError::Damaged { what: "a reaction without an emoji" });
    match kind {
        EDIT => {
            let text = newest.map(|(text, _)| MessageText::stored(text));
            let mentions = newest.and_then(|(_, mentions)| mentions).map(parse_mentions).transpose()?;
            Ok(Body::Edit { target, text, mentions })
        }
        DELETE => Ok(Body::Delete { target }),
        REACT => Ok(Body::React { target, emoji: emoji()? }),
        UNREACT => Ok(Body::Unreact { target, emoji: emoji()? }),
        _ => Err(StoreError::Damaged { what: "an unknown kind of change" }),
    }
}

/// The column `reactions` of the state of a message.
pub(crate) fn reactions(reactions: &[Reaction]) -> Option<String> {
    let row = |reaction: &Reaction| {
        let users: Vec<&str> = reaction.users.iter().map(Username::as_str).collect();
        serde_json::json!([reaction.emoji.as_str(), reaction.count, users])
    };
    let rows: Vec<serde_json::Value> = reactions.iter().map(row).collect();
    (!rows.is_empty()).then(|| serde_json::Value::from(rows).to_string())
}

/// The reactions in the column `reactions` of the state of a message.
pub(crate) fn parse_reactions(column: Option<&str>) -> Result<Vec<Reaction>, StoreError> {
    let Some(column) = column else { return Ok(Vec::new()) };
    let damaged = |_| StoreError::Damaged { what: "the reactions of a message" };
    let rows: Vec<(String, u64, Vec<String>)> = serde_json::from_str(column).map_err(damaged)?;
    let reaction = |(emoji, count, users): &(String, u64, Vec<String>)| {
        let users = users.iter().map(|user| username(user)).collect::<Result<_, _>>()?;
        Ok(Reaction { emoji: Emoji::stored(emoji), count: *count, users })
    };
    rows.iter().map(reaction).collect()
}

/// Emoji in JSON.
pub(crate) fn parse_emoji(json: &str) -> Result<Vec<Emoji>, StoreError> {
    let damaged = |_| StoreError::Damaged { what: "the emoji of a user" };
    let texts: Vec<String> = serde_json::from_str(json).map_err(damaged)?;
    Ok(texts.iter().map(|text| Emoji::stored(text)).collect())
}

/// The column `mentions` of an entry with this body.
pub(crate) fn mentions(body: &Body) -> Option<String> {
    body.mentions().map(mentions_column)
}

/// The files in the column `files` of an entry.
pub(crate) fn parse_files(column: &str) -> Result<Arc<[AttachedFile]>, StoreError> {
    AttachedFile::list_from_json(column).ok_or(StoreError::Damaged { what: "the files of a message" })
}

/// The column `reply_to` of an entry with this body.
pub(crate) fn reply_to(body: &Body) -> Option<i64> {
    match body {
        Body::Message { reply_to, .. } => reply_to.map(column),
        Body::Edit { .. } | Body::Delete { .. } | Body::React { .. } | Body::Unreact { .. } => None,
    }
}

/// The column `mentions` of an entry with these mentions.
pub(crate) fn mentions_column(mentions: &Mentions) -> String {
    let all = mentions.all.then_some(ALL);
    let names: Vec<&str> = all.into_iter().chain(mentions.names.iter().map(Username::as_str)).collect();
    serde_json::Value::from(names).to_string()
}

/// The columns `username` of the rows of `mentions` for a message of this author. A message
/// that mentions all is counted once for each user.
pub(crate) fn mentioned<'a>(mentions: &'a Mentions, author: &Username) -> Vec<&'a str> {
    if mentions.all {
        return vec![ALL];
    }
    mentions.names.iter().filter(|name| *name != author).map(Username::as_str).collect()
}

fn parse_mentions(column: &str) -> Result<Box<Mentions>, StoreError> {
    let damaged = |_| StoreError::Damaged { what: "the mentions of an entry" };
    let mut mentions = Mentions::default();
    for name in serde_json::from_str::<Vec<String>>(column).map_err(damaged)? {
        match name.as_str() {
            ALL => mentions.all = true,
            name => mentions.names.push(username(name)?),
        }
    }
    Ok(Box::new(mentions))
}

/// A number as a column. SQL has no unsigned integers; no log and no clock reaches
/// `i64::MAX`.
pub(crate) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The number in a column.
pub(crate) fn number(column: i64) -> Result<u64, StoreError> {
    u64::try_from(column).map_err(|_| StoreError::Damaged { what: "a negative number" })
}

/// The column `kind` of a room.
pub(crate) const ROOM: i64 = 1;
const PAIR: i64 = 2;
/// The column `kind` of a message.
pub(crate) const MESSAGE: i64 = 1;
const EDIT: i64 = 2;
const DELETE: i64 = 3;
const REACT: i64 = 4;
const UNREACT: i64 = 5;
/// In place of a mentioned name; no user has it.
const ALL: &str = "";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reactions_are_read_as_they_were_written() {
        let user = |name: &str| Username::known(name).unwrap();
        let written = [
            Reaction { emoji: Emoji::stored("👍🏽"), count: 7, users: vec![user("Zoë"), user("a\"b")] },
            Reaction { emoji: Emoji::stored("❤️"), count: 1, users: vec![user("al")] },
        ];
        let column = reactions(&written).unwrap();
        assert_eq!(parse_reactions(Some(&column)).unwrap(), written);
        assert_eq!(reactions(&[]), None);
        assert_eq!(parse_reactions(None).unwrap(), []);
        assert!(parse_reactions(Some("[[1]]")).is_err());
    }
}
