//! The first frame that a v2 client gets: what it needs to know, and how far
//! its private conversations go.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::client::{ClientRef, Prepared, PrivateOffer};
use super::members::change_frame;
use super::reads::Retry;
use super::users::UserSlot;
use super::{Hub, HubOptions};
use crate::frame::escaped_bytes;
use crate::frame::v2::{ConversationTop, Limits, ListedRoom, REF_MAX_CHARS, Reply};
use crate::outputs::Outputs;
use crate::{
    ClientId, CloseCode, ConversationState, Conversations, FILES_MAX, MENTIONS_MAX, Membership,
    NONCE_MAX_CHARS, Pair, REACTION_USERS_SHOWN, ROOM_NAME_MAX_CHARS, Topic, Username,
};

impl Hub {
    /// Reads what a client's `hello` contains. The hub is subscribed to private
    /// messages already, so that none falls between the two.
    pub(super) fn prepare_hello(&mut self, client: ClientRef, out: &mut Outputs) {
        self.read_memberships(client, out);
        self.read_conversations(client, out);
    }

    /// Reads the conversations of a client's user.
    pub(super) fn read_conversations(&mut self, client: ClientRef, out: &mut Outputs) {
        let Some(found) = self.clients.same(client) else { return };
        let user = self.users[found.user()].name().clone();
        self.reads.conversations(client, user, self.options.hello_conversations, out);
    }

    /// The conversations of a client's user were read; `None` if the log failed.
    pub(super) fn conversations_read(
        &mut self,
        client: ClientRef,
        conversations: Option<&Conversations>,
        out: &mut Outputs,
    ) {
        let Some(found) = self.clients.same(client) else { return };
        match (conversations, found.v2()) {
            (Some(conversations), Some(v2)) => {
                v2.set_conversations(conversations.clone());
                self.greet(client, out);
            }
            _ => {
                let at_ms = self.now.mono_ms + self.options.read_retry_ms;
                self.reads.retry_at(at_ms, Retry::Conversations(client));
            }
        }
    }

    /// Sends a client its `hello`, if everything for it was read.
    pub(super) fn greet(&mut self, client: ClientRef, out: &mut Outputs) {
        let now_ms = self.now.mono_ms;
        let Some(found) = self.clients.same(client) else { return };
        let user = found.user();
        let Some(prepared) = found.v2().and_then(|v2| v2.end_greeting(now_ms)) else { return };
        self.send_hello(client, user, &prepared, out);
    }

    fn send_hello(&mut self, client: ClientRef, slot: UserSlot, prepared: &Prepared, out: &mut Outputs) {
        let id = client.id;
        let Prepared { active, changes, conversations, memberships } = prepared;
        let user = self.users[slot].name().clone();
        let tops = self.conversation_tops(&user, active, conversations, out);
        let states: BTreeMap<&Username, &ConversationState> =
            conversations.latest.iter().map(|state| (&state.with, state)).collect();
        let shown_max = self.options.hello_conversations;
        let at_ms = |pair: &Pair| states.get(pair.other(&user)).map_or(u64::MAX, |state| state.at_ms);
        // Those that were written to while this was read come first.
        let mut shown: Vec<&(Pair, u64)> = tops.iter().collect();
        shown.sort_by_key(|(pair, _)| Reverse(at_ms(pair)));
        shown.truncate(shown_max);
        // Places whose counts are not known as of the number that is shown.
        let mut uncounted = Vec::new();
        let mut privates = Vec::with_capacity(shown.len());
        for (pair, seq) in shown {
            let (with, topic) = (pair.other(&user), Topic::Pair(pair.clone()));
            let state = states.get(with);
            let position = state.map(|state| {
                let unread = state.unread.filter(|_| state.top == *seq);
                self.position_in(&user, &topic, *seq, state.read, unread)
            });
            let unread = position.and_then(|(_, unread)| unread);
            privates.push(ConversationTop {
                with: with.as_str(),
                seq: *seq,
                at: state.map(|state| state.at_ms / 1000),
                read: position.map(|(read, _)| read),
                unread,
                level: state.map(|state| self.level_in(&user, &topic, state.level)),
            });
            if unread.is_none() {
                uncounted.push(topic);
            }
        }
        let rooms_shown = rooms_that_fit(memberships.rooms.iter().take(self.options.hello_rooms));
        let mut rooms = Vec::with_capacity(rooms_shown);
        for membership in &memberships.rooms[..rooms_shown] {
            let topic = Topic::Room(membership.room.clone());
            let (read, counts) =
                self.position_in(&user, &topic, membership.top, membership.read, membership.counts);
            let level = self.level_in(&user, &topic, membership.level);
            rooms.push(ListedRoom {
                room: membership.room.as_str(),
                title: &membership.info.title,
                access: membership.info.access,
                archived: membership.info.archived,
                role: membership.role,
                top: membership.top,
                at: (membership.at_ms > 0).then_some(membership.at_ms / 1000),
                read,
                unread: counts.map(|counts| counts.unread),
                mentions: counts.map(|counts| counts.mentions),
                level,
            });
            if counts.is_none() {
                uncounted.push(topic);
            }
        }
        let (rate, rules) = (self.options.rate, self.options.change_rules);
        let epoch = self.options.epoch.clone();
        let hello = Reply::Hello {
            protocol: 2,
            user: user.as_str(),
            epoch: &epoch,
            heartbeat_seconds: self.options.heartbeat_seconds,
            limits: Limits {
                text_max_chars: self.options.text_max_chars,
                message_max_bytes: self.options.message_max_bytes,
                nonce_max_chars: NONCE_MAX_CHARS,
                ref_max_chars: REF_MAX_CHARS,
                room_name_max_chars: ROOM_NAME_MAX_CHARS,
                rooms_max: self.options.client_rooms_max,
                mentions_max: MENTIONS_MAX,
                reactions_max: rules.reactions_max,
                files_max: self.options.file_max_bytes.map(|_| FILES_MAX),
                file_max_bytes: self.options.file_max_bytes,
                edit_seconds: rules.edit_ms.map(|edit_ms| edit_ms / 1000),
                history_max: self.options.history_max,
                resume_max_messages: self.options.resume_max_messages,
                unanswered_max: self.options.client_unanswered_max,
                frame_max_bytes: frame_max_bytes(&self.options),
                rate_burst: rate.map(|rate| rate.burst),
                rate_per_second: rate.map(|rate| rate.per_second),
            },
            features: self.options.announced().collect(),
            rooms,
            has_more_rooms: memberships.has_more || rooms_shown < memberships.rooms.len(),
            privates,
            has_more: conversations.has_more || tops.len() > shown_max,
        };
        self.reply(id, &hello);
        for change in changes {
            let role = self.rooms.slot_of(change.room()).and_then(|room| self.rooms[room].watcher(slot));
            if let Some(frame) = change_frame(change, &user, role.map(|watcher| watcher.role)) {
                self.reply(id, &frame);
            }
        }
        self.flush_client(id, out);
        if let Some(v2) = self.clients.v2(id) {
            v2.set_tops(tops);
        }
        self.know_rooms(client, memberships);
        for topic in uncounted {
            self.send_counts(client, topic, out);
        }
        self.update_pause(id, out);
    }

    /// The conversations of a user and how far each goes: live messages continue
    /// after the last number that this hub has delivered; where it has delivered
    /// none yet, after the last one in the log. `active` come first.
    fn conversation_tops(
        &mut self,
        user: &Username,
        active: &[(Pair, u64)],
        conversations: &Conversations,
        out: &mut Outputs,
    ) -> Vec<(Pair, u64)> {
        // A conversation that is forgotten since was delivered up to there.
        let mut tops: Vec<(Pair, u64)> = active.to_vec();
        for conversation in &conversations.latest {
            let pair = Pair::new(user.clone(), conversation.with.clone());
            match tops.iter_mut().find(|(known, _)| *known == pair) {
                Some((_, top)) => *top = conversation.top.max(*top),
                None => tops.push((pair, conversation.top)),
            }
        }
        for (pair, top) in &mut tops {
            if let Some(delivered) = self.conversations.delivered_up_to(pair) {
                // Entries that the bus did not carry here, because the hub was not
                // subscribed for a moment, must be read.
                let committed = std::mem::replace(top, delivered);
                self.note_committed(&Topic::Pair(pair.clone()), committed, out);
            }
        }
        tops
    }

    /// Whether a private message is to be sent to a client: not before its
    /// `hello`, and not if that has counted it already.
    pub(super) fn is_for(&mut self, id: ClientId, pair: &Pair, seq: u64, out: &mut Outputs) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        let Some(v2) = client.v2() else { return true };
        match v2.offer_private(pair, seq) {
            PrivateOffer::Send => true,
            PrivateOffer::Known => false,
            PrivateOffer::Later { active } => {
                if active > self.options.hello_conversations {
                    // The log does not answer while many users write to this one.
                    self.close(id, CloseCode::TryAgainLater, out);
                }
                false
            }
        }
    }

    /// Forgets the numbers of old greetings: what was on its way then has arrived
    /// long ago.
    pub(super) fn forget_greetings(&mut self) {
        let Some(until_ms) = self.now.mono_ms.checked_sub(TOPS_KEPT_MS) else { return };
        for client in self.clients.iter_mut() {
            if let Some(v2) = client.v2() {
                v2.forget_tops(until_ms);
            }
        }
    }
}

/// How many of these rooms fit into a `hello`, from the first on.
fn rooms_that_fit<'a>(rooms: impl IntoIterator<Item = &'a Membership>) -> usize {
    let mut bytes = 0;
    let fits = |room: &&Membership| {
        let names = escaped_bytes(room.room.as_str()) + escaped_bytes(&room.info.title);
        bytes += LISTED_ROOM_BYTES + names;
        bytes <= HELLO_ROOMS_BYTES
    };
    rooms.into_iter().take_while(fits).count()
}

/// Bytes that no frame of the hub exceeds; `None` where its options allow larger ones.
pub(crate) fn frame_max_bytes(options: &HubOptions) -> Option<usize> {
    let message = message_max_bytes(options);
    let page = options.page_bytes.max(message) + OTHER_BYTES * options.history_max;
    let hello = options.hello_conversations * CONVERSATION_BYTES + HELLO_ROOMS_BYTES + HELLO_BYTES;
    let joined = options.members_max * NAME_BYTES + OTHER_BYTES;
    // The answer to a request for history repeats the name in it, whatever it is.
    let with = options.message_max_bytes + OTHER_BYTES;
    let largest = message.max(page).max(hello).max(joined).max(with);
    (largest <= FRAME_MAX_BYTES).then_some(FRAME_MAX_BYTES)
}

/// Bytes that no frame of a message exceeds.
fn message_max_bytes(options: &HubOptions) -> usize {
    // A text is no longer as the hub writes it than as its client wrote it.
    let text = options.message_max_bytes.min(ESCAPED_BYTES * options.text_max_chars);
    let reaction = REACTION_USERS_SHOWN * NAME_BYTES + REACTION_BYTES;
    let reactions = options.change_rules.reactions_max * reaction;
    text + MENTIONS_MAX * NAME_BYTES + reactions + FILES_MAX * FILE_BYTES + MESSAGE_BYTES
}

/// Bytes of a frame of the server, as `hello` names them.
const FRAME_MAX_BYTES: usize = 128 * 1024;
/// Bytes of one character as JSON: `\u0001`.
const ESCAPED_BYTES: usize = 6;
/// All of `joined` or `history` but their lists, in bytes, and more than that.
const OTHER_BYTES: usize = 300;
/// A name in `joined`, or in a message's mentions or reactions, in bytes: 24 characters,
/// each as long as possible.
const NAME_BYTES: usize = 150;
/// A reaction without its users, in bytes: 10 code points, and a number.
const REACTION_BYTES: usize = 110;
/// A file, in bytes: its id, a name of 255 quotation marks, a long type, three numbers, and the
/// names of all fields.
const FILE_BYTES: usize = 760;
/// A message without its text, mentions, files and reactions, in bytes: room, author and nonce of
/// the longest characters, six numbers, and the names of all fields.
const MESSAGE_BYTES: usize = 1_300;
/// A conversation in `hello`, in bytes: a name, three numbers and the level.
const CONVERSATION_BYTES: usize = 300;
/// All of `hello` but its lists, in bytes.
const HELLO_BYTES: usize = 1_500;
/// The rooms in `hello`, in bytes: 200 with titles of usual length. Where titles are
/// longer, fewer rooms are listed.
const HELLO_ROOMS_BYTES: usize = 64 * 1024;
/// A room in `hello` beside its name and title, in bytes.
const LISTED_ROOM_BYTES: usize = 260;
/// A committed entry is carried to this hub sooner than this, in milliseconds.
const TOPS_KEPT_MS: u64 = 120_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::v2::entry_bytes;
    use crate::{
        AttachedFile, Body, EMOJI_MAX_CHARS, Emoji, Entry, FILE_NAME_MAX_BYTES, FileId, FileName,
        MEDIA_TYPE_MAX_BYTES, MediaType, Mentions, MessageState, MessageText, Nonce, Reaction, RoomName,
    };

    #[test]
    fn the_largest_message_is_no_larger_than_is_counted() {
        let options = HubOptions::default();
        let rules = options.change_rules;
        let name = Username::known(&"\u{1F600}".repeat(24)).unwrap();
        let emoji = Emoji::stored(&"\u{1F600}".repeat(EMOJI_MAX_CHARS));
        let reaction = Reaction { emoji, count: u64::MAX, users: vec![name.clone(); REACTION_USERS_SHOWN] };
        let state = MessageState {
            updated: u64::MAX,
            edited_at_ms: Some(u64::MAX),
            deleted: true,
            reactions: vec![reaction; rules.reactions_max],
        };
        let file = AttachedFile {
            id: FileId::from_bytes([0xFF; 16]),
            name: FileName::clean(&"\"".repeat(FILE_NAME_MAX_BYTES)).unwrap(),
            media_type: MediaType::parse(&format!("a/{}", "a".repeat(MEDIA_TYPE_MAX_BYTES - 2))).unwrap(),
            size: u64::MAX,
            dimensions: Some((u32::MAX, u32::MAX)),
        };
        let entry = Entry {
            topic: Topic::Room(RoomName::parse(&"\u{1F600}".repeat(ROOM_NAME_MAX_CHARS)).unwrap()),
            seq: u64::MAX,
            from: name.clone(),
            room: None,
            body: Body::Message {
                text: MessageText::stored(&"\u{1}".repeat(options.text_max_chars)),
                mentions: Some(Box::new(Mentions { names: vec![name; MENTIONS_MAX], all: true })),
                reply_to: Some(u64::MAX),
                files: Some(vec![file; FILES_MAX].into()),
                state: Some(Box::new(state)),
            },
            at_ms: u64::MAX,
            nonce: Nonce::parse(&"\u{1}".repeat(NONCE_MAX_CHARS)),
        };
        let (bytes, counted) = (entry_bytes(&entry), message_max_bytes(&options));
        assert!(bytes <= counted && counted < bytes + 20_000, "{bytes} of {counted}");
        assert_eq!(frame_max_bytes(&options), Some(FRAME_MAX_BYTES));
        // Also with the most reactions that a setting allows.
        let mut options = options;
        options.change_rules.reactions_max = 50;
        assert_eq!(frame_max_bytes(&options), Some(FRAME_MAX_BYTES));
    }
}
