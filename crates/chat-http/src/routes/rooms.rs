//! `GET /api/rooms`

use std::cmp::Reverse;
use std::collections::HashMap;

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::Call;
use crate::ConfiguredRoom;
use crate::answer::{self, Body};
use crate::error::HttpError;
use crate::shard::RoomInUse;
use crate::signed_in::SignedIn;

pub(super) async fn rooms(call: Call) -> Result<Response<Body>, HttpError> {
    let app = call.app;
    SignedIn::check(&app, call.request.headers()).await?;
    let rooms = list(&app.options.rooms, app.shards.rooms().await, app.options.rooms_max);
    Ok(answer::json(StatusCode::OK, &json!({ "rooms": rooms })))
}

/// The configured rooms in their order, then the others in use, busiest first.
fn list(configured: &[ConfiguredRoom], in_use: Vec<RoomInUse>, max: usize) -> Vec<Value> {
    let room =
        |name: &str, title: &str, online: usize| json!({ "name": name, "title": title, "online": online });
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
    fn configured_rooms_come_first_then_the_busiest() {
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
            rooms
                .iter()
                .map(|room| format!("{}:{}", room["name"].as_str().unwrap(), room["online"]))
                .collect()
        };
        assert_eq!(names(200), ["default:0", "tech:1", "c:9", "a:2", "b:2", "d:1"]);
        assert_eq!(names(3), ["default:0", "tech:1", "c:9"]);
        assert_eq!(names(1), ["default:0", "tech:1"]);
        assert_eq!(list(&configured, in_use.clone(), 200)[1]["title"], "Технологии");
        assert_eq!(list(&configured, in_use.clone(), 200)[2]["title"], "c");
    }
}
