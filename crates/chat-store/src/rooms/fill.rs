//! The work that a migration leaves: users become members of the rooms that they have
//! written to.

use chat_core::{Role, RoomName};

use super::members::{self, NewMember};
use crate::rows::Columns as _;
use crate::statements::{Statements, Value, json};
use crate::{StoreError, columns};
use Value::{Number, Text};

/// Makes a part of a step inside the caller's transaction. It looks at no more than one
/// room, as the order of rooms is not that in which batches lock them. Of the `max` entries
/// that the step looks at, it returns how many are left; `None` if there is nothing more to
/// do.
pub(crate) async fn part<S: Statements>(statements: &mut S, max: usize) -> Result<Option<usize>, S::Error> {
    let Some(row) = statements.row(S::SQL.fill_position, &[]).await? else { return Ok(None) };
    let (mut topic, mut seq) = (row.integer(0)?, row.integer(1)?);
    let mut left = columns::column(max as u64);
    while left > 0 {
        let Some(row) = statements.row(NEXT_TOPIC, &[Number(topic)]).await? else {
            statements.rows("DELETE FROM members_fill", &[]).await?;
            statements.rows("DELETE FROM left_rooms", &[]).await?;
            return Ok(None);
        };
        let id = row.integer(0)?;
        if row.integer(1)? != columns::ROOM {
            (topic, seq) = (id + 1, 0);
            left -= 1;
            continue;
        }
        let room = columns::room(row.text(2)?)?;
        let after = if id == topic { seq } else { 0 };
        let (entries, last) = fill(statements, &room, id, after, left).await?;
        (topic, seq) = if entries == left { (id, last) } else { (id + 1, 0) };
        left -= entries + ROOM_COST;
        break;
    }
    statements.rows(SET_POSITION, &[Number(topic), Number(seq)]).await?;
    // Less than none are left if the room cost more.
    Ok(Some(usize::try_from(left).unwrap_or(0)))
}

/// Makes the authors of at most `max` entries members. Returns how many entries there were,
/// and the number of the last one.
async fn fill<S: Statements>(
    statements: &mut S,
    room: &RoomName,
    topic: i64,
    after: i64,
    max: i64,
) -> Result<(i64, i64), S::Error> {
    let top = members::lock(statements, room).await?;
    // A closed room gets no members: its moderators choose them.
    if statements.row(IS_OPEN, &[Text(room.as_str())]).await?.is_none() {
        return Ok((0, after));
    }
    let rows = statements.rows(AUTHORS, &[Number(topic), Number(after), Number(max)]).await?;
    let (mut count, mut last, mut authors) = (0, after, Vec::with_capacity(rows.len()));
    for row in &rows {
        authors.push((columns::username(row.text(0)?)?, row.number(1)?));
        last = last.max(row.integer(2)?);
        count += row.integer(3)?;
    }
    let names: Vec<&str> = authors.iter().map(|(user, _)| user.as_str()).collect();
    let values = [Text(&json(&names)?), Text(room.as_str())];
    let missing = statements.rows(S::SQL.missing_members, &values).await?;
    let mut positions = missing.iter().map(|row| row.number(0)).collect::<Result<Vec<u64>, StoreError>>()?;
    positions.sort_unstable();
    let mut new = Vec::new();
    for position in positions {
        let author = usize::try_from(position).ok().and_then(|position| authors.get(position));
        new.extend(author.map(|(user, joined_at_ms)| NewMember {
            room,
            user,
            role: Role::Member,
            read: top,
            joined_at_ms: *joined_at_ms,
        }));
    }
    members::add(statements, &new).await?;
    Ok((count, last))
}

/// As many entries take about as long to look at as a room.
const ROOM_COST: i64 = 10;

/// Looked for by its kind, too, the databases might find all rooms, to sort them.
pub(crate) const NEXT_TOPIC: &str = "SELECT id, kind, name FROM topics WHERE id >= $1 ORDER BY id LIMIT 1";

const IS_OPEN: &str = "SELECT 1 FROM rooms WHERE name = $1 AND access = 1";

/// In the order of their first entries.
pub(crate) const AUTHORS: &str = "SELECT sender, min(at), max(seq), count(*)
       FROM (SELECT sender, at, seq FROM entries WHERE topic = $1 AND seq > $2 ORDER BY seq LIMIT $3 + 0) AS part
      GROUP BY sender ORDER BY min(seq)";

const SET_POSITION: &str = "UPDATE members_fill SET topic = $1, seq = $2";
