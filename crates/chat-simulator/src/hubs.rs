//! The hubs' shards: turns, outputs, inboxes, and the server's end of the sockets.

use std::convert::Infallible;
use std::hash::Hash;
use std::rc::Rc;

use chat_core::{
    ClientId, Framing, Input, Now, Output, Protocol, Query, RoomName, SessionId, Subscription, Topic,
    Username, Write,
};
use chat_shard::{Action, Held, HeldInput, Outbox, Sent};

use crate::oracle::{Check, ensure};
use crate::planted::with_bug;
use crate::wire::Request;
use crate::world::{Chunk, Control, Event, Incoming, Item, NodeState, Socket, SocketKind, World};

impl World {
    pub(crate) fn step(&mut self, hub: usize, input: Input<'_>) {
        let now = self.now(self.hubs[hub].node);
        self.hubs[hub].turn.step(now, input);
        self.begin_turn(hub);
    }

    /// Schedules the end of the hub's turn, unless it is scheduled.
    fn begin_turn(&mut self, hub: usize) {
        if !std::mem::replace(&mut self.hubs[hub].in_turn, true) {
            let turn_ms = self.random.between(0, self.rates.turn_ms);
            let origin = self.origin(hub);
            self.after(turn_ms, Event::EndTurn { origin });
        }
    }

    /// Performs the actions of a hub's turn, and frees slots.
    fn perform_turn(&mut self, hub: usize) -> Check {
        while let Some(action) = self.hubs[hub].turn.next_action() {
            match action {
                Action::Output(output) => self.perform(hub, output)?,
                Action::Drafted => self.drafted(hub)?,
                Action::Release(client) => {
                    // It may have gone in this turn.
                    let socket = self.hubs[hub].sockets.get(client.0 as usize).copied().flatten();
                    if let Some(socket) = socket {
                        self.release(socket);
                    }
                }
                Action::HandOver(drafts) => self.hand_to_writer(hub, drafts),
                Action::Answer(session) => self.revocation_answered(hub, &session)?,
            }
        }
        self.oracle.turn_ended(hub);
        for id in std::mem::take(&mut self.hubs[hub].gone) {
            self.hubs[hub].sockets[id.0 as usize] = None;
        }
        Ok(())
    }

    pub(crate) fn end_turn(&mut self, hub: usize) -> Check {
        self.perform_turn(hub)?;
        self.hubs[hub].in_turn = false;
        self.check(hub)?;
        self.schedule_tick(hub);
        self.stop_if_drained(self.hubs[hub].node);
        Ok(())
    }

    pub(crate) fn schedule_tick(&mut self, hub: usize) {
        let due = self.hubs[hub].turn.hub().next_tick_ms().max(self.now_ms);
        let shell = &mut self.hubs[hub];
        if shell.tick_ms <= self.now_ms || due < shell.tick_ms {
            shell.tick_ms = due + u64::from(due == self.now_ms);
            let (tick_ms, origin) = (shell.tick_ms, self.origin(hub));
            self.at(tick_ms, Event::Tick { origin });
        }
    }

    /// The sockets that a hub has as clients.
    pub(crate) fn sockets_of(&self, hub: usize) -> Vec<usize> {
        let known = self.hubs[hub].sockets.iter().flatten().copied();
        known.filter(|&socket| self.sockets[socket].open).collect()
    }

    fn perform(&mut self, hub: usize, output: Output) -> Check {
        if !matches!(output, Output::Write(_)) {
            self.note(|| format!("    hub {hub}: {output:?}"));
        }
        match output {
            Output::Write(write) => self.write(hub, &write)?,
            Output::Close { client, code } => {
                (client, code.code()).hash(&mut self.hasher);
                let socket = self.socket(hub, client, "closes")?;
                let closed_before = std::mem::replace(&mut self.sockets[socket].closed_by_hub, true);
                ensure(!closed_before, || format!("hub {hub} closes {client:?} twice"))?;
                self.oracle.closed(socket);
                self.oracle.count(match code.code() {
                    1000 => "closed 1000",
                    1001 => "closed 1001",
                    1008 => "closed 1008",
                    1009 => "closed 1009",
                    1012 => "closed 1012",
                    1013 => "closed 1013",
                    _ => "closed 4001",
                });
                self.close_link(socket, code.code());
            }
            Output::Append(_) => return Err(format!("hub {hub} has a draft among its outputs")),
            Output::Read { id, query } => {
                match &query {
                    Query::Page { topic, .. } | Query::Messages { topic, .. } => {
                        (id, topic).hash(&mut self.hasher)
                    }
                    Query::Conversations { user, .. }
                    | Query::Memberships { user, .. }
                    | Query::Access { user, .. }
                    | Query::Counts { user, .. } => (id, user).hash(&mut self.hasher),
                    Query::Tops { rooms } => (id, rooms).hash(&mut self.hasher),
                }
                self.count_read(hub)?;
                if let Query::Page { topic: topic @ Topic::Room(_), .. }
                | Query::Messages { topic: topic @ Topic::Room(_), .. } = &query
                {
                    // An entry that is committed between the two would be lost. (The client
                    // that wanted the page may have gone, and the hub have unsubscribed.)
                    let shell = &self.hubs[hub];
                    let ready = shell.wants(topic) || shell.forgot.contains(topic);
                    ensure(ready, || format!("hub {hub} reads before it subscribes"))?;
                }
                let latency_ms = self.read_ms();
                let origin = self.origin(hub);
                self.after(latency_ms, Event::Read { origin, id, query });
            }
            Output::Pause(client) => self.pause(hub, client, true)?,
            Output::Resume(client) => self.pause(hub, client, false)?,
            Output::Subscribe(to) => {
                let new = self.hubs[hub].subscriptions.insert(to.clone());
                ensure(new, || format!("hub {hub} subscribes twice to {to:?}"))?;
                let (node, shard) = self.shard(hub);
                self.nodes[node].routing.subscribe(shard, to);
            }
            Output::Unsubscribe(to) => {
                let known = self.hubs[hub].subscriptions.remove(&to);
                ensure(known, || format!("hub {hub} never subscribed to {to:?}"))?;
                let (node, shard) = self.shard(hub);
                self.nodes[node].routing.unsubscribe(shard, &to);
                if let Subscription::Room(room) = to {
                    let topic = Topic::Room(room);
                    self.oracle.unsubscribed(hub, &topic);
                    self.hubs[hub].forgot.insert(topic);
                }
            }
            Output::Presence(change) => self.tell_others(hub, change),
            Output::Keep(mark) => self.keep(hub, mark),
            Output::Typing(change) => self.carry_typing(hub, change),
        }
        Ok(())
    }

    /// Notes the newest draft of a hub's turn.
    fn drafted(&mut self, hub: usize) -> Check {
        let draft = self.hubs[hub].turn.drafts().last().cloned();
        let draft = draft.ok_or_else(|| format!("hub {hub} has drafted nothing"))?;
        self.note(|| format!("    hub {hub}: {draft:?}"));
        (&draft.topic, draft.body.text(), &draft.files).hash(&mut self.hasher);
        let send = self.oracle.drafted(hub, &draft, self.now_ms)?;
        self.hubs[hub].drafts.insert(draft.id, send);
        Ok(())
    }

    /// Checks that nothing more is sent to the clients of a revoked session.
    fn revocation_answered(&mut self, hub: usize, session: &SessionId) -> Check {
        self.oracle.count("revocation answered");
        for socket in self.sockets_of(hub) {
            let Socket { id, session: its, closed_by_hub, .. } = &self.sockets[socket];
            ensure(*closed_by_hub || its != session, || {
                format!("hub {hub} has answered a revocation, but {id:?} is not closed")
            })?;
        }
        Ok(())
    }

    fn count_read(&mut self, hub: usize) -> Check {
        self.hubs[hub].reads += 1;
        let max = self.plan.options.reads_max;
        ensure(self.hubs[hub].reads <= max, || format!("hub {hub} reads more than {max} pages at once"))
    }

    pub(crate) fn read_ms(&mut self) -> u64 {
        let slow = self.random.chance(self.rates.read_slow);
        self.random.between(0, if slow { 3_000 } else { 15 })
    }

    fn socket(&self, hub: usize, client: ClientId, does: &str) -> Result<usize, String> {
        let socket = self.hubs[hub].sockets.get(client.0 as usize).copied().flatten();
        socket.ok_or_else(|| format!("hub {hub} {does} {client:?}, which is not there"))
    }

    fn write(&mut self, hub: usize, write: &Write) -> Check {
        let bytes = self.hubs[hub].turn.bytes(write).to_vec();
        let recipients = self.hubs[hub].turn.recipients(write).to_vec();
        (&bytes, &recipients).hash(&mut self.hasher);
        let chunk = Rc::new(Chunk::parse(bytes)?);
        self.note(|| format!("    hub {hub} to {recipients:?}: {}", chunk.bytes.trim_end()));
        self.summary.frames += (chunk.frames.len() * recipients.len()) as u64;
        let mut touched = Vec::new();
        for client in recipients {
            let socket = self.socket(hub, client, "writes to")?;
            if self.hubs[hub].gone.contains(&client) && !self.sockets[socket].closed_by_hub {
                // The hub was stepped with the end only later in this turn.
                continue;
            }
            for frame in &chunk.frames {
                self.oracle.receive(socket, frame, self.now_ms)?;
            }
            match self.put_on_wire(socket, &chunk) {
                Sent::Written => self.sockets[socket].taken_ms = self.now_ms,
                sent => touched.push((socket, sent)),
            }
        }
        for (client, room) in self.oracle.take_removed() {
            self.note(|| format!("    {client} was removed from {room}"));
            let since_ms = self.now_ms;
            let options = &self.plan.options;
            let within_ms = options.removal_timeout_ms + TICK_MS + self.rates.turn_ms;
            self.after(within_ms, Event::MustHaveTaken { socket: client, since_ms });
        }
        for (socket, sent) in touched {
            let Socket { id, outbox, .. } = &self.sockets[socket];
            let (client, bytes) = (*id, outbox.len());
            self.step(hub, Input::Pending { client, bytes });
            if sent == Sent::TooSlow {
                self.note(|| format!("    {socket} is too slow"));
                self.oracle.count("too slow");
                self.break_link(socket, Some(1013));
                self.lost(socket);
            }
        }
        Ok(())
    }

    fn put_on_wire(&mut self, socket: usize, chunk: &Rc<Chunk>) -> Sent {
        let Socket { outbox, stalled, cut, kind, .. } = &mut self.sockets[socket];
        // The system takes nothing for a client that does not read, and what it takes
        // for a broken connection arrives nowhere.
        let write = |frames: &[u8]| Ok::<_, Infallible>(if *stalled { 0 } else { frames.len() });
        let Ok(sent) = outbox.send(chunk.bytes.as_bytes(), self.plan.outbox_max, write);
        if sent == Sent::Written && !*cut && !matches!(kind, SocketKind::V1) {
            self.carry_down(socket, Rc::clone(chunk));
        }
        sent
    }

    fn carry_down(&mut self, socket: usize, what: Rc<Chunk>) {
        let at_ms = self.down_ms(socket);
        self.at(at_ms, Event::Down { socket, what });
    }

    /// When a frame that is sent now arrives at the client: a connection keeps the order.
    fn down_ms(&mut self, socket: usize) -> u64 {
        let link_ms = self.random.between(self.rates.link_ms, 40.max(self.rates.link_ms));
        let to = &mut self.sockets[socket];
        to.down_ms = to.down_ms.max(self.now_ms + link_ms);
        to.down_ms
    }

    /// Ends a connection that the hub has closed. The client notices, if it reads.
    fn close_link(&mut self, socket: usize, code: u16) {
        if !self.sockets[socket].cut {
            let code = if self.sockets[socket].stalled { None } else { Some(code) };
            self.sockets[socket].outbox.cut();
            let at_ms = self.down_ms(socket);
            self.at(at_ms, Event::Ended { socket, code });
        }
        self.sockets[socket].held.clear();
        let goodbye_ms = self.random.between(0, 200);
        self.after(goodbye_ms, Event::Lost { socket });
    }

    /// Cuts the link. The client notices the end, with the close code if one is given.
    pub(crate) fn break_link(&mut self, socket: usize, code: Option<u16>) {
        if std::mem::replace(&mut self.sockets[socket].cut, true) {
            return;
        }
        self.sockets[socket].outbox.cut();
        let at_ms = self.down_ms(socket);
        self.at(at_ms, Event::Ended { socket, code });
    }

    fn pause(&mut self, hub: usize, client: ClientId, paused: bool) -> Check {
        (client, paused).hash(&mut self.hasher);
        let socket = self.socket(hub, client, "pauses")?;
        let before = std::mem::replace(&mut self.sockets[socket].paused, paused);
        ensure(before != paused, || format!("hub {hub} pauses or resumes {client:?} twice"))
    }

    /// Checks what must be true of a hub between its turns.
    fn check(&self, hub: usize) -> Check {
        let shell = &self.hubs[hub];
        let is_draining = self.nodes[shell.node].state == NodeState::Draining;
        let mut clients = 0;
        for socket in self.sockets_of(hub) {
            let Socket { id, session, closed_by_hub, sent_goodbye, paused, .. } = &self.sockets[socket];
            if *closed_by_hub {
                continue;
            }
            self.oracle.is_only_where_it_may(socket)?;
            clients += 1;
            ensure(!shell.revoked.contains(session), || format!("{id:?} of hub {hub} was signed out"))?;
            let is_paused = shell.turn.hub().is_paused(*id);
            ensure(*paused == is_paused || is_draining || *sent_goodbye, || {
                format!("{id:?} of hub {hub} is paused: {is_paused}, but its outputs say {paused}")
            })?;
        }
        ensure(shell.turn.hub().clients() == clients, || {
            format!("hub {hub} has {} clients, not {clients}", shell.turn.hub().clients())
        })?;
        // Each client may have been in the middle of a frame when the hub was full.
        let max = self.plan.options.hub_unanswered_max + shell.sockets.len();
        ensure(shell.turn.hub().unanswered() <= max, || {
            format!("hub {hub} has {} drafts", shell.turn.hub().unanswered())
        })
    }

    /// The server of a hub, and the number of its shard there.
    pub(crate) fn shard(&self, hub: usize) -> (usize, usize) {
        let node = self.hubs[hub].node;
        (node, hub - self.hubs_of(node).start)
    }

    // Sockets.

    /// Opens a connection, whose token and session were checked before.
    pub(crate) fn open(
        &mut self,
        node: usize,
        user: &Username,
        session: SessionId,
        room: Option<RoomName>,
        kind: SocketKind,
    ) -> usize {
        let hub = self.hub_for(node, user);
        let free = self.hubs[hub].sockets.iter().position(Option::is_none);
        let index = free.unwrap_or(self.hubs[hub].sockets.len());
        let id = ClientId(index as u32);
        let socket = match &room {
            Some(room) => self.oracle.opened_v1(hub, node, user, room),
            None => self.oracle.opened_v2(hub, node, user),
        };
        assert_eq!(socket, self.sockets.len(), "the oracle counts them too");
        if free.is_none() {
            self.hubs[hub].sockets.push(None);
        }
        self.hubs[hub].sockets[index] = Some(socket);
        let good_for_ms = match self.random.chance(self.rates.short_tokens) {
            true => Some(self.random.between(500, 6_000)),
            false if self.random.chance(500) => Some(86_400_000),
            false => None,
        };
        self.oracle.connections[socket].expires_ms = good_for_ms.map(|ms| self.now_ms + ms);
        self.sockets.push(Socket {
            hub,
            id,
            user: user.clone(),
            room: room.clone(),
            session: session.clone(),
            kind,
            open: true,
            closed_by_hub: false,
            paused: false,
            held: Held::default(),
            cut: false,
            sent_goodbye: false,
            stalled: false,
            outbox: with_bug!(Outbox::new(Framing::Lines), self.bug),
            up_ms: self.now_ms,
            down_ms: self.now_ms,
            taken_ms: self.now_ms,
        });
        self.note(|| format!("    {id:?} of hub {hub} is {socket}: {user} in {room:?}, for {good_for_ms:?}"));
        let protocol = room.map_or(Protocol::V2, |room| Protocol::V1 { room });
        self.step(hub, Input::Open { client: id, user, session: Some(&session), good_for_ms, protocol });
        socket
    }

    /// The hub that has the sockets of a user on a server.
    fn hub_for(&self, node: usize, user: &Username) -> usize {
        let hash: usize = user.as_str().bytes().map(usize::from).sum();
        self.hubs_of(node).start + hash % self.plan.shards
    }

    pub(crate) fn up(&mut self, socket: usize, what: Incoming) {
        let Socket { open, cut, closed_by_hub, .. } = self.sockets[socket];
        if !open || cut || closed_by_hub {
            return;
        }
        let is_paused = self.is_paused(socket);
        let held = &mut self.sockets[socket].held;
        match what {
            Incoming::Frame(frame) if held.goes_past(is_paused) => self.take_frame(socket, &frame),
            Incoming::Frame(frame) => held.hold(&frame),
            Incoming::Goodbye => held.end(),
        }
        self.release(socket);
    }

    /// Steps the hub with held frames of a client until it pauses the client.
    fn release(&mut self, socket: usize) {
        let Socket { hub, id, open, closed_by_hub, .. } = self.sockets[socket];
        if !open || closed_by_hub {
            return;
        }
        loop {
            let is_paused = self.is_paused(socket);
            match self.sockets[socket].held.next(is_paused) {
                Some(HeldInput::Message(frame)) => self.take_frame(socket, &frame),
                Some(HeldInput::Goodbye) => {
                    self.sockets[socket].sent_goodbye = true;
                    self.step(hub, Input::Goodbye { client: id });
                }
                None => return,
            }
        }
    }

    fn is_paused(&self, socket: usize) -> bool {
        let Socket { hub, id, .. } = self.sockets[socket];
        self.hubs[hub].turn.hub().is_paused(id)
    }

    /// Steps the hub with a frame of a client.
    fn take_frame(&mut self, socket: usize, frame: &str) {
        let Socket { hub, id, .. } = self.sockets[socket];
        if self.sockets[socket].room.is_none() {
            self.oracle.handed_v2(socket, frame, self.now_ms);
        } else if let Ok(Request { text: Some(text), .. }) = serde_json::from_str(frame) {
            self.oracle.handed_v1(socket, &text, self.now_ms);
        }
        self.step(hub, Input::Frame { client: id, text: frame });
    }

    /// Closes a connection in its hub, once.
    pub(crate) fn lost(&mut self, socket: usize) {
        if std::mem::replace(&mut self.sockets[socket].open, false) {
            let Socket { hub, id, .. } = self.sockets[socket];
            self.oracle.closed(socket);
            self.hubs[hub].gone.insert(id);
            self.step(hub, Input::Closed { client: id });
        }
    }

    /// A client reads again: it takes all that waits for it.
    pub(crate) fn reads(&mut self, socket: usize) -> Check {
        let reader = &mut self.sockets[socket];
        reader.stalled = false;
        let (hub, client, open, cut) = (reader.hub, reader.id, reader.open, reader.cut);
        let bytes = reader.outbox.unwritten().to_vec();
        if bytes.is_empty() {
            return Ok(());
        }
        reader.outbox.advance(bytes.len());
        reader.taken_ms = self.now_ms;
        if !cut && !matches!(reader.kind, SocketKind::V1) {
            self.carry_down(socket, Rc::new(Chunk::parse(bytes)?));
        }
        if open {
            self.step(hub, Input::Pending { client, bytes: 0 });
        }
        Ok(())
    }

    // The inbox.

    pub(crate) fn take_inbox(&mut self, hub: usize) -> Check {
        self.hubs[hub].takes_inbox = false;
        for item in self.hubs[hub].inbox.take().into_iter().flatten() {
            self.note(|| format!("    hub {hub} takes {item:?}"));
            if self.hubs[hub].turn.ends_before(&item) {
                self.perform_turn(hub)?;
            }
            let now = self.now(self.hubs[hub].node);
            self.observe(hub, &item, now);
            if let Some(Control::AnswerAfterTurn(session)) = self.hubs[hub].turn.take(item, now) {
                self.hubs[hub].turn.answer_at_end(session);
            }
            self.begin_turn(hub);
        }
        Ok(())
    }

    /// Notes for the oracle what an item changes.
    fn observe(&mut self, hub: usize, item: &Item, now: Now) {
        match item {
            Item::Commit { entries, receipts, .. } => {
                self.oracle.given(hub, entries);
                self.note_receipts(hub, receipts);
            }
            Item::Failure { receipts, .. } => self.note_receipts(hub, receipts),
            Item::Answer(..) => self.hubs[hub].reads -= 1,
            Item::Revoke(sessions) => self.hubs[hub].revoked.extend(sessions.iter().cloned()),
            Item::Renew(session, good_until_ms) => {
                let expires_at_ms = self.now_ms + good_until_ms.saturating_sub(now.wall_ms);
                for socket in self.sockets_of(hub) {
                    let expires_ms = &mut self.oracle.connections[socket].expires_ms;
                    if self.sockets[socket].session == *session && expires_ms.is_some() {
                        *expires_ms = (*expires_ms).max(Some(expires_at_ms));
                    }
                }
            }
            Item::Drain => self.oracle.draining(hub),
            Item::Changes(changes) => {
                for change in changes.iter() {
                    self.oracle.told(hub, change);
                }
            }
            Item::Missed(_)
            | Item::EndUser(_)
            | Item::Role(..)
            | Item::Presence(_)
            | Item::Present(_)
            | Item::Mark(_)
            | Item::Typing(_)
            | Item::HubLost(_)
            | Item::Withhold(_)
            | Item::CloseAll
            | Item::Trimmed(_)
            | Item::Other(_) => {}
        }
    }

    fn note_receipts(&mut self, hub: usize, receipts: &[chat_core::Receipt]) {
        for receipt in receipts {
            if let Some(send) = self.hubs[hub].drafts.remove(&receipt.draft) {
                self.oracle.receipt(send);
            }
        }
    }
}

/// A hub that has something to do at a time does it so late at most, in milliseconds.
const TICK_MS: u64 = 520;
