//! All open rooms, as they are listed for every user.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use chat_core::{RoomInfo, RoomName, fold_case};
use chat_shard::RoomInUse;
use chat_store::ListedRoom;

use crate::ConfiguredRoom;

/// All open rooms at one moment, in the order of lists, and how many users are in each
/// room. It is made once for all callers.
pub(crate) struct OpenRooms {
    rooms: SortedRooms,
    /// The number of users in each room in use, also in closed ones.
    online: Arc<HashMap<RoomName, usize>>,
    /// The position of each configured room in the settings.
    configured: HashMap<RoomName, u32>,
}

/// The rooms of which one user is a member.
pub(crate) struct OwnRooms {
    rooms: SortedRooms,
    names: HashSet<RoomName>,
}

/// Rooms in the order of their places.
struct SortedRooms {
    rooms: Vec<(Place, ListedRoom)>,
    /// Made by the first search.
    searchable: OnceLock<Searchable>,
}

/// The position of a room in a list: archived rooms are behind the others, those with the
/// newest messages come first, then configured rooms in their order, then the others by
/// name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) archived: bool,
    /// Whether the list is that of somebody who is no member: one's own rooms come first.
    pub(crate) is_others: bool,
    pub(crate) newest_first: Reverse<u64>,
    pub(crate) configured: u32,
    pub(crate) name: RoomName,
}

impl OpenRooms {
    /// `stored` are all open rooms of the store; of the rooms in use, those that users have
    /// opened by their names are added.
    pub(crate) fn new(
        stored: Vec<ListedRoom>,
        in_use: &[RoomInUse],
        online: Arc<HashMap<RoomName, usize>>,
        configured: &[ConfiguredRoom],
    ) -> Self {
        let configured = configured.iter().zip(0..).map(|(room, index)| (room.name.clone(), index)).collect();
        let known: HashSet<&RoomName> = stored.iter().map(|room| &room.name).collect();
        let opened: Vec<_> = in_use
            .iter()
            .filter(|room| room.is_new && !room.name.is_made_by_server() && !known.contains(&room.name))
            .map(|room| room_opened_by_name(&room.name))
            .collect();
        let rooms = stored.into_iter().chain(opened);
        let rooms = SortedRooms::new(rooms.map(|room| (place(&configured, &room, true), room)));
        Self { rooms, online, configured }
    }

    /// The rooms of which a user is a member, open or closed.
    pub(crate) fn own(&self, own: Vec<ListedRoom>) -> OwnRooms {
        let names = own.iter().map(|room| room.name.clone()).collect();
        let own = own.into_iter().map(|room| (place(&self.configured, &room, false), room));
        OwnRooms { rooms: SortedRooms::new(own), names }
    }

    /// The number of users in a room.
    pub(crate) fn online(&self, room: &RoomName) -> usize {
        self.online.get(room).copied().unwrap_or(0)
    }

    /// A page of the list of a user with these own rooms: at most `max` rooms behind `after`
    /// whose name or title contains `search`. One's own rooms come first, and archived ones
    /// last.
    pub(crate) fn page<'a>(
        &'a self,
        own: &'a OwnRooms,
        search: Option<&'a str>,
        after: Option<&'a Place>,
        max: usize,
    ) -> Vec<&'a (Place, ListedRoom)> {
        let others = |archived| {
            let others = self.rooms.part(archived, search, after);
            others.filter(|(_, room)| !own.names.contains(&room.name))
        };
        // The order of places. Only as many rooms are looked at as the page has.
        let active = own.rooms.part(false, search, after).chain(others(false));
        let archived = own.rooms.part(true, search, after).chain(others(true));
        active.chain(archived).take(max).collect()
    }
}

fn place(configured: &HashMap<RoomName, u32>, room: &ListedRoom, is_others: bool) -> Place {
    Place {
        archived: room.info.archived,
        is_others,
        newest_first: Reverse(room.at_ms),
        configured: configured.get(&room.name).copied().unwrap_or(u32::MAX),
        name: room.name.clone(),
    }
}

impl SortedRooms {
    fn new(rooms: impl Iterator<Item = (Place, ListedRoom)>) -> Self {
        let mut rooms: Vec<_> = rooms.collect();
        rooms.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Self { rooms, searchable: OnceLock::new() }
    }

    /// The archived rooms or the others, behind a place, that a search finds.
    fn part<'a>(
        &'a self,
        archived: bool,
        search: Option<&'a str>,
        after: Option<&Place>,
    ) -> Box<dyn Iterator<Item = &'a (Place, ListedRoom)> + 'a> {
        let active = self.rooms.partition_point(|(place, _)| !place.archived);
        let (start, end) = if archived { (active, self.rooms.len()) } else { (0, active) };
        let start =
            after.map_or(start, |after| start.max(self.rooms.partition_point(|(place, _)| place <= after)));
        if start >= end {
            return Box::new(std::iter::empty());
        }
        match search {
            None => Box::new(self.rooms[start..end].iter()),
            Some(search) => {
                let rooms = || self.rooms.iter().map(|(_, room)| room);
                let searchable = self.searchable.get_or_init(|| Searchable::new(rooms()));
                let found = searchable.find(search, start).take_while(move |index| *index < end);
                Box::new(found.map(|index| &self.rooms[index]))
            }
        }
    }
}

/// A room that users have opened by its name, and that has no member and no message.
pub(crate) fn room_opened_by_name(name: &RoomName) -> ListedRoom {
    ListedRoom {
        name: name.clone(),
        info: Arc::new(RoomInfo::opened(name)),
        members: 0,
        at_ms: 0,
        created_at_ms: 0,
        created_by: None,
    }
}

/// The text of a room in which a search looks: title and name, in folded case, each on a
/// line of its own.
fn searched_text(room: &ListedRoom) -> String {
    let (title, name) = (&room.info.title, room.name.as_str());
    if title == name { fold_case(title) } else { fold_case(&format!("{title}\n{name}")) }
}

/// The texts of all rooms in one, because looking through one text of some megabytes
/// takes a millisecond.
struct Searchable {
    text: String,
    /// Where the text of each room begins.
    starts: Vec<usize>,
}

impl Searchable {
    fn new<'a>(rooms: impl Iterator<Item = &'a ListedRoom>) -> Self {
        let (mut text, mut starts) = (String::new(), Vec::new());
        for room in rooms {
            starts.push(text.len());
            text.push_str(&searched_text(room));
            text.push('\n');
        }
        Self { text, starts }
    }

    /// The positions of the rooms whose text contains `search`, from `start` on, in rising
    /// order. The text is searched as far as they are taken.
    fn find<'a>(&'a self, search: &'a str, start: usize) -> impl Iterator<Item = usize> + 'a {
        let mut next = start;
        std::iter::from_fn(move || {
            // No room has a line end in it.
            let from = *self.starts.get(next).filter(|_| !search.contains('\n'))?;
            let at = from + self.text[from..].find(search)?;
            let found = self.starts.partition_point(|start| *start <= at) - 1;
            next = found + 1;
            Some(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_core::Access;

    fn name(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    /// A room with a title, the time of its last message, and `archived`.
    fn room(of: &str, title: &str, at_ms: u64, archived: bool) -> ListedRoom {
        let info = RoomInfo { title: title.to_owned(), archived, ..RoomInfo::opened(&name(of)) };
        ListedRoom { info: Arc::new(info), at_ms, ..room_opened_by_name(&name(of)) }
    }

    fn rooms() -> OpenRooms {
        let configured = [
            ConfiguredRoom { name: name("default"), title: "Общая".to_owned() },
            ConfiguredRoom { name: name("random"), title: "Болталка".to_owned() },
        ];
        let in_use = [("fresh", 2, true), ("garden", 1, false), ("plans", 1, false), ("~closed", 1, true)]
            .map(|(of, online, is_new)| RoomInUse { name: name(of), online, is_new });
        let online = in_use.iter().map(|room| (room.name.clone(), room.online)).collect();
        let stored = vec![
            room("old", "Old stuff", 9, true),
            room("garden", "Наш Сад", 5, false),
            room("attic", "attic", 7, false),
            room("random", "Болталка", 0, false),
            room("default", "Общая", 0, false),
        ];
        OpenRooms::new(stored, &in_use, Arc::new(online), &configured)
    }

    fn names<'a>(page: &[&'a (Place, ListedRoom)]) -> Vec<&'a str> {
        page.iter().map(|(_, room)| room.name.as_str()).collect()
    }

    #[test]
    fn the_newest_come_first_and_archived_rooms_last() {
        let rooms = rooms();
        let all = ["attic", "garden", "default", "random", "fresh", "old"];
        assert_eq!(names(&rooms.page(&rooms.own(Vec::new()), None, None, 200)), all);
        assert_eq!(rooms.online(&name("garden")), 1);
        assert_eq!(rooms.online(&name("attic")), 0);
    }

    #[test]
    fn ones_own_rooms_come_before_others() {
        let closed = ListedRoom {
            info: Arc::new(RoomInfo { access: Access::Closed, ..RoomInfo::opened(&name("~x")) }),
            ..room_opened_by_name(&name("~x"))
        };
        let own = vec![closed, room("gone", "Gone", 8, true), room("garden", "Наш Сад", 5, false)];
        let rooms = rooms();
        let own = rooms.own(own);
        let all = ["garden", "~x", "attic", "default", "random", "fresh", "gone", "old"];
        assert_eq!(names(&rooms.page(&own, None, None, 200)), all);
        for size in 1..=all.len() {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = rooms.page(&own, None, after.as_ref(), size);
                let Some((last, _)) = page.last().copied().cloned() else { break };
                seen.extend(page.into_iter().map(|(_, room)| room.name.as_str().to_owned()));
                after = Some(last);
            }
            assert_eq!(seen, all, "pages of {size}");
        }
    }

    #[test]
    fn a_search_looks_anywhere_in_titles_and_names() {
        let rooms = rooms();
        let own = rooms.own(vec![room("garden", "Наш Сад", 5, false)]);
        for (search, expected) in [
            ("сад", &["garden"][..]),
            ("ga", &["garden"]),
            ("ol", &["old"]),
            ("tt", &["attic"]),
            ("а", &["garden", "default", "random"]),
            ("d\no", &[]),
            ("closed", &[]),
        ] {
            let search = fold_case(search);
            assert_eq!(names(&rooms.page(&own, Some(&search), None, 200)), expected, "{search}");
        }
        let first = rooms.page(&own, Some("а"), None, 2);
        let rest = rooms.page(&own, Some("а"), Some(&first[1].0), 2);
        assert_eq!((names(&first), names(&rest)), (vec!["garden", "default"], vec!["random"]));
    }
}
