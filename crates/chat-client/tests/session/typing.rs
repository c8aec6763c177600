//! Users who type.

use chat_client::{Event, Topic};
use serde_json::json;

use crate::harness::{Harness, tech};

fn with_typing(mut client: Harness) -> Harness {
    client.all_features(json!([]), json!([]));
    client.joined("tech", 0, true);
    client.events();
    client.sent();
    client
}

#[test]
fn typing_is_sent_where_the_others_can_see_it() {
    let mut client = with_typing(Harness::in_room("tech"));
    for topic in [tech(), Topic::room("elsewhere"), Topic::private("bob")] {
        client.session.typing(client.now_ms, &topic, true);
    }
    client.advance(0);
    client.collect();
    let expected = [
        json!({"type": "typing", "room": "tech", "active": true}),
        json!({"type": "typing", "to": "bob", "active": true}),
    ];
    assert_eq!(client.sent, expected);
    client.lose(None);
    client.sent.clear();
    client.session.typing(client.now_ms, &Topic::private("bob"), false);
    client.collect();
    assert_eq!(client.sent, [json!(null); 0], "nothing is kept for the next connection");
}

#[test]
fn a_server_without_the_feature_is_sent_nothing() {
    let mut client = Harness::in_room("tech");
    client.sent.clear();
    client.session.typing(client.now_ms, &tech(), true);
    client.collect();
    assert_eq!(client.sent, [json!(null); 0]);
}

#[test]
fn users_who_type_are_events() {
    let mut client = with_typing(Harness::in_room("tech"));
    let seen = client.session.seen().clone();
    client.frame(json!({"type": "typing", "room": "tech", "user": "bob", "active": true}));
    client.frame(json!({"type": "typing", "room": "elsewhere", "user": "bob", "active": true}));
    client.frame(json!({"type": "typing", "from": "bob", "active": false}));
    client.frame(json!({"type": "typing", "from": "bob"}));
    let typing = |topic, active| Event::Typing { topic, user: "bob".to_owned(), active };
    assert_eq!(client.events, [typing(tech(), true), typing(Topic::private("bob"), false)]);
    assert_eq!(*client.session.seen(), seen);
}
