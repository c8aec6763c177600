//! Users with the real client, and what their applications show.

use std::collections::{BTreeMap, BTreeSet};

use chat_client::{
    Entry, Event as AppEvent, Level, NewMessage, Options, Output, PageFrom, Presence, Session,
    Topic as ClientTopic,
};
use chat_core::{Pair, RoomName, SessionId, Topic, Username};

use crate::oracle::{Check, Expected, ensure};
use crate::people::users;
use crate::planted::Bug;
use crate::wire::{NO_ACCOUNT, text};
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
}

/// The part of a room that an application shows.
#[derive(Default)]
struct RoomShown {
    /// The last number shown; `None` after a fresh start.
    last: Option<u64>,
    /// The room's last number at that start.
    start: u64,
    members: BTreeSet<String>,
    has_names: bool,
}

struct Sent {
    number: usize,
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

impl World {
    pub(crate) fn make_apps(&mut self) {
        for app in 0..self.plan.apps {
            let all: Vec<Username> = users().collect();
            let user = all[self.random.index(all.len())].clone();
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
                session_id: SessionId::new(&format!("{user} app {app}")),
                user,
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
        let padding = self.padding();
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
                let from = match self.random.between(0, 2) {
                    0 => PageFrom::Latest,
                    1 => PageFrom::Before(seq),
                    _ => PageFrom::After(seq),
                };
                let _ = self.apps[app].session.history(now_ms, place, from, None);
            }
            15..=35 => {
                let to = self.some_user();
                let pair = Pair::new(user.clone(), Username::known(to).expect("a good name"));
                self.send_in_app(app, ClientTopic::private(to), Topic::Pair(pair), padding);
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
                self.send_in_app(app, ClientTopic::room(room), topic, padding);
            }
        }
    }

    fn send_in_app(&mut self, app: usize, to: ClientTopic, topic: Topic, padding: usize) {
        let user = self.apps[app].user.clone();
        let number = self.oracle.add_message(&user, APP_AUTHORS + app, topic);
        let now_ms = self.now_ms;
        let mut text = text(number, padding);
        let mentions = match &to {
            ClientTopic::Room(_) => self.some_mentions(&mut text),
            ClientTopic::Private(_) => Vec::new(),
        };
        let mut message = NewMessage::new(to, text);
        message.mentions = mentions.into_iter().map(str::to_owned).collect();
        match self.apps[app].session.send_message(now_ms, message) {
            Ok(nonce) => {
                self.oracle.count("app sent");
                self.apps[app].sent.insert(nonce, Sent { number, outcome: None });
            }
            Err(_) => self.oracle.count("app refused"),
        }
    }

    /// Ends the application's process, and starts another with its snapshot.
    fn restart_app(&mut self, app: usize) {
        self.oracle.count("app restarted");
        self.note(|| format!("    app {app} starts again"));
        self.hang_up(app);
        let seed = self.random.next_u64();
        let this = &mut self.apps[app];
        this.attempts += 1;
        let mut snapshot = this.session.snapshot();
        if self.bug == Some(Bug::ForgetOutbox) {
            snapshot.outbox.clear();
        }
        this.session = Session::restore(this.options.clone(), seed, snapshot);
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
                let shows_none = *seq == 0 || self.apps[app].options.join_limit == Some(0);
                let shown = self.apps[app].rooms.entry(room.clone()).or_default();
                if *recovered {
                    ensure(shown.last.is_some_and(|last| last <= *seq), || {
                        format!("but {:?} is the last", shown.last)
                    })?;
                } else {
                    // Where there is nothing to show, everything is shown.
                    (shown.last, shown.start) = (shows_none.then_some(*seq), *seq);
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
                let this = &mut self.apps[app];
                let last = match place {
                    ClientTopic::Room(room) => {
                        let shown = this.rooms.get_mut(room).ok_or("it is not in that room")?;
                        shown.last.replace(entry.seq)
                    }
                    ClientTopic::Private(with) => this.people.insert(with.clone(), entry.seq),
                };
                ensure(last.is_none_or(|last| entry.seq == last + 1), || format!("{last:?} was the last"))?;
            }
            AppEvent::Stored { nonce, topic: place, seq, .. } => {
                let sent = self.outcome(app, nonce, Outcome::Stored)?;
                let topic = self.topic(app, place)?;
                let entry = self.oracle.entry(&topic, *seq).ok_or("it is not stored")?;
                let is_it = crate::wire::number(entry.body.text()) == Some(sent);
                ensure(is_it, || format!("that is {entry:?}"))?;
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
            }
            AppEvent::NoHistory { .. } => {}
            AppEvent::Replayed { room, upto } => {
                let shown = self.apps[app].rooms.get(room).ok_or("it is not in that room")?;
                ensure(shown.last.is_none_or(|last| last == *upto), || {
                    format!("{:?} is the last", shown.last)
                })?;
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

    /// Checks an entry that an application shows against the log.
    fn check_entry(&self, app: usize, place: &ClientTopic, shown: &Entry) -> Check {
        let topic = self.topic(app, place)?;
        let entry = self.oracle.entry(&topic, shown.seq).ok_or("it is not stored")?;
        let is_same = shown.text == entry.body.text()
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
        }
        Ok(())
    }
}

/// The longest pause of these clients between two attempts, in ms.
const BACKOFF_MAX_MS: u64 = 4_000;
