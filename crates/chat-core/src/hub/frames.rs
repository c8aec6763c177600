//! The frames of clients: which step each of them leads to.

use super::Hub;
use super::client::{ClientProtocol, Send};
use super::drafts::DraftOrigin;
use super::join::JoinRequest;
use super::marks::Said;
use super::planted::planted;
use super::reads::HistoryPage;
use super::replies::NO_ACCOUNT;
use super::users::{UserRate, UserSlot};
use crate::frame::v2::{self, About, ErrorCode, Place};
use crate::frame::{v1, v1::Refusal};
use crate::outputs::Outputs;
use crate::{Body, ClientId, CloseCode, Content, MessageText, Nonce, Pair, RoomName, Topic, Username};

impl Hub {
    /// A client sent a frame.
    pub(super) fn frame(&mut self, id: ClientId, frame: &str, out: &mut Outputs) {
        let Some(client) = self.clients.get(id).filter(|client| client.is_open()) else { return };
        let user = client.user();
        match client.protocol() {
            ClientProtocol::V1 { room } => {
                let room = room.clone();
                self.frame_v1(id, user, room, frame, out);
            }
            ClientProtocol::V2(_) => self.frame_v2(id, user, frame, out),
        }
        self.update_pause(id, out);
    }

    fn frame_v1(&mut self, id: ClientId, user: UserSlot, room: RoomName, frame: &str, out: &mut Outputs) {
        // Every frame that is parsed counts, so that garbage is no cheaper than a message.
        self.count_message(user);
        match v1::parse(frame, self.options.text_max_chars) {
            Ok(v1::Request::Message(text)) => {
                let origin = DraftOrigin::V1 { room: room.clone(), text: text.clone() };
                self.append(id, Topic::Room(room), Body::message(text).into(), origin, out);
            }
            Ok(v1::Request::Private { to, text }) => self.private_v1(id, user, &to, room, text, out),
            Ok(v1::Request::Nothing) => {}
            Err(Refusal::Malformed) => self.refusals.count_frame(ErrorCode::BadRequest),
            Err(Refusal::TooLong) => {
                self.refusals.count_frame(ErrorCode::TextTooLong);
                self.close(id, CloseCode::TooBig, out);
            }
        }
    }

    fn private_v1(
        &mut self,
        id: ClientId,
        user: UserSlot,
        to: &str,
        room: RoomName,
        text: MessageText,
        out: &mut Outputs,
    ) {
        if planted!(self, ShowBeforeCommit) {
            self.echo(user, to, &text, &room, self.now.wall_ms, out);
        }
        match Username::known(to) {
            Ok(to) => {
                let topic = Topic::Pair(Pair::new(self.users[user].name().clone(), to));
                let origin = DraftOrigin::V1 { room, text: text.clone() };
                self.append(id, topic, Body::message(text).into(), origin, out);
            }
            // No account can have that name.
            Err(_) => self.echo(user, to, &text, &room, self.now.wall_ms, out),
        }
    }

    fn frame_v2(&mut self, id: ClientId, user: UserSlot, frame: &str, out: &mut Outputs) {
        let now_ms = self.now.mono_ms;
        if let (Some(limit), Some(v2)) = (self.options.frame_rate, self.clients.v2(id)) {
            v2.count_frame(limit, now_ms);
        }
        match v2::parse(frame, self.options.text_max_chars, self.options.history_max) {
            Ok(v2::Request::Join { room, resume, limit, fold, reference }) => {
                self.users.count(user, UserRate::Joins, self.options.join_rate, now_ms);
                let request = JoinRequest { resume, limit, fold, about: reference.into() };
                self.join_request(id, &room, request, out);
            }
            Ok(v2::Request::Leave { room, reference }) => {
                self.leave_request(id, &room, &reference.into(), out);
            }
            Ok(v2::Request::Send { place, content, nonce }) => {
                self.count_message(user);
                self.send_request(id, user, place, content, nonce, out);
            }
            Ok(v2::Request::History { of, range, limit, fold, reference }) => {
                self.users.count(user, UserRate::Pages, self.options.history_rate, now_ms);
                self.history_request(id, HistoryPage { of, range, fold }, limit, reference.into(), out);
            }
            Ok(v2::Request::Typing { target, active, reference }) => {
                self.typing_request(id, target, active, &reference.into(), out);
            }
            Ok(v2::Request::Read { place, upto, reference }) => {
                self.mark_request(id, place, Said::Read(upto), reference.into(), out);
            }
            Ok(v2::Request::Level { place, level, reference }) => {
                self.mark_request(id, place, Said::Level(level), reference.into(), out);
            }
            Err(refusal) => match refusal.about {
                About::Nonce(nonce) => self.refuse_send(id, refusal.code, refusal.message, nonce),
                about => self.refuse(id, refusal.code, refusal.message, &about, None),
            },
        }
    }

    /// A v2 client sends a message or a change of one.
    fn send_request(
        &mut self,
        id: ClientId,
        user: UserSlot,
        place: Place,
        content: Content,
        nonce: Nonce,
        out: &mut Outputs,
    ) {
        let topic = match place {
            Place::Room(room) if self.has_joined(id, &room) => Topic::Room(room),
            Place::Room(_) => {
                return self.refuse_send(id, ErrorCode::NotJoined, "join the room first", nonce);
            }
            Place::With(to) => match Username::known(&to) {
                Ok(to) => Topic::Pair(Pair::new(self.users[user].name().clone(), to)),
                Err(_) => return self.refuse_send(id, ErrorCode::NotFound, NO_ACCOUNT, nonce),
            },
        };
        self.send(id, Send { topic, content, nonce }, out);
    }

    fn count_message(&mut self, user: UserSlot) {
        self.users.count(user, UserRate::Messages, self.options.rate, self.now.mono_ms);
    }
}
