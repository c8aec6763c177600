//! `GET /api/reactions`

use chat_core::{Emoji, Pair, Reaction, RoomName, Topic, Username};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::call::Call;
use super::{query, room_call};
use crate::answer::{self, Body};
use crate::app::App;
use crate::error::HttpError;
use crate::signed_in::SignedIn;

/// The reactions to a message that the user may read, with the users who reacted.
pub(super) async fn list(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    app.count_list(&me.user)?;
    let query = ListQuery::parse(request.uri().query().unwrap_or_default())?;
    let topic = match query.place {
        Place::Room(room) => {
            room_call::access(&app, &me, &room).await?;
            Topic::Room(room)
        }
        Place::With(other) => match Username::known(&other) {
            Ok(other) => Topic::Pair(Pair::new(me.user.clone(), other)),
            // No account can have that name.
            Err(_) => return Err(HttpError::MessageNotFound),
        },
    };
    let found = app.parts.stores.log.reactions(&topic, query.seq, &me.user).await?;
    let found = found.ok_or(HttpError::MessageNotFound)?;
    let wanted = |reaction: &&Reaction| query.emoji.as_ref().is_none_or(|emoji| reaction.emoji == *emoji);
    let reactions: Vec<&Reaction> = found.reactions.iter().filter(wanted).collect();
    let (users, next) = users(&app, &topic, query.seq, &reactions, query.after).await?;
    let reactions = users
        .into_iter()
        .map(|(reaction, users)| ReactionOfMany {
            emoji: reaction.emoji.as_str().to_owned(),
            count: reaction.count,
            mine: found.mine.contains(&reaction.emoji),
            users,
        })
        .collect();
    Ok(answer::json(StatusCode::OK, &ReactionList { reactions, next }))
}

/// The users of these reactions after a position, at most [`USERS_MAX`] in all, and the
/// position of the next page.
async fn users<'a>(
    app: &App,
    topic: &Topic,
    seq: u64,
    reactions: &[&'a Reaction],
    after: Option<Position>,
) -> Result<(Vec<(&'a Reaction, Vec<String>)>, Option<String>), HttpError> {
    // Where the emoji of the position is gone, the list starts again.
    let start = after.as_ref().and_then(|after| reactions.iter().position(|r| r.emoji == after.emoji));
    let (mut pages, mut left) = (Vec::new(), USERS_MAX);
    for (index, reaction) in reactions.iter().enumerate().skip(start.unwrap_or(0)) {
        let after = after.as_ref().filter(|_| start == Some(index)).map_or(0, |after| after.seq);
        if left == 0 {
            let next = Position { seq: after, emoji: reaction.emoji.clone() };
            return Ok((pages, Some(next.written())));
        }
        // The message has the names of the first users: few need not be looked up.
        if after == 0 && reaction.users.len() as u64 == reaction.count && reaction.users.len() <= left {
            left -= reaction.users.len();
            pages.push((*reaction, reaction.users.iter().map(|user| user.as_str().to_owned()).collect()));
            continue;
        }
        // One more shows whether there are further users.
        let mut users = app.parts.stores.log.reactors(topic, seq, &reaction.emoji, after, left + 1).await?;
        let has_more = users.len() > left;
        users.truncate(left);
        left -= users.len();
        let last = users.last().map_or(after, |(_, seq)| *seq);
        let names = users.iter().map(|(user, _)| user.as_str().to_owned()).collect();
        pages.push((*reaction, names));
        if has_more {
            let next = Position { seq: last, emoji: reaction.emoji.clone() };
            return Ok((pages, Some(next.written())));
        }
    }
    Ok((pages, None))
}

/// What a listing of reactions asks for.
#[derive(Debug, PartialEq, Eq)]
struct ListQuery {
    place: Place,
    seq: u64,
    /// Only this reaction.
    emoji: Option<Emoji>,
    after: Option<Position>,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Room(RoomName),
    /// The private conversation with this user, as the query has the name.
    With(String),
}

impl ListQuery {
    fn parse(query: &str) -> Result<Self, HttpError> {
        let (mut room, mut with, mut seq, mut emoji, mut after) = (None, None, None, None, None);
        for parameter in query::parameters(query) {
            let (key, value) = parameter?;
            match key {
                "room" => room = Some(value),
                "with" => with = Some(value),
                "seq" => seq = Some(value.parse().ok().filter(|&seq| seq > 0).ok_or(HttpError::Seq)?),
                "emoji" => emoji = Some(Emoji::parse(&value).map_err(HttpError::Emoji)?),
                "after" => after = Some(Position::read(&value).ok_or(HttpError::After)?),
                _ => {}
            }
        }
        let place = match (room, with) {
            // Unlike in the address of a socket, an empty name is not the default room.
            (Some(room), None) if !room.is_empty() => Place::Room(RoomName::parse(&room)?),
            (None, Some(with)) => Place::With(with),
            _ => return Err(HttpError::RoomOrWith),
        };
        Ok(Self { place, seq: seq.ok_or(HttpError::Seq)?, emoji, after })
    }
}

/// Behind one user of a reaction: the `next` of a page.
#[derive(Debug, PartialEq, Eq)]
struct Position {
    /// The number of the user's reaction.
    seq: u64,
    emoji: Emoji,
}

impl Position {
    fn written(&self) -> String {
        format!("{}.{}", self.seq, self.emoji.as_str())
    }

    fn read(next: &str) -> Option<Self> {
        let (seq, emoji) = next.split_once('.')?;
        Some(Self { seq: seq.parse().ok()?, emoji: Emoji::parse(emoji).ok()? })
    }
}

/// Users in one answer.
const USERS_MAX: usize = 100;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ReactionList {
    /// The reactions in the order in which the count of each last rose from 0, or the one
    /// with `emoji`. A page has those that its users have.
    reactions: Vec<ReactionOfMany>,
    /// The value of `after` for the next page. Opaque; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The users who reacted with one emoji.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Reaction"))]
struct ReactionOfMany {
    /// The emoji, fully qualified.
    emoji: String,
    /// How many users, also those on other pages.
    count: u64,
    /// Whether the user who asks is one of them.
    mine: bool,
    /// The users in the order of their reactions; at most 100 in all reactions of a page.
    users: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_names_a_message() {
        let parse = |query: &str| ListQuery::parse(query).map_err(|error| error.to_string());
        let emoji = Emoji::parse("❤").unwrap();
        assert_eq!(
            parse("room=a+b&seq=7&other=1"),
            Ok(ListQuery {
                place: Place::Room(RoomName::parse("a b").unwrap()),
                seq: 7,
                emoji: None,
                after: None
            })
        );
        let next = Position { seq: 9, emoji: emoji.clone() };
        let with = format!("with=bob&seq=1&emoji=%E2%9D%A4&after={}", next.written());
        assert_eq!(
            parse(&with),
            Ok(ListQuery { place: Place::With("bob".into()), seq: 1, emoji: Some(emoji), after: Some(next) })
        );
        for (query, refusal) in [
            ("seq=1", "either room or with is needed"),
            ("room=&seq=1", "either room or with is needed"),
            ("room=a&with=b&seq=1", "either room or with is needed"),
            ("room=a", "seq must be the number of a message"),
            ("room=a&seq=0", "seq must be the number of a message"),
            ("room=a&seq=-1", "seq must be the number of a message"),
            ("room=a&seq=x", "seq must be the number of a message"),
            ("room=a&seq=1&emoji=", "not exactly one emoji"),
            ("room=a&seq=1&emoji=hi", "not exactly one emoji"),
            ("room=a&seq=1&after=9", "after is not the next of an earlier page"),
            ("room=a&seq=1&after=9.hi", "after is not the next of an earlier page"),
            ("room=%00&seq=1", "room name must not contain control characters"),
            ("room=%&seq=1", "the query is not well encoded"),
        ] {
            assert_eq!(parse(query).unwrap_err(), refusal, "{query}");
        }
    }
}
