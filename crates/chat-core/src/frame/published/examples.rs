//! Examples of the server's frames, made by the encoder.

use serde_json::Value;

use crate::frame::v1;
use crate::frame::v2::{
    self, About, ConversationTop, ErrorCode, LeftReason, Limits, ListedRoom, MessageFields, PlaceRef,
    PresenceWhat, REF_MAX_CHARS, Reply, RoomWhat, ServerRole, TypingIn,
};
use crate::hub::frame_max_bytes;
use crate::{
    Access, AttachedFile, Body, Emoji, Entry, FILES_MAX, FileId, FileName, HubOptions, Level, MENTIONS_MAX,
    MediaType, Mentions, MessageState, MessageText, NONCE_MAX_CHARS, Nonce, NoticeText, Pair,
    ROOM_NAME_MAX_CHARS, Reaction, Role, RoomName, Topic, Username,
};

pub(super) fn username(name: &str) -> Username {
    Username::known(name).unwrap()
}

pub(super) fn entry(topic: Topic, from: &str, seq: u64, text: &str, nonce: Option<&str>) -> Entry {
    Entry {
        topic,
        seq,
        from: username(from),
        room: None,
        body: Body::message(MessageText::stored(text)),
        at_ms: 1_795_371_797_000 + seq * 1000,
        nonce: nonce.and_then(Nonce::parse),
    }
}

pub(super) fn in_room(from: &str, seq: u64, text: &str, nonce: Option<&str>) -> Entry {
    entry(Topic::Room(RoomName::parse("tech").unwrap()), from, seq, text, nonce)
}

pub(super) fn whispered(seq: u64, nonce: Option<&str>) -> Entry {
    let pair = Pair::new(username("alice"), username("bob"));
    entry(Topic::Pair(pair), "alice", seq, "Секретное сообщение", nonce)
}

pub(super) fn written(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    serde_json::from_slice(&out).unwrap()
}

pub(super) fn v1_frames() -> Vec<Value> {
    vec![
        written(|out| v1::message(out, "default", "alice", "Привет, мир!", 1_795_371_797)),
        written(|out| v1::private(out, "default", "alice", "bob", "Секретное сообщение", 1_795_371_798)),
        written(|out| v1::notice(out, "default", "alice", &NoticeText::original_joined(), 1_795_371_796)),
        written(|out| v1::notice(out, "default", "alice", &NoticeText::original_left(), 1_795_371_801)),
    ]
}

/// What a default server says of itself.
pub(super) fn limits() -> Limits {
    let options = HubOptions::default();
    Limits {
        text_max_chars: options.text_max_chars,
        message_max_bytes: options.message_max_bytes,
        nonce_max_chars: NONCE_MAX_CHARS,
        ref_max_chars: REF_MAX_CHARS,
        room_name_max_chars: ROOM_NAME_MAX_CHARS,
        rooms_max: options.client_rooms_max,
        mentions_max: MENTIONS_MAX,
        reactions_max: options.change_rules.reactions_max,
        files_max: Some(FILES_MAX),
        file_max_bytes: Some(25 * 1024 * 1024),
        edit_seconds: None,
        history_max: options.history_max,
        resume_max_messages: options.resume_max_messages,
        unanswered_max: options.client_unanswered_max,
        frame_max_bytes: frame_max_bytes(&options),
        rate_burst: options.rate.map(|rate| rate.burst),
        rate_per_second: options.rate.map(|rate| rate.per_second),
    }
}

pub(super) fn v2_frames() -> Vec<Value> {
    let epoch = "6f3ea2d0c1b94e57";
    let (room, alice) = (Topic::Room(RoomName::parse("tech").unwrap()), username("alice"));
    let pair = whispered(1, None).topic;
    let nonce = |nonce| Nonce::parse(nonce).unwrap();
    let page = [in_room("bob", 199, "Привет!", None), in_room("alice", 200, "И тебе.", Some("a0"))];
    let whispers = [whispered(1, Some("a2"))];
    let mut frames: Vec<Value> = [
        Reply::Hello {
            protocol: 2,
            user: "alice",
            epoch,
            heartbeat_seconds: HubOptions::default().heartbeat_seconds,
            limits: limits(),
            features: HubOptions { file_max_bytes: Some(1), ..HubOptions::default() }.announced().collect(),
            rooms: vec![ListedRoom {
                room: "tech",
                title: "Техника",
                access: Access::Open,
                archived: false,
                role: Role::Member,
                top: 252,
                at: Some(1_795_371_797),
                read: 250,
                unread: Some(2),
                mentions: Some(1),
                level: Level::Mentions,
            }],
            has_more_rooms: false,
            privates: vec![ConversationTop {
                with: "bob",
                seq: 3,
                at: Some(1_795_371_797),
                read: Some(3),
                unread: Some(0),
                level: Some(Level::All),
            }],
            has_more: false,
        },
        Reply::Joined {
            room: "tech",
            epoch,
            seq: 252,
            from: None,
            recovered: true,
            online: 2,
            members: vec!["alice", "bob"],
            reference: Some("2"),
        },
        Reply::Joined {
            room: "tech",
            epoch,
            seq: 252,
            from: Some(233),
            recovered: false,
            online: 2,
            members: vec!["alice", "bob"],
            reference: Some("1"),
        },
        Reply::Replayed { room: "tech", upto: 252 },
        Reply::Left { room: "tech", reason: None, reference: Some("3") },
        Reply::Left { room: "tech", reason: Some(LeftReason::Removed), reference: None },
        v2::Ack {
            nonce: &nonce("a1"),
            topic: &room,
            author: &alice,
            seq: 253,
            at_ms: 1_795_372_050_000,
            duplicate: false,
            not_members: &[username("dave")],
        }
        .into(),
        v2::Ack {
            nonce: &nonce("a2"),
            topic: &pair,
            author: &alice,
            seq: 4,
            at_ms: 1_795_372_051_000,
            duplicate: true,
            not_members: &[],
        }
        .into(),
        Reply::History {
            of: PlaceRef::Room("tech"),
            epoch,
            first: 1,
            from: Some(199),
            upto: Some(200),
            messages: page.iter().map(MessageFields).collect(),
            has_more: true,
            has_more_before: None,
            has_more_after: None,
            reference: Some("4"),
        },
        Reply::History {
            of: PlaceRef::Room("tech"),
            epoch,
            first: 1,
            from: None,
            upto: None,
            messages: page.iter().map(MessageFields).collect(),
            has_more: true,
            has_more_before: Some(true),
            has_more_after: Some(false),
            reference: Some("5"),
        },
        Reply::History {
            of: PlaceRef::With("bob"),
            epoch,
            first: 1,
            from: None,
            upto: None,
            messages: whispers.iter().map(MessageFields).collect(),
            has_more: false,
            has_more_before: None,
            has_more_after: None,
            reference: None,
        },
        Reply::Presence { room: "tech", what: PresenceWhat::User { user: "bob", online: true } },
        Reply::Presence { room: "tech", what: PresenceWhat::Count { online: 201 } },
        Reply::Typing { what: TypingIn::Room { room: "tech", user: "bob" }, active: true },
        Reply::Typing { what: TypingIn::Private { from: "bob" }, active: false },
        Reply::Read { of: PlaceRef::Room("tech"), upto: 250, top: 252, unread: 2, mentions: 1 },
        Reply::Read { of: PlaceRef::With("bob"), upto: 4, top: 4, unread: 0, mentions: 0 },
        Reply::Activity { room: "games", top: 17, at: 1_795_371_797, new: 3, mentions: 1 },
        Reply::Level { of: PlaceRef::Room("tech"), level: Level::None },
        Reply::Rights { role: ServerRole::Administrator },
        Reply::Room {
            room: "tech",
            what: RoomWhat::Member {
                title: "Техника",
                access: Access::Closed,
                archived: false,
                role: Role::Moderator,
            },
        },
        Reply::Room { room: "tech", what: RoomWhat::Gone { member: false } },
        v2::error(
            ErrorCode::AlreadyJoined,
            "this room is joined already",
            &About::Reference("1".into()),
            None,
        ),
        v2::error(ErrorCode::Unavailable, "not stored: try again", &About::Nonce(nonce("a1")), Some(1)),
        v2::refused_by_program("Passwords do not belong here.", &nonce("a2")),
        Reply::Reconnect { after_ms: 1_240 },
    ]
    .iter()
    .map(|reply| written(|out| reply.write(out)))
    .collect();
    frames.push(written(|out| v2::entry(out, &in_room("alice", 253, "Привет, мир!", Some("a1")))));
    let mentions = Mentions { names: vec![username("bob"), username("dave")], all: true };
    let text = MessageText::stored("@bob, @dave и все: смотрите");
    let mentions = Some(Box::new(mentions));
    let body = Body::Message { text, mentions, reply_to: None, files: None, state: None };
    let mentioning = Entry { body, ..in_room("alice", 253, "", Some("a1")) };
    frames.push(written(|out| v2::entry(out, &mentioning)));
    frames.push(written(|out| v2::entry(out, &in_room("bob", 254, "Привет!", None))));
    frames.push(written(|out| v2::entry(out, &whispered(4, Some("a2")))));
    frames.extend(changes().iter().map(|entry| written(|out| v2::entry(out, entry))));
    frames
}

/// A message as changes have made it, an answer to it, a deleted one, and changes of each kind.
fn changes() -> Vec<Entry> {
    let emoji = || Emoji::parse("❤").unwrap();
    let reaction = Reaction { emoji: emoji(), count: 2, users: vec![username("bob"), username("dave")] };
    let state = |state| Some(Box::new(state));
    let edited = Body::Message {
        text: MessageText::stored("Привет, миры!"),
        mentions: None,
        reply_to: None,
        files: None,
        state: state(MessageState {
            updated: 258,
            edited_at_ms: Some(1_795_372_060_000),
            deleted: false,
            reactions: vec![reaction],
        }),
    };
    let answer = Body::Message {
        text: MessageText::stored("И тебе."),
        mentions: None,
        reply_to: Some(253),
        files: None,
        state: None,
    };
    let deleted = Body::Message {
        text: MessageText::stored(""),
        mentions: None,
        reply_to: None,
        files: None,
        state: state(MessageState { updated: 5, deleted: true, ..MessageState::default() }),
    };
    let with_files = Body::Message {
        text: MessageText::stored(""),
        mentions: None,
        reply_to: None,
        files: Some([picture(), empty_file()].into()),
        state: None,
    };
    let in_room = |from, seq, nonce, body| Entry { body, ..in_room(from, seq, "", Some(nonce)) };
    let private = |seq, nonce, body| Entry { body, ..whispered(seq, Some(nonce)) };
    let edit = |target, text| Body::Edit { target, text, mentions: None };
    vec![
        in_room("alice", 253, "a1", edited),
        in_room("bob", 256, "b0", answer),
        in_room("alice", 260, "b2", with_files.clone()),
        private(6, "b3", with_files),
        private(4, "a2", deleted),
        in_room("alice", 255, "a5", edit(253, Some(MessageText::stored("Привет, миры!")))),
        in_room("alice", 254, "a3", edit(253, None)),
        private(5, "a8", Body::Delete { target: 4 }),
        in_room("bob", 257, "a9", Body::React { target: 253, emoji: emoji() }),
        in_room("bob", 259, "b1", Body::Unreact { target: 253, emoji: emoji() }),
    ]
}

pub(super) fn picture() -> AttachedFile {
    AttachedFile {
        id: FileId::from_bytes(*b"a random number."),
        name: FileName::clean("кот.png").unwrap(),
        media_type: MediaType::parse("image/png").unwrap(),
        size: 48_213,
        dimensions: Some((640, 480)),
    }
}

pub(super) fn empty_file() -> AttachedFile {
    AttachedFile {
        id: FileId::from_bytes(*b"another number.."),
        name: FileName::clean("notes").unwrap(),
        media_type: MediaType::default(),
        size: 0,
        dimensions: None,
    }
}
