//! Pages of history.

use chat_client::{Event, PageFrom, Refused};
use serde_json::json;

use crate::harness::{Harness, tech};

#[test]
fn pages_of_history_are_requested_by_number() {
    let mut client = Harness::in_room("tech");
    client.sent();
    let ask = |client: &mut Harness| {
        let request = client.session.history(client.now_ms, tech(), PageFrom::Before(9), Some(2));
        client.collect();
        request
    };
    let first = ask(&mut client).unwrap();
    let reference = client.sent[0]["ref"].clone();
    client.frame(json!({"type": "history", "room": "tech", "epoch": "e", "first": 1, "messages": [
        {"type": "message", "room": "tech", "seq": 7, "from": "bob", "text": "7", "timestamp": 1},
        {"type": "poll", "room": "tech", "seq": 8}], "has_more": true, "ref": reference}));
    let Some(Event::History { request, page }) = client.events.pop() else { panic!("a page") };
    assert_eq!((request, page.messages.len(), page.has_more), (first, 1, true));
    // At most three pages are requested at a time, and 16 are accepted in all.
    client.sent();
    for _ in 0..16 {
        ask(&mut client).unwrap();
    }
    assert_eq!(ask(&mut client), Err(Refused::TooManyPages { max: 16 }));
    assert_eq!(client.sent().len(), 3);
    client.lose(None);
    assert_eq!(client.events().iter().filter(|event| *event == "no page offline").count(), 16);
    assert_eq!(ask(&mut client), Err(Refused::Offline));
}
