//! Users with the real client, and what their applications show.

use std::collections::{BTreeMap, BTreeSet};

use chat_client::{
    AttachedFile, Change, ChangeKind, Entry, Event as AppEvent, Level, NewChange, NewMessage, Options,
    Output, PageFrom, Presence, Session, Target, Topic as ClientTopic,
};
use chat_core::{Body, FileId, Pair, RoomName, SessionId, Topic, Username};

use crate::oracle::{Check, Expected, What, ensure};
use crate::people::users;
use crate::planted::Bug;
use crate::timelines::{Timelines, client_file, is_version};
use crate::wire::NO_ACCOUNT;
use crate::world::{Chunk, Event, Incoming, Node, NodeState, SocketKind, World};

/// A user, and the application on one of their devices.
pub(crate) struct App {
    user: Username,
    /// The session of its token.
    session_id: SessionId,
    session: Session,
    options: Options,
    socket: Option<usize>,
    attempts: u64,
    wakes: u64,
    wakes_at_ms: u64,
    is_signed_out: bool,
    rooms: BTreeMap<String, RoomShown>,
    /// The last number shown of each conversation.
    people: BTreeMap<String, u64>,
    /// The last number of each conversation when it came online for the first time.
    since: Option<BTreeMap<Pair, u64>>,
    /// There are conversations that no `hello` has listed.
    may_lack: bool,
    sent: BTreeMap<String, Sent>,
    timelines: Timelines,
    /// The rooms of which the server has counted what is unread, and nothing happened since
    /// that lets the client guess.
    counted: BTreeSet<String>,
}

/// The part of a room that an application shows.
#[derive(Default)]
struct RoomShown {
    /// The last number shown; `None` after a fresh start.
    last: Option<u64>,
    /// The room's last number at that start.
    start: u64,
    /// Its replay is folded and has not ended.
    is_folded: bool,
    members: BTreeSet<String>,
    has_names: bool,
}

struct Sent {
    number: usize,
    topic: ClientTopic,
    /// The outcome that the application got, if any.
    outcome: Option<Outcome>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Stored,
    NotSent { may_be_stored: bool },
}

/// The number of the first app as an author; sockets have lower ones.
const APP_AUTHORS: usize = 1 << 40;

impl App {
    /// The number up to which it has everything of a topic; 0 if it does not know.
    fn position(&self, place: &ClientTopic) -> u64 {
        match place {
            ClientTopic::Room(room) => {
                let shown = self.rooms.get(room).filter(|shown| !shown.is_folded);
                shown.and_then(|shown| shown.last).unwrap_or(0)
            }
            ClientTopic::Private(with) => self.people.get(with).copied().unwrap_or(0),
        }
    }
}

impl World {
    pub(crate) fn make_apps(&mut self) {
        for app in 0..self.plan.apps {
            let all: Vec<Username> = users().collect();
            let user = self.random.index(all.len());
            let backoff_max_ms = self.random.between(600, BACKOFF_MAX_MS);
            let options = Options {
                outbox_max_messages: self.random.size(5, 60),
                rooms_max: 3,
                in_flight_max: self.random.size(1, 40),
                history_max: 3,
                backoff_min_ms: self.random.between(50, 500),
                backoff_max_ms,
                connect_timeout_ms: 2_000,
                hello_timeout_ms: self.random.between(1_500, 4_000),
                silence_max_ms: Some(self.random.between(2_000, 4_000)),
                answer_timeout_ms: self.random.between(7_000, 60_000),
                fold: self.random.chance(300),
                join_limit: self.random.chance(300).then(|| self.random.between(0, 30) as u32),
                ..Options::default()
            };
            let session = Session::new(options.clone(), self.random.next_u64());
            self.apps.push(App {
                session_id: SessionId::new(&format!("{} app {app}", all[user])),
                user: all[user].clone(),
                session,
                options,
                socket: None,
                attempts: 0,
                wakes: 0,
                wakes_at_ms: 0,
                is_signed_out: false,
                rooms: BTreeMap::new(),
                people: BTreeMap::new(),
                since: None,
                may_lack: false,
                sent: BTreeMap::new(),
                timelines: Timelines::new(&all[user]),
                counted: BTreeSet::new(),
            });
            self.after(0, Event::Wake { app, number: 0 });
        }
    }

    // Inputs of the session.

    pub(crate) fn wake(&mut self, app: usize, number: u64) -> Check {
        if self.apps[app].wakes != number {
            return Ok(());
        }
        // The server pings often enough.
        let socket = self.apps[app].socket.map(|socket| &self.sockets[socket]);
        let is_connected = socket.is_some_and(|socket| !socket.cut && !socket.stalled && socket.open);
        let now_ms = self.now_ms;
        let session = &mut self.apps[app].session;
        if is_connected {
            session.received(now_ms);
        }
        session.tick(now_ms);
        self.apps[app].wakes_at_ms = 0;
        self.perform_app_outputs(app)
    }

    pub(crate) fn connects(&mut self, app: usize, attempt: u64) -> Check {
        let App { attempts, user, session_id, .. } = &self.apps[app];
        if *attempts != attempt {
            return Ok(());
        }
        let (user, session_id) = (user.clone(), session_id.clone());
        let now_ms = self.now_ms;
        let up = |(_, node): &(usize, &Node)| node.state == NodeState::Up;
        let nodes: Vec<usize> = self.nodes.iter().enumerate().filter(up).map(|(node, _)| node).collect();
        if nodes.is_empty() {
            self.apps[app].session.closed(now_ms, None);
        } else if self.revoked.contains(&session_id) {
            self.apps[app].session.closed(now_ms, Some(1008));
        } else {
            let node = nodes[self.random.index(nodes.len())];
            let socket = self.open(node, &user, session_id, None, SocketKind::App(app));
            self.apps[app].socket = Some(socket);
            self.apps[app].session.opened(now_ms);
        }
        self.perform_app_outputs(app)
    }

    pub(crate) fn down_at_app(&mut self, app: usize, socket: usize, chunk: &Chunk) -> Check {
        if self.apps[app].socket != Some(socket) || self.sockets[socket].cut {
            return Ok(());
        }
        for line in chunk.bytes.lines() {
            self.apps[app].session.frame(self.now_ms, line);
        }
        self.perform_app_outputs(app)
    }

    pub(crate) fn ended_at_app(&mut self, app: usize, socket: usize, code: Option<u16>) -> Check {
        if self.apps[app].socket != Some(socket) {
            return Ok(());
        }
        self.apps[app].socket = None;
        self.apps[app].session.closed(self.now_ms, code);
        self.perform_app_outputs(app)
    }

    pub(crate) fn signs_in(&mut self, app: usize) -> Check {
        let name = format!("{} app {app} {}", self.apps[app].user, self.random.next_u64());
        let this = &mut self.apps[app];
        (this.session_id, this.is_signed_out) = (SessionId::new(&name), false);
        this.session.signed_in(self.now_ms);
        self.perform_app_outputs(app)
    }

    /// Performs the outputs of a session.
    pub(crate) fn perform_app_outputs(&mut self, app: usize) -> Check {
        while let Some(output) = self.apps[app].session.next_output() {
            match output {
                Output::Connect => {
                    self.apps[app].attempts += 1;
                    let attempt = self.apps[app].attempts;
                    let takes_ms = self.random.between(1, 100);
                    self.after(takes_ms, Event::Connects { app, attempt });
                }
                Output::Transmit(frame) => {
                    let socket = self.apps[app].socket;
                    let socket = socket.ok_or_else(|| format!("app {app} sends without a connection"))?;
                    self.send_up(socket, Incoming::Frame(frame));
                }
                Output::Hangup => {
                    self.oracle.count("client hung up");
                    self.apps[app].attempts += 1;
                    self.hang_up(app);
                }
                Output::Event(event) => {
                    self.note(|| format!("    app {app} gets {event:?}"));
                    let checked = self.show(app, &event);
                    checked
                        .and_then(|()| self.show_in_timeline(app, &event))
                        .map_err(|why| format!("app {app} ({}) got {event:?}: {why}", self.apps[app].user))?;
                }
            }
        }
        let due_ms = self.apps[app].session.next_tick_ms();
        let max = self.apps[app].options.outbox_max_messages;
        ensure(self.apps[app].session.unsent() <= max, || format!("app {app} keeps more than {max}"))?;
        let this = &mut self.apps[app];
        if due_ms != u64::MAX && (this.wakes_at_ms == 0 || due_ms < this.wakes_at_ms) {
            this.wakes += 1;
            this.wakes_at_ms = due_ms.max(self.now_ms + 1);
            let (at_ms, number) = (this.wakes_at_ms, this.wakes);
            self.at(at_ms, Event::Wake { app, number });
        }
        Ok(())
    }

    /// Drops the connection of a client; the server notices, if it can.
    fn hang_up(&mut self, app: usize) {
        if let Some(socket) = self.apps[app].socket.take()
            && !std::mem::replace(&mut self.sockets[socket].cut, true)
        {
            let noticed_ms = self.random.between(1, 40);
            self.after(noticed_ms, Event::Lost { socket });
        }
    }

    // Actions of a user.

    pub(crate) fn act_app(&mut self, app: usize) {
        let socket = self.apps[app].socket.filter(|&socket| !self.sockets[socket].cut);
        if let Some(socket) = socket {
            if self.random.chance(self.rates.reset) {
                return self.reset(socket);
            } else if self.random.chance(self.rates.stall) {
                return self.stall(socket);
            } else if self.random.chance(self.rates.revoke) {
                let session = self.apps[app].session_id.clone();
                return self.sign_out(self.hubs[self.sockets[socket].hub].node, &session);
            }
        }
        if self.random.chance(self.rates.client_restarts) {
            return self.restart_app(app);
        }
        let count = if self.random.chance(60) { self.random.between(5, 40) } else { 1 };
        for _ in 0..count {
            self.do_in_app(app);
        }
    }

    fn do_in_app(&mut self, app: usize) {
        let now_ms = self.now_ms;
        let kind = self.random.between(0, 99);
        let room = self.some_room();
        let rooms: Vec<String> = self.apps[app].rooms.keys().cloned().collect();
        let user = self.apps[app].user.clone();
        match kind {
            0..=7 => drop(self.apps[app].session.join(now_ms, room)),
            8..=10 => self.apps[app].session.leave(now_ms, room),
            11..=14 => {
                let place = match self.random.chance(500) {
                    true => ClientTopic::room(room),
                    false => ClientTopic::private(self.some_user()),
                };
                let seq = self.random.between(0, 80);
                let from = match self.random.between(0, 4) {
                    0 => PageFrom::Latest,
                    1 => PageFrom::Before(seq),
                    2 => PageFrom::After(seq),
                    3 => PageFrom::Around(seq),
                    _ => PageFrom::Numbers((0..self.random.between(0, 8)).map(|n| seq / 2 + n * n).collect()),
                };
                let app = &mut self.apps[app];
                if let Ok(request) = app.session.history(now_ms, place.clone(), from, None) {
                    app.timelines.ask(place, request);
                }
            }
            15..=35 => {
                let to = self.some_user();
                let pair = Pair::new(user.clone(), Username::known(to).expect("a good name"));
                self.send_in_app(app, ClientTopic::private(to), Topic::Pair(pair));
            }
            36..=42 => {
                let topic = match self.random.chance(700) {
                    true => ClientTopic::room(room),
                    false => ClientTopic::private(self.some_user()),
                };
                if self.random.chance(800) {
                    if let Ok(known) = self.topic(app, &topic) {
                        let upto = self.some_position(&known);
                        self.apps[app].session.read(now_ms, &topic, upto);
                    }
                } else {
                    let level = [Level::All, Level::Mentions, Level::None][self.random.index(3)];
                    self.apps[app].session.set_level(now_ms, &topic, level);
                }
            }
            43..=48 => {
                let topic = match self.random.chance(700) {
                    true => ClientTopic::room(rooms.first().map_or(room, String::as_str)),
                    false => ClientTopic::private(self.some_user()),
                };
                let active = self.random.chance(700);
                self.apps[app].session.typing(now_ms, &topic, active);
            }
            _ => {
                let room = if rooms.is_empty() { room } else { &rooms[self.random.index(rooms.len())] };
                let topic = Topic::Room(RoomName::parse(room).expect("a good name"));
                self.send_in_app(app, ClientTopic::room(room), topic);
            }
        }
    }

    fn send_in_app(&mut self, app: usize, to: ClientTopic, topic: Topic) {
        let user = self.apps[app].user.clone();
        let (number, sent) = self.some_act(&user, APP_AUTHORS + app, &topic);
        let now_ms = self.now_ms;
        let place = to.clone();
        let queued = match sent.what {
            What::Message { reply_to } => {
                let files: Vec<AttachedFile> = sent.files.iter().map(|id| self.file_in_app(id)).collect();
                if !files.is_empty() {
                    self.oracle.count("app message with files");
                }
                let mut message = NewMessage::new(to, sent.text.unwrap_or_default());
                message.mentions = sent.mentions.into_iter().map(str::to_owned).collect();
                (message.mention_all, message.reply_to) = (sent.mention_all, reply_to);
                message.files = files;
                self.apps[app].session.send_message(now_ms, message)
            }
            what => {
                let is_blank = sent.text.as_ref().is_some_and(String::is_empty);
                let kind = match what {
                    What::Message { .. } | What::Delete { .. } => ChangeKind::Delete,
                    What::Edit { .. } => ChangeKind::Edit {
                        text: sent.text,
                        mentions: sent.mentions.into_iter().map(str::to_owned).collect(),
                        mention_all: sent.mention_all,
                    },
                    What::React { emoji, .. } => ChangeKind::React { emoji: emoji.to_owned() },
                    What::Unreact { emoji, .. } => ChangeKind::Unreact { emoji: emoji.to_owned() },
                };
                let target = self.target_in_app(app, number, &to, what, is_blank);
                let change = NewChange { to, target, kind, nonce: None };
                self.apps[app].session.change(now_ms, change)
            }
        };
        match queued {
            Ok(nonce) => {
                self.oracle.count("app sent");
                self.oracle.name_act(number, &nonce);
                self.apps[app].sent.insert(nonce, Sent { number, topic: place, outcome: None });
            }
            Err(_) => self.oracle.count("app refused"),
        }
    }

    /// A file as the upload's answer has shown it to its user, or one that there never was.
    fn file_in_app(&self, id: &FileId) -> AttachedFile {
        let unknown = || AttachedFile {
            id: id.as_str().to_owned(),
            name: "unknown".to_owned(),
            media_type: "text/plain".to_owned(),
            size: 0,
            width: None,
            height: None,
        };
        self.oracle.file(id).map_or_else(unknown, |known| client_file(&known.file))
    }

    /// The message that a change is of: sometimes one that is being sent. A blank edit names
    /// a stored message: one that is being sent may have files, and the edit would be stored.
    fn target_in_app(
        &mut self,
        app: usize,
        number: usize,
        to: &ClientTopic,
        what: What,
        is_blank: bool,
    ) -> Target {
        let unsent = self.apps[app].sent.iter().find(|(_, sent)| {
            sent.outcome.is_none() && sent.topic == *to && self.oracle.is_of_message(sent.number)
        });
        match unsent.map(|(nonce, sent)| (nonce.clone(), sent.number)) {
            Some((nonce, of)) if !is_blank && self.random.chance(300) => {
                self.oracle.name_target(number, of);
                self.oracle.count("app changed an unsent message");
                Target::Nonce(nonce)
            }
            _ => Target::Number(what.target().unwrap_or(0)),
        }
    }

    /// Ends the application's process, and starts another with its snapshot.
    fn restart_app(&mut self, app: usize) {
        self.oracle.count("app restarted");
        self.note(|| format!("    app {app} starts again"));
        self.hang_up(app);
        let seed = self.random.next_u64();
        let keeps = self.random.chance(500);
        let this = &mut self.apps[app];
        this.attempts += 1;
        let mut snapshot = this.session.snapshot();
        if snapshot.outbox.iter().any(|unsent| !unsent.files.is_empty()) {
            self.oracle.count("app restarted with files");
        }
        match self.bug {
            Some(Bug::ForgetOutbox) => snapshot.outbox.clear(),
            Some(Bug::ForgetFiles) => snapshot.outbox.iter_mut().for_each(|unsent| unsent.files.clear()),
            _ => {}
        }
        // A program keeps it as text.
        let text = serde_json::to_string(&snapshot).expect("a snapshot can be written");
        let snapshot = serde_json::from_str(&text).expect("what was written can be read");
        this.session = Session::restore(this.options.clone(), seed, snapshot);
        // It may have kept what it shows, too.
        match keeps {
            true => this.timelines.end(),
            false => this.timelines = Timelines::new(&this.user),
        }
        this.wakes += 1;
        this.is_signed_out = false;
        let number = this.wakes;
        self.after(5, Event::Wake { app, number });
    }

    // Events of the session.

    fn show(&mut self, app: usize, event: &AppEvent) -> Check {
        match event {
            AppEvent::Online { conversations, has_more, .. } => {
                // Conversations that began meanwhile may be among those.
                self.apps[app].may_lack |= *has_more && self.apps[app].since.is_some();
                self.online(app, conversations);
            }
            AppEvent::Offline { .. } => self.apps[app].socket = None,
            AppEvent::SignedOut { .. } => {
                self.apps[app].socket = None;
                if !std::mem::replace(&mut self.apps[app].is_signed_out, true) {
                    let pause_ms = self.random.between(50, 1_500);
                    self.after(pause_ms, Event::SignsIn { app });
                }
            }
            AppEvent::Joined { room, seq, recovered, online, members, .. } => {
                let members_max = self.plan.options.members_max as u64;
                let is_folded = self.apps[app].options.fold;
                let shows_none = *seq == 0 || self.apps[app].options.join_limit == Some(0);
                let shown = self.apps[app].rooms.entry(room.clone()).or_default();
                if *recovered {
                    ensure(shown.last.is_some_and(|last| last <= *seq), || {
                        format!("but {:?} is the last", shown.last)
                    })?;
                } else {
                    // Where there is nothing to show, everything is shown.
                    (shown.last, shown.start) = (shows_none.then_some(*seq), *seq);
                    shown.is_folded = is_folded;
                }
                shown.members = members.iter().cloned().collect();
                shown.has_names = *online <= members_max;
            }
            AppEvent::NotJoined { room, .. } | AppEvent::Left { room, .. } => {
                self.apps[app].rooms.remove(room);
            }
            AppEvent::Reset { topic: place } => {
                self.oracle.count("app reset");
                match place {
                    ClientTopic::Room(room) => {
                        if let Some(shown) = self.apps[app].rooms.get_mut(room) {
                            shown.last = None;
                        }
                    }
                    ClientTopic::Private(with) => drop(self.apps[app].people.remove(with)),
                }
            }
            AppEvent::Message { topic: place, entry } => {
                self.oracle.count("app message");
                self.check_entry(app, place, entry)?;
                self.comes_next(app, place, entry.seq)?;
            }
            AppEvent::Change { topic: place, change } => {
                self.oracle.count("app change");
                self.check_change(app, place, change)?;
                self.comes_next(app, place, change.seq)?;
            }
            AppEvent::UnknownEntry { .. } => return Err("a kind that the client does not know".to_owned()),
            AppEvent::Stored { nonce, topic: place, seq, .. } => {
                let sent = self.outcome(app, nonce, Outcome::Stored)?;
                let topic = self.topic(app, place)?;
                let is_it = self.oracle.stands_for(sent, &topic, *seq);
                ensure(is_it, || format!("that is {:?}", self.oracle.entry(&topic, *seq)))?;
            }
            AppEvent::NotSent { nonce, may_be_stored, .. } => {
                self.oracle.count("app not sent");
                let outcome = Outcome::NotSent { may_be_stored: *may_be_stored };
                let number = self.outcome(app, nonce, outcome)?;
                let is_stored = self.oracle.is_stored(number);
                ensure(*may_be_stored || !is_stored, || "it is stored".to_owned())?;
            }
            AppEvent::Presence { room, change } => {
                let shown = self.apps[app].rooms.get_mut(room).ok_or("it is not in that room")?;
                match change {
                    Presence::Came(user) => drop(shown.members.insert(user.clone())),
                    Presence::Gone(user) => drop(shown.members.remove(user)),
                    Presence::Count(_) => shown.has_names = false,
                }
            }
            AppEvent::Typing { topic: place, user, .. } => {
                self.oracle.count("app typing");
                ensure(*user != self.apps[app].user.as_str(), || "that is itself".to_owned())?;
                if let ClientTopic::Room(room) = place {
                    ensure(self.apps[app].rooms.contains_key(room), || "it is not in that room".to_owned())?;
                }
            }
            AppEvent::History { page, .. } => {
                self.oracle.count("app history");
                for entry in &page.messages {
                    self.check_entry(app, &page.topic, entry)?;
                }
                for change in &page.changes {
                    self.check_change(app, &page.topic, change)?;
                }
            }
            AppEvent::NoHistory { .. } => {}
            AppEvent::Replayed { room, upto } => {
                let shown = self.apps[app].rooms.get_mut(room).ok_or("it is not in that room")?;
                shown.is_folded = false;
                let last = shown.last.replace(*upto);
                let topic = self.topic(app, &ClientTopic::room(room.clone()))?;
                let is_next = last.is_none_or(|last| self.oracle.only_changes(&topic, last + 1, *upto));
                ensure(is_next, || format!("{last:?} is the last"))?;
            }
            // What they make of the account is compared at the end.
            AppEvent::Room { .. }
            | AppEvent::RoomGone { .. }
            | AppEvent::Activity { .. }
            | AppEvent::Queued { .. }
            | AppEvent::Read { .. }
            | AppEvent::Level { .. } => {}
            AppEvent::Problem { .. } => return Err("one of the two sides is wrong".to_owned()),
            _ => return Err("the simulator does not know that event".to_owned()),
        }
        Ok(())
    }

    fn online(&mut self, app: usize, conversations: &[chat_client::Conversation]) {
        self.oracle.count("app online");
        if self.apps[app].since.is_some() {
            return;
        }
        let this = &self.apps[app];
        let user = this.user.clone();
        let pairs = self.oracle.pairs_of(&user);
        let tops = pairs.map(|pair| (pair.clone(), self.oracle.last(&Topic::Pair(pair.clone()))));
        let since = tops.collect();
        let this = &mut self.apps[app];
        this.since = Some(since);
        this.people = conversations.iter().map(|known| (known.with.clone(), known.seq)).collect();
    }

    fn topic(&self, app: usize, place: &ClientTopic) -> Result<Topic, String> {
        match place {
            ClientTopic::Room(room) => {
                RoomName::parse(room).map(Topic::Room).map_err(|error| error.to_string())
            }
            ClientTopic::Private(with) => {
                let with = Username::known(with).map_err(|error| error.to_string())?;
                Ok(Topic::Pair(Pair::new(self.apps[app].user.clone(), with)))
            }
        }
    }

    /// Applies an event to the timelines, and checks what they show of the messages that it
    /// concerns.
    fn show_in_timeline(&mut self, app: usize, event: &AppEvent) -> Check {
        let App { counted, session, .. } = &mut self.apps[app];
        match event {
            AppEvent::Online { rooms, .. } => {
                *counted =
                    rooms.iter().filter(|room| room.unread.is_some()).map(|r| r.room.clone()).collect();
            }
            // Not if the user has read further by now.
            AppEvent::Read { topic: ClientTopic::Room(room), upto, counts: Some(_), .. }
                if session.account().room(room).is_some_and(|known| known.read <= *upto) =>
            {
                counted.insert(room.clone());
            }
            AppEvent::Read { topic: ClientTopic::Room(room), .. }
            | AppEvent::Joined { room, recovered: false, .. }
            | AppEvent::Left { room, .. }
            | AppEvent::Room { room, .. }
            | AppEvent::Activity { room, .. } => {
                counted.remove(room);
            }
            _ => {}
        }
        let Some((place, seqs)) = self.apps[app].timelines.apply(event, self.bug) else { return Ok(()) };
        let topic = self.topic(app, &place)?;
        let this = &self.apps[app];
        let position = this.position(&place);
        for shown in seqs.into_iter().filter_map(|seq| this.timelines.message(&place, seq)) {
            is_version(&self.oracle, &topic, shown)?;
            let came = match event {
                AppEvent::Change { change, .. }
                    if !matches!(change.kind, ChangeKind::Edit { text: None, .. }) =>
                {
                    change.seq
                }
                _ => 0,
            };
            let last = self.oracle.last_effective(&topic, shown.seq, position).max(came);
            ensure(shown.updated >= last, || format!("it shows {shown:?} without its change {last}"))?;
        }
        let is_at_top = position > 0 && position == self.oracle.last(&topic);
        if is_at_top && self.random.chance(50) && !self.apps[app].timelines.is_asked(&place) {
            self.oracle.count("app at the top");
            self.apps[app].timelines.are_complete(&place, &topic, &self.oracle)?;
        }
        Ok(())
    }

    /// Takes note of the next entry of a topic.
    fn comes_next(&mut self, app: usize, place: &ClientTopic, seq: u64) -> Check {
        let topic = self.topic(app, place)?;
        let this = &mut self.apps[app];
        let (last, is_folded) = match place {
            ClientTopic::Room(room) => {
                let shown = this.rooms.get_mut(room).ok_or("it is not in that room")?;
                (shown.last.replace(seq), shown.is_folded)
            }
            ClientTopic::Private(with) => (this.people.insert(with.clone(), seq), false),
        };
        let is_next = last.is_none_or(|last| {
            seq == last + 1
                || (is_folded && seq > last && self.oracle.only_changes(&topic, last + 1, seq - 1))
        });
        ensure(is_next, || format!("{last:?} was the last"))
    }

    /// Checks a message that an application gets against the log.
    fn check_entry(&self, app: usize, place: &ClientTopic, shown: &Entry) -> Check {
        let topic = self.topic(app, place)?;
        let entry = self.oracle.entry(&topic, shown.seq).ok_or("it is not stored")?;
        let is_same = shown.from == entry.from.as_str()
            && shown.timestamp == entry.at_ms / 1000
            && shown.nonce.as_deref() == entry.nonce.as_ref().map(|nonce| nonce.as_str());
        ensure(is_same, || format!("the log has {entry:?}"))?;
        is_version(&self.oracle, &topic, shown)
    }

    /// Checks a change that an application gets against the log.
    fn check_change(&self, app: usize, place: &ClientTopic, shown: &Change) -> Check {
        let topic = self.topic(app, place)?;
        let entry = self.oracle.entry(&topic, shown.seq).ok_or("it is not stored")?;
        let is_same = match (&entry.body, &shown.kind) {
            (Body::Edit { text: Some(text), .. }, ChangeKind::Edit { text: shown, .. }) => {
                shown.as_ref().is_none_or(|shown| shown == text.as_str())
            }
            (Body::Delete { .. }, ChangeKind::Delete) => true,
            (Body::React { emoji, .. }, ChangeKind::React { emoji: shown })
            | (Body::Unreact { emoji, .. }, ChangeKind::Unreact { emoji: shown }) => shown == emoji.as_str(),
            _ => false,
        };
        let is_same = is_same
            && entry.body.target() == Some(shown.target)
            && shown.from == entry.from.as_str()
            && shown.timestamp == entry.at_ms / 1000
            && shown.nonce.as_deref() == entry.nonce.as_ref().map(|nonce| nonce.as_str());
        ensure(is_same, || format!("the log has {entry:?}"))
    }

    /// Notes the outcome of a send, which comes once, and returns its number.
    fn outcome(&mut self, app: usize, nonce: &str, outcome: Outcome) -> Result<usize, String> {
        let sent = self.apps[app].sent.get_mut(nonce).ok_or("it was never sent")?;
        ensure(sent.outcome.is_none(), || "that outcome came before".to_owned())?;
        sent.outcome = Some(outcome);
        Ok(sent.number)
    }

    /// Checks, some time after the last fault, that every application shows everything.
    pub(crate) fn check_apps(&self, expected: &Expected) -> Check {
        for (number, app) in self.apps.iter().enumerate() {
            self.check_app(app, expected).map_err(|why| format!("app {number} ({}) {why}", app.user))?;
        }
        Ok(())
    }

    fn check_app(&self, app: &App, expected: &Expected) -> Check {
        ensure(app.session.is_online(), || "is offline".to_owned())?;
        ensure(app.session.unsent() == 0, || format!("has {} unsent", app.session.unsent()))?;
        for (nonce, sent) in &app.sent {
            let is_stored = self.oracle.is_stored(sent.number);
            match sent.outcome {
                None => return Err(format!("never got the outcome of {nonce}")),
                Some(Outcome::Stored) => ensure(is_stored, || format!("{nonce} is not stored"))?,
                Some(Outcome::NotSent { may_be_stored }) => {
                    ensure(may_be_stored || !is_stored, || format!("{nonce} is stored"))?;
                }
            }
        }
        let account = app.session.account();
        let rooms = self.oracle.memberships(&app.user);
        if app.session.features().rooms && !account.has_more_rooms() {
            for (&room, (role, info)) in &rooms {
                if expected.unknown.contains(&(room.clone(), app.user.clone())) {
                    continue;
                }
                let shown = account.room(room.as_str()).ok_or_else(|| format!("does not list {room}"))?;
                let is_same = shown.title == info.title
                    && shown.archived == info.archived
                    && format!("{:?} {:?}", shown.access, shown.role)
                        == format!("{:?} {role:?}", info.access);
                ensure(is_same, || format!("shows {shown:?}, which is {info:?}, {role:?}"))?;
            }
            let extra = account.rooms().find(|shown| rooms.keys().all(|room| room.as_str() != shown.room));
            ensure(extra.is_none(), || format!("lists {extra:?}"))?;
        }
        for (room, shown) in &app.rooms {
            ensure(app.session.is_in(room), || format!("is not in {room}"))?;
            let topic = Topic::Room(RoomName::parse(room).map_err(|error| error.to_string())?);
            let last = self.oracle.last(&topic);
            let is_gone = shown.last.is_none() && self.oracle.first(&topic) > shown.start;
            ensure(shown.last.unwrap_or(0) == last || (is_gone && shown.start == last), || {
                format!("shows {:?} of {last} in {room}", shown.last)
            })?;
            if shown.last == Some(last) {
                app.timelines.are_complete(&ClientTopic::room(room.clone()), &topic, &self.oracle)?;
                self.counts_are_right(app, room, &topic)?;
            }
            let Topic::Room(name) = topic else { continue };
            let people = expected.people.get(&name).ok_or("is in a room that nobody is in")?;
            let names: BTreeSet<String> = people.iter().map(ToString::to_string).collect();
            ensure(!shown.has_names || shown.members == names, || {
                format!("shows that {:?} are in {room}, not {names:?}", shown.members)
            })?;
        }
        let since = app.since.as_ref().ok_or("was never online")?;
        for pair in self.oracle.pairs_of(&app.user) {
            let with = pair.other(&app.user).as_str();
            let topic = Topic::Pair(pair.clone());
            let last = self.oracle.last(&topic);
            let is_hidden = app.may_lack && !app.people.contains_key(with);
            let is_old = since.get(pair).copied().unwrap_or(0) == last && !app.people.contains_key(with);
            let shown = app.people.get(with).copied().unwrap_or(0);
            let is_gone = self.oracle.first(&topic) > shown + 1;
            ensure(is_old || is_hidden || shown == last || is_gone || with == NO_ACCOUNT, || {
                format!("shows {shown} of {last} with {with}")
            })?;
            if shown == last {
                app.timelines.are_complete(&ClientTopic::private(with), &topic, &self.oracle)?;
            }
        }
        Ok(())
    }

    /// Checks what an application counts as unread in a room that it has joined. A message
    /// that it was not sent may be counted after it was deleted, until the server counts again.
    fn counts_are_right(&self, app: &App, room: &str, topic: &Topic) -> Check {
        let Some(shown) = app.session.account().room(room) else { return Ok(()) };
        let (Some(unread), last) = (shown.unread.map(u64::from), self.oracle.last(topic)) else {
            return Ok(());
        };
        if !app.counted.contains(room) || self.oracle.has_guessed() {
            return Ok(());
        }
        let counts = self.oracle.counts(&app.user, topic, shown.read, last, 0).capped();
        let is_right = (counts.least.0..=counts.most.0).contains(&unread);
        ensure(is_right, || format!("counts {unread} unread in {room} after {}, not {counts:?}", shown.read))
    }
}

/// The longest pause of these clients between two attempts, in ms.
const BACKOFF_MAX_MS: u64 = 4_000;
