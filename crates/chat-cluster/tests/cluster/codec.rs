use chat_cluster::{
    Control, Delta, Heartbeat, Key, Lane, MESSAGE_MAX_BYTES, Message, OpenError, Opened, Part, Record,
    SnapshotPart, decode, encode,
};
use chat_core::{
    AttachedFile, Body, Emoji, Entry, FileId, FileName, Level, MediaType, Mentions, MessageText, Nonce,
    PresenceChange, PresenceKind, RoomName, SessionId, Topic, TypingChange, UserMark,
};
use proptest::prelude::*;

use crate::{entry, pair, part, point, room, start, user};

fn key() -> Key {
    Key::new(b"a secret of tests", "epoch")
}

/// One of each kind.
fn bodies() -> Vec<Body> {
    let text = MessageText::stored("hi @bo");
    let mentions = Some(Box::new(Mentions { names: vec![user("bo")], all: true }));
    let file = AttachedFile {
        id: FileId::from_bytes([7; 16]),
        name: FileName::stored("a.png"),
        media_type: MediaType::parse("image/png").unwrap(),
        size: 1 << 40,
        dimensions: Some((640, 480)),
    };
    let files = Some([file].into());
    vec![
        Body::message(text.clone()),
        Body::Message {
            text: text.clone(),
            mentions: mentions.clone(),
            reply_to: Some(3),
            files,
            state: None,
        },
        Body::Edit { target: 300, text: Some(text), mentions },
        Body::Edit { target: 1, text: None, mentions: None },
        Body::Delete { target: u64::MAX },
        Body::React { target: 4, emoji: Emoji::parse("👍🏽").unwrap() },
        Body::Unreact { target: 4, emoji: Emoji::parse("❤️").unwrap() },
    ]
}

fn part_with(topic: &Topic, bodies: Vec<Body>) -> Part {
    let entries = std::iter::zip(5.., bodies).map(|(seq, body)| Entry {
        body,
        room: Some(RoomName::default()),
        nonce: Nonce::parse("a-nonce"),
        ..Entry::clone(&entry(topic, seq, ""))
    });
    let entries: Vec<_> = entries.map(std::sync::Arc::new).collect();
    let last = 4 + entries.len() as u64;
    Part { entries: Some(entries.into()), ..part(topic, 5, last, Some(point(1, 0, 9))) }
}

fn messages() -> Vec<Message> {
    let controls = vec![
        Control::EndSession(SessionId::new("s")),
        Control::User(user("al")),
        Control::Room(RoomName::default()),
        Control::Unknown,
    ];
    let parts = vec![
        part_with(&room("tea"), bodies()),
        part_with(&pair("al", "bo"), bodies()),
        part(&room("x"), 1, 1, None),
    ];
    let change = PresenceChange {
        hub: start(2).hub_id(3).unwrap(),
        room: RoomName::default(),
        user: user("al"),
        kind: PresenceKind::Left,
        connections: 2,
        at_s: 1_795_371_797,
    };
    let present = vec![(130, RoomName::default(), user("al"), 3)];
    vec![
        Message::Record(Record { at: point(2, 7, 400), parts, controls }),
        Message::Heartbeat(Heartbeat {
            from: start(2),
            beat: 8,
            newest: vec![(Lane(0), 4), (Lane::CONTROL, 1)],
            presence_counter: 5,
            presence_checksum: u64::MAX,
        }),
        Message::Delta(Delta { from: start(2), counter: 5, changes: vec![change] }),
        Message::Snapshot(SnapshotPart { from: start(2), counter: 5, part: 0, parts: 2, at_s: 9, present }),
        Message::AskSnapshot { from: start(2), to: start(3) },
        Message::Typing {
            from: start(2),
            change: TypingChange { topic: pair("al", "bo"), user: user("bo"), active: true },
        },
        Message::Mark {
            from: start(2),
            mark: UserMark { user: user("al"), topic: room("tea"), read: Some(7), level: Some(Level::None) },
        },
        Message::Mark {
            from: start(2),
            mark: UserMark { user: user("al"), topic: pair("al", "bo"), read: None, level: None },
        },
    ]
}

/// The entries, too, which parts leave out when they are compared.
fn entries(message: &Message) -> Vec<Option<std::sync::Arc<[std::sync::Arc<Entry>]>>> {
    match message {
        Message::Record(record) => record.parts.iter().map(|part| part.entries.clone()).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn what_is_written_is_read() {
    for message in messages() {
        let Ok(Opened::Message(read)) = decode(&encode(&message, &key()), &key()) else {
            panic!("{message:?}")
        };
        assert_eq!(read, message);
        assert_eq!(entries(&read), entries(&message));
    }
}

#[test]
fn only_servers_of_this_cluster_and_epoch_are_heard() {
    let message = &messages()[1];
    for other in [Key::new(b"another secret", "epoch"), Key::new(b"a secret of tests", "another")] {
        assert_eq!(decode(&encode(message, &other), &key()), Err(OpenError::Signature));
    }
    let bytes = encode(message, &key());
    for index in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[index] ^= 1;
        assert_eq!(decode(&forged, &key()), Err(OpenError::Signature));
    }
    assert_eq!(decode(&bytes[..20], &key()), Err(OpenError::Size { bytes: 20 }));
    let long = vec![0; MESSAGE_MAX_BYTES + 1];
    assert_eq!(decode(&long, &key()), Err(OpenError::Size { bytes: MESSAGE_MAX_BYTES + 1 }));
}

#[test]
fn entries_beyond_256_kib_are_read_from_the_log() {
    let text = |kib: usize| vec![Body::message(MessageText::stored(&"x".repeat(kib * 1024)))];
    let parts = vec![
        part_with(&room("a"), text(200)),
        part_with(&room("b"), text(100)),
        part_with(&room("c"), text(50)),
    ];
    let record = Message::Record(Record { at: point(1, 0, 1), parts, controls: Vec::new() });
    let bytes = encode(&record, &key());
    assert!(bytes.len() < 256 * 1024 + 200);
    let Ok(Opened::Message(read)) = decode(&bytes, &key()) else { panic!() };
    let has_entries: Vec<bool> = entries(&read).iter().map(Option::is_some).collect();
    assert_eq!(has_entries, [true, false, true]);
}

proptest! {
    /// Signed by a server of another version or with a fault: nothing panics, and what is read of a
    /// record never claims entries that do not fit its numbers.
    #[test]
    fn damaged_contents_are_read_from_the_feed(which in 0..6_usize, at in any::<usize>(), value in any::<u8>()) {
        let bytes = encode(&messages()[which], &key());
        let mut content = bytes[..bytes.len() - 32].to_vec();
        let at = at % content.len();
        content[at] = value;
        if let Ok(Opened::Message(Message::Record(record))) = chat_cluster::decode(&signed(&content), &key()) {
            for part in record.parts {
                prop_assert!(part.entries.is_none_or(|entries| entries.len() as u64 == part.last - part.first + 1));
            }
        }
    }
}

/// Signs anything as a server would.
fn signed(content: &[u8]) -> Vec<u8> {
    key().sign(content.to_vec())
}

#[test]
fn what_another_version_writes_is_read_from_the_feed() {
    assert_eq!(decode(&signed(&[]), &key()), Ok(Opened::Unknown));
    assert_eq!(decode(&signed(&[2, 1, 1, 0, 1]), &key()), Ok(Opened::Unknown), "another format");
    assert_eq!(decode(&signed(&[1, 99, 1]), &key()), Ok(Opened::Unknown), "another kind");
    // A record with a control of an unknown kind, and one with something behind its end.
    assert_eq!(decode(&signed(&[1, 1, 3, 0, 8, 1, 77, 0]), &key()), Ok(Opened::Told(point(3, 0, 8))));
    assert_eq!(decode(&signed(&[1, 1, 3, 0, 8, 0, 0, 0]), &key()), Ok(Opened::Told(point(3, 0, 8))));
    // An entry of an unknown kind: the others of the part are read from the log with it.
    let topic = room("t");
    let record =
        Record { at: point(3, 0, 8), parts: vec![part_with(&topic, bodies())], controls: Vec::new() };
    let bytes = encode(&Message::Record(record), &key());
    let mut content = bytes[..bytes.len() - 32].to_vec();
    let kind = content.windows(7).position(|bytes| bytes == b"a-nonce").unwrap() + 7;
    assert_eq!(content[kind], 0);
    content[kind] = 9;
    let Ok(Opened::Message(read)) = decode(&signed(&content), &key()) else { panic!() };
    assert_eq!(entries(&read), [None]);
}
