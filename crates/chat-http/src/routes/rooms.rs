//! `GET /api/rooms`

use std::cmp::Reverse;
use std::collections::HashMap;

use chat_shard::RoomInUse;
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::call::Call;
use crate::ConfiguredRoom;
use crate::answer::{self, Body};
use crate::error::HttpError;
use crate::signed_in::SignedIn;

/// Lists the configured rooms and those in use.
pub(super) async fn rooms(call: Call) -> Result<Response<Body>, HttpError> {
    let app = call.app;
    SignedIn::check(&app, call.request.headers()).await?;
    let rooms = list(&app.options.rooms, app.shards.rooms().await, app.options.rooms_max);
    Ok(answer::json(StatusCode::OK, &RoomList { rooms }))
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RoomList {
    /// The configured rooms in their order, then the other rooms in use, the busiest first.
    rooms: Vec<ListedRoom>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ListedRoom {
    /// The name, as in `/ws?room=` and in frames.
    name: String,
    /// The title that is shown to people.
    title: String,
    /// The number of users in the room, each counted once.
    online: usize,
}

/// The configured rooms in their order, then the other rooms in use, the busiest first.
fn list(configured: &[ConfiguredRoom], in_use: Vec<RoomInUse>, max: usize) -> Vec<ListedRoom> {
    let room = |name: &str, title: &str, online: usize| ListedRoom {
        name: name.to_owned(),
        title: title.to_owned(),
        online,
    };
    let mut in_use: HashMap<_, _> = in_use.into_iter().map(|room| (room.name, room.online)).collect();
    let mut list = Vec::new();
    for ConfiguredRoom { name, title } in configured {
        let online = in_use.remove(name).unwrap_or(0);
        list.push(room(name.as_str(), title, online));
    }
    let mut others: Vec<_> = in_use.into_iter().collect();
    others.sort_by(|(a, a_online), (b, b_online)| (Reverse(a_online), a).cmp(&(Reverse(b_online), b)));
    others.truncate(max.saturating_sub(list.len()));
    list.extend(others.iter().map(|(name, online)| room(name.as_str(), name.as_str(), *online)));
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_core::RoomName;

    #[test]
    fn configured_rooms_come_first_and_then_the_busiest() {
        let name = |name| RoomName::parse(name).unwrap();
        let configured = [
            ConfiguredRoom { name: name("default"), title: "Основная".to_owned() },
            ConfiguredRoom { name: name("tech"), title: "Технологии".to_owned() },
        ];
        let in_use: Vec<_> = [("b", 2), ("tech", 1), ("c", 9), ("a", 2), ("d", 1)]
            .map(|(n, online)| RoomInUse { name: name(n), online })
            .into();
        let names = |max| -> Vec<String> {
            let rooms = list(&configured, in_use.clone(), max);
            rooms.iter().map(|room| format!("{}:{}", room.name, room.online)).collect()
        };
        assert_eq!(names(200), ["default:0", "tech:1", "c:9", "a:2", "b:2", "d:1"]);
        assert_eq!(names(3), ["default:0", "tech:1", "c:9"]);
        assert_eq!(names(1), ["default:0", "tech:1"]);
        assert_eq!(list(&configured, in_use.clone(), 200)[1].title, "Технологии");
        assert_eq!(list(&configured, in_use.clone(), 200)[2].title, "c");
    }
}
