//! Reading rooms, members and what is unread; each is one statement, so that what it
//! returns is of one moment.

use std::collections::BTreeMap;

use chat_core::{
    Conversations, Facts, Memberships, Questions, ReadState, Role, RoomAccess, RoomFacts, RoomName, Topic,
    UserMark, Username,
};

use super::{info, level_column, row};
use crate::list::{List, left_join, list};
use crate::rows::Columns;
use crate::statements::{Statements, Value, json};
use crate::{ListedRoom, StoreError, columns};
use Value::{Number, Text};

/// Adds to the facts of a batch what is asked about rooms and members.
pub(crate) async fn facts<'a, S: Statements>(
    statements: &mut S,
    questions: &Questions<'a>,
    facts: &mut Facts<'a>,
) -> Result<(), S::Error> {
    if questions.rooms.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = questions.rooms.iter().map(|name| name.as_str()).collect();
    for row in &statements.rows(S::SQL.room_facts, &[Text(&json(&names)?)]).await? {
        if let Some(name) = nth(&questions.rooms, row.number(0)?) {
            facts.rooms.insert(name, RoomFacts { info: info(row, 1)?, members: row.number(5)? });
        }
    }
    let roles: Vec<_> = questions.roles.iter().map(|(room, user)| (room.as_str(), user.as_str())).collect();
    for row in &statements.rows(S::SQL.roles, &[Text(&json(&roles)?)]).await? {
        if let Some(question) = nth(&questions.roles, row.number(0)?) {
            facts.roles.insert(*question, row::role(row, 1)?);
        }
    }
    Ok(())
}

/// The value at a position from 0.
fn nth<T>(values: &[T], position: u64) -> Option<&T> {
    values.get(usize::try_from(position).ok()?)
}

/// Lists the private conversations of a user.
pub(crate) async fn conversations<S: Statements>(
    mut statements: S,
    user: &Username,
    limit: usize,
) -> Result<Conversations, S::Error> {
    let values = [Text(user.as_str()), one_more(limit)];
    let mut latest = statements.list(CONVERSATIONS, &values, row::conversation).await?;
    latest.sort_unstable_by(|a, b| b.at_ms.cmp(&a.at_ms).then_with(|| a.with.cmp(&b.with)));
    let has_more = latest.len() > limit;
    latest.truncate(limit);
    Ok(Conversations { latest, has_more })
}

/// Lists the rooms of a user, and counts what is unread in the first `counted`.
pub(crate) async fn memberships<S: Statements>(
    mut statements: S,
    user: &Username,
    limit: usize,
    counted: usize,
) -> Result<Memberships, S::Error> {
    let counted = counted.min(limit);
    let first = Number(columns::column(counted as u64));
    // Most users have no more rooms than are counted: all are read, in no order.
    let most = if counted == 0 { limit } else { counted };
    let values = [Text(user.as_str()), one_more(most), first];
    let mut rooms = statements.list(MEMBERSHIPS, &values, row::membership).await?;
    if rooms.len() > most {
        let values = [Text(user.as_str()), one_more(limit), first];
        rooms = statements.list(MEMBERSHIPS_BY_POSITION, &values, row::membership).await?;
    }
    rooms.sort_unstable_by(|a, b| b.at_ms.cmp(&a.at_ms).then_with(|| a.room.cmp(&b.room)));
    let has_more = rooms.len() > limit;
    rooms.truncate(limit);
    Ok(Memberships { rooms, has_more })
}

/// One row more than the limit shows whether there are more.
fn one_more(limit: usize) -> Value<'static> {
    Number(i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX))
}

/// Reads what a user may do in a room.
pub(crate) async fn access<S: Statements>(
    mut statements: S,
    user: &Username,
    room: &RoomName,
) -> Result<RoomAccess, S::Error> {
    let row = statements.row(ACCESS, &[Text(user.as_str()), Text(room.as_str())]).await?;
    Ok(row::access(&row.ok_or(StoreError::Damaged { what: "no answer" })?)?)
}

/// Reads the last numbers of rooms.
pub(crate) async fn tops<S: Statements>(mut statements: S, rooms: &[RoomName]) -> Result<Vec<u64>, S::Error> {
    let mut tops = vec![0; rooms.len()];
    if rooms.is_empty() {
        return Ok(tops);
    }
    let names: Vec<&str> = rooms.iter().map(RoomName::as_str).collect();
    let known = |row: &dyn Columns| Ok((row.number(0)?, row.number(1)?));
    for (position, known) in statements.list(TOPS, &[Text(&json(&names)?)], known).await? {
        if let Some(top) = usize::try_from(position).ok().and_then(|position| tops.get_mut(position)) {
            *top = known;
        }
    }
    Ok(tops)
}

/// Counts what a user, who has read at least up to `read`, has not read in a topic.
pub(crate) async fn counts<S: Statements>(
    mut statements: S,
    user: &Username,
    topic: &Topic,
    read: u64,
) -> Result<ReadState, S::Error> {
    let (kind, name, other) = columns::topic_key(topic);
    let values = [
        Text(user.as_str()),
        Number(kind),
        Text(name),
        Text(other),
        Text(mark_name(user, topic)),
        Number(columns::column(read)),
    ];
    let row = statements.row(COUNTS, &values).await?;
    Ok(row.map(|row| row::read_state(&row)).transpose()?.unwrap_or_default())
}

/// The column `name` of a user's mark.
fn mark_name<'a>(user: &Username, topic: &'a Topic) -> &'a str {
    match topic {
        Topic::Room(room) => room.as_str(),
        Topic::Pair(pair) => pair.other(user).as_str(),
    }
}

/// Keeps marks of users.
pub(crate) async fn keep<S: Statements>(statements: &mut S, marks: &[UserMark]) -> Result<(), S::Error> {
    // Each mark once, and in the order of the key: calls at the same time cannot deadlock.
    let mut merged = BTreeMap::new();
    for mark in marks {
        let (kind, name, other) = columns::topic_key(&mark.topic);
        let key = (mark.user.as_str(), kind, mark_name(&mark.user, &mark.topic));
        let (_, _, read, level) = merged.entry(key).or_insert((name, other, 0, None));
        *read = mark.read.map_or(*read, |seq| columns::column(seq).max(*read));
        *level = mark.level.map(level_column).or(*level);
    }
    let rows: Vec<_> = merged
        .into_iter()
        .map(|((user, kind, mark), (name, other, read, level))| (user, kind, mark, name, other, read, level))
        .collect();
    if !rows.is_empty() {
        statements.rows(S::SQL.keep, &[Text(&json(&rows)?)]).await?;
    }
    Ok(())
}

/// Finds a room.
pub(crate) async fn find_room<S: Statements>(
    mut statements: S,
    room: &RoomName,
) -> Result<Option<ListedRoom>, S::Error> {
    let row = statements.row(FIND_ROOM, &[Text(room.as_str())]).await?;
    Ok(row.map(|row| row::listed(&row)).transpose()?)
}

/// Lists open rooms.
pub(crate) async fn open_rooms<S: Statements>(
    mut statements: S,
    max: usize,
) -> Result<Vec<ListedRoom>, S::Error> {
    statements.list(OPEN_ROOMS, &[Number(columns::column(max as u64))], row::listed).await
}

/// Lists rooms of a user.
pub(crate) async fn rooms_of<S: Statements>(
    mut statements: S,
    user: &Username,
    max: usize,
) -> Result<Vec<ListedRoom>, S::Error> {
    let values = [Text(user.as_str()), Number(columns::column(max as u64))];
    statements.list(ROOMS_OF, &values, row::listed).await
}

/// Lists members of a room after a name.
pub(crate) async fn members_of<S: Statements>(
    mut statements: S,
    room: &RoomName,
    after: Option<&Username>,
    max: usize,
) -> Result<Vec<(Username, Role)>, S::Error> {
    let after = after.map_or("", Username::as_str);
    let values = [Text(room.as_str()), Text(after), Number(columns::column(max as u64))];
    let member = |row: &dyn Columns| Ok((columns::username(row.text(0)?)?, row::role(row, 1)?));
    statements.list(MEMBERS_OF, &values, member).await
}

/// Adds the rooms that do not exist, without members, and gives titles to rooms that have
/// none but their names.
pub(crate) async fn add_rooms<S: Statements>(
    statements: &mut S,
    rooms: &[(RoomName, String)],
    now_ms: u64,
) -> Result<(), S::Error> {
    let mut rows: Vec<(&str, &str)> =
        rooms.iter().map(|(name, title)| (name.as_str(), title.as_str())).collect();
    // Calls at the same time cannot deadlock.
    rows.sort_unstable();
    if !rows.is_empty() {
        let rows = json(&rows)?;
        statements.rows(S::SQL.add_rooms, &[Text(&rows), Number(columns::column(now_ms))]).await?;
        statements.rows(S::SQL.title_rooms, &[Text(&rows)]).await?;
    }
    Ok(())
}

// The queries that are not lists, too: LEFT JOIN instead of JOIN makes SQLite keep this
// order of the tables, and look each row up by its key.

/// Counts the messages of others above `s.read` that are not deleted, to 100. It looks at the
/// oldest 10,000 messages of all users above, in the order of the key: a user's own messages
/// are passed one by one.
macro_rules! unread {
    () => {
        "(SELECT count(*) FROM (SELECT 1 FROM (SELECT e.sender, e.deleted FROM entries AS e
                WHERE e.topic = s.id AND e.seq > s.read ORDER BY e.seq LIMIT 10000) AS part
            WHERE part.sender <> $1 AND part.deleted IS NULL LIMIT 100) AS others)"
    };
}

/// Counts those of them that mention the user: among the oldest 10,000 mentions by all users
/// of each kind, of the user or of all.
macro_rules! mentions {
    () => {
        "(SELECT count(*) FROM (SELECT 1 FROM (
                SELECT * FROM (SELECT e.author FROM mentions AS e
                    WHERE e.topic = s.id AND e.username = '' AND e.seq > s.read
                    ORDER BY e.seq LIMIT 10000) AS part
                UNION ALL
                SELECT * FROM (SELECT e.author FROM mentions AS e
                    WHERE e.topic = s.id AND e.username = $1 AND e.seq > s.read
                    ORDER BY e.seq LIMIT 10000) AS part) AS part
            WHERE part.author <> $1 LIMIT 100) AS others)"
    };
}

/// The newest conversations, found by an index from either side, and what is unread.
macro_rules! conversations {
    ($store:ident) => {
        concat!(
            " FROM (SELECT c.id, c.person, c.top, c.at, k.level,
                           CASE WHEN k.read_seq < c.top THEN k.read_seq
                                WHEN k.read_seq IS NULL THEN 0 ELSE c.top END AS read
                      FROM (SELECT * FROM (
                                SELECT id, other AS person, last_seq AS top, last_at AS at
                                  FROM topics WHERE kind = 2 AND name = $1
                                 ORDER BY last_at DESC, other LIMIT $2 + 0) AS lower
                             UNION ALL
                            SELECT * FROM (
                                SELECT id, name, last_seq, last_at
                                  FROM topics WHERE kind = 2 AND other = $1 AND name <> $1
                                 ORDER BY last_at DESC, name LIMIT $2 + 0) AS higher
                             ORDER BY at DESC, person LIMIT $2 + 0) AS c",
            left_join!($store, "marks", "k", "k.username = $1 AND k.kind = 2 AND k.name = c.person"),
            ") AS s"
        )
    };
}

pub(crate) const CONVERSATIONS: List = list! {
    columns: concat!(
        "s.person, s.top, s.at, s.read, s.level, CASE WHEN s.top = s.read THEN 0 ELSE ",
        unread!(),
        " END"
    ),
    tables: conversations!()
};

/// The rooms of a user, in no order.
macro_rules! mine {
    ($store:ident) => {
        concat!(
            "(SELECT m.room, m.role, r.title, r.description, r.access, r.archived, t.id, k.level,
                     coalesce(t.last_seq, 0) AS top, coalesce(t.last_at, 0) AS at,
                     CASE WHEN k.read_seq < t.last_seq THEN k.read_seq
                          WHEN k.read_seq IS NULL THEN 0
                          ELSE coalesce(t.last_seq, 0) END AS read
                FROM members AS m",
            left_join!($store, "rooms", "r", "r.name = m.room"),
            left_join!($store, "topics", "t", "t.kind = 1 AND t.name = m.room AND t.other = ''"),
            left_join!($store, "marks", "k", "k.username = $1 AND k.kind = 1 AND k.name = m.room"),
            " WHERE m.username = $1) AS mine"
        )
    };
}

macro_rules! memberships {
    ($store:ident) => {
        concat!(
            " FROM (SELECT *, CASE WHEN $3 = 0 THEN 1 ELSE 0 END AS position FROM ",
            mine!($store),
            " LIMIT $2 + 0) AS s"
        )
    };
}

macro_rules! memberships_by_position {
    ($store:ident) => {
        concat!(
            " FROM (SELECT *, row_number() OVER (ORDER BY at DESC, room) AS position FROM ",
            mine!($store),
            " ORDER BY at DESC, room LIMIT $2 + 0) AS s"
        )
    };
}

/// The columns of a membership; what is unread is counted if its position is at most `$3`.
macro_rules! membership {
    () => {
        concat!(
            "s.room, s.title, s.description, s.access, s.archived, s.role, s.level, s.top, s.at, s.read,
             CASE WHEN s.position > $3 THEN NULL WHEN s.top = s.read THEN 0 ELSE ",
            unread!(),
            " END, CASE WHEN s.position > $3 THEN NULL WHEN s.top = s.read THEN 0 ELSE ",
            mentions!(),
            " END"
        )
    };
}

/// Some memberships, all of them counted, or none if `$3` is 0.
pub(crate) const MEMBERSHIPS: List = list! { columns: membership!(), tables: memberships!() };

/// The newest memberships, the first of them counted.
pub(crate) const MEMBERSHIPS_BY_POSITION: List =
    list! { columns: membership!(), tables: memberships_by_position!() };

/// The last numbers of rooms with these names: position, number.
pub(crate) const TOPS: List = List {
    #[cfg(feature = "sqlite")]
    sqlite: "SELECT json_group_array(json_array(d.key, t.last_seq)) FROM jsonb_each($1) AS d
      CROSS JOIN topics AS t ON t.kind = 1 AND t.name = d.value AND t.other = ''",
    #[cfg(feature = "postgres")]
    postgres: concat!(
        "SELECT d.position - 1, coalesce(t.last_seq, 0)
           FROM jsonb_array_elements_text($1::text::jsonb) WITH ORDINALITY AS d (name, position)",
        left_join!(postgres, "topics", "t", "t.kind = 1 AND t.name = d.name AND t.other = ''")
    ),
};

pub(crate) const COUNTS: &str = concat!(
    "SELECT s.top, s.read, ",
    unread!(),
    ", ",
    mentions!(),
    " FROM (SELECT id, top, CASE WHEN kept < $6 THEN (CASE WHEN $6 < top THEN $6 ELSE top END)
                              WHEN kept < top THEN kept ELSE top END AS read
                FROM (SELECT t.id, t.last_seq AS top, coalesce(k.read_seq, 0) AS kept
                        FROM topics AS t
                        LEFT JOIN marks AS k ON k.username = $1 AND k.kind = $2 AND k.name = $5
                       WHERE t.kind = $2 AND t.name = $3 AND t.other = $4) AS a) AS s"
);

pub(crate) const ACCESS: &str = "SELECT r.title, r.description, r.access, r.archived,
            (SELECT role FROM members WHERE room = $2 AND username = $1),
            EXISTS (SELECT 1 FROM administrators WHERE username = $1)
              AND EXISTS (SELECT 1 FROM users WHERE username = $1)
       FROM (SELECT 1 AS one) AS always LEFT JOIN rooms AS r ON r.name = $2";

macro_rules! listed {
    () => {
        "f.name, f.title, f.description, f.access, f.archived, f.members, f.at, f.created_at, f.created_by"
    };
}

pub(crate) const FIND_ROOM: &str =
    "SELECT r.name, r.title, r.description, r.access, r.archived, r.members, coalesce(t.last_at, 0),
            r.created_at, r.created_by
       FROM rooms AS r LEFT JOIN topics AS t ON t.kind = 1 AND t.name = r.name AND t.other = ''
      WHERE r.name = $1";

macro_rules! open_rooms {
    ($store:ident) => {
        concat!(
            " FROM (SELECT r.*, coalesce(t.last_at, 0) AS at FROM rooms AS r",
            left_join!($store, "topics", "t", "t.kind = 1 AND t.name = r.name AND t.other = ''"),
            " WHERE r.access = 1 ORDER BY r.archived, coalesce(t.last_at, 0) DESC, r.name LIMIT $1 + 0) AS f"
        )
    };
}

/// Looks at every room: it is called once in a while for all users together.
const OPEN_ROOMS: List =
    list! { columns: listed!(), tables: open_rooms!(), order: "f.archived, f.at DESC, f.name" };

macro_rules! rooms_of {
    ($store:ident) => {
        concat!(
            " FROM (SELECT r.*, coalesce(t.last_at, 0) AS at FROM members AS m",
            left_join!($store, "rooms", "r", "r.name = m.room"),
            left_join!($store, "topics", "t", "t.kind = 1 AND t.name = m.room AND t.other = ''"),
            " WHERE m.username = $1 ORDER BY r.archived, coalesce(t.last_at, 0) DESC, r.name LIMIT $2 + 0) AS f"
        )
    };
}

pub(crate) const ROOMS_OF: List =
    list! { columns: listed!(), tables: rooms_of!(), order: "f.archived, f.at DESC, f.name" };

macro_rules! members_of {
    ($store:ident) => {
        " FROM (SELECT username, role FROM members WHERE room = $1 AND username > $2
                 ORDER BY username LIMIT $3 + 0) AS f"
    };
}

pub(crate) const MEMBERS_OF: List =
    list! { columns: "f.username, f.role", tables: members_of!(), order: "f.username" };
