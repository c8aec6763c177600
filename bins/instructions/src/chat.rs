//! A hub and its log in memory, in one thread and without a clock.

use std::error::Error;

use chat_core::{
    Body, ChangeRules, ClientId, Draft, DraftId, History, HistoryLimits, Hub, HubOptions, Input, MessageText,
    Now, Output, Outputs, Protocol, Query, RoomInfo, RoomName, Seed, Topic, Username, WantedChange,
};

/// A hub and its log in memory. A millisecond passes with each [turn](Chat::end_turn).
pub(crate) struct Chat {
    hub: Hub,
    out: Outputs,
    log: History,
    now: Now,
    /// Pages of rooms that were read from the log.
    pub(crate) pages_read: u64,
    /// The bytes that clients were sent, if they are wanted.
    sent: Option<Vec<u8>>,
}

impl Chat {
    /// A chat whose users are not slowed down.
    pub(crate) fn new() -> Self {
        let unlimited = HubOptions { rate: None, frame_rate: None, join_rate: None, ..HubOptions::default() };
        let options = HubOptions { epoch: EPOCH.into(), ..unlimited };
        // Few enough that each run gets to where the oldest entry goes with each new one.
        let limits = HistoryLimits { entries_per_topic: 500, ..HistoryLimits::default() };
        Self {
            hub: Hub::new(options, Seed(1, 2)),
            out: Outputs::default(),
            log: History::new(Seed(3, 4), limits),
            now: Now { mono_ms: 0, wall_ms: 1_795_371_797_000 },
            pages_read: 0,
            sent: None,
        }
    }

    /// Creates a room with these members.
    pub(crate) fn create(&mut self, room: &RoomName, members: &[Username]) -> Result<(), Box<dyn Error>> {
        let (by, others) = members.split_first().ok_or("a room needs a member")?;
        let creation = WantedChange::Create {
            room: room.clone(),
            info: RoomInfo::opened(room),
            members: others.to_vec(),
            by: by.clone(),
        };
        self.log.change(&creation, self.now.wall_ms, |_| true)?;
        Ok(())
    }

    /// Stores a message that no client of this hub has sent.
    pub(crate) fn store(&mut self, room: &RoomName, from: &Username) -> Result<(), Box<dyn Error>> {
        self.log.append(&[draft(room, from)?], self.now.wall_ms, |_| true);
        Ok(())
    }

    pub(crate) fn open(&mut self, client: ClientId, user: &Username, protocol: Protocol) {
        self.step(Input::Open { client, user, session: None, good_for_ms: None, protocol });
        self.end_turn();
    }

    pub(crate) fn frame(&mut self, client: ClientId, text: &str) {
        self.step(Input::Frame { client, text });
    }

    pub(crate) fn close(&mut self, client: ClientId) {
        self.step(Input::Closed { client });
        self.end_turn();
    }

    /// How many messages clients were sent, each counted once for each client.
    pub(crate) fn deliveries(&self) -> u64 {
        self.out.deliveries()
    }

    /// What clients are sent while `work` is done.
    pub(crate) fn sent_by(&mut self, work: impl FnOnce(&mut Self)) -> String {
        self.sent = Some(Vec::new());
        work(self);
        String::from_utf8_lossy(&self.sent.take().unwrap_or_default()).into_owned()
    }

    fn step(&mut self, input: Input<'_>) {
        self.hub.step(self.now, input, &mut self.out);
    }

    /// Ends the turn and does its outputs, as often as those bring new ones: the drafts of a
    /// turn are one batch. Then a tick, if it is due.
    pub(crate) fn end_turn(&mut self) {
        self.now.mono_ms += 1;
        self.now.wall_ms += 1;
        self.do_outputs();
        if self.hub.next_tick_ms() <= self.now.mono_ms {
            self.step(Input::Tick);
            self.do_outputs();
        }
    }

    fn do_outputs(&mut self) {
        loop {
            self.hub.end_turn(&mut self.out);
            let (mut drafts, mut is_idle) = (Vec::new(), true);
            while let Some(output) = self.out.next() {
                is_idle = false;
                match output {
                    Output::Write(write) => {
                        if let Some(sent) = &mut self.sent {
                            sent.extend_from_slice(self.out.bytes(&write));
                        }
                    }
                    Output::Append(draft) => drafts.push(draft),
                    Output::Read { id, query } => {
                        self.pages_read += u64::from(matches!(query, Query::Page { .. }));
                        let answer = self.log.answer(&query);
                        self.step(Input::Answer { id, answer: &answer });
                    }
                    _ => {}
                }
            }
            if !drafts.is_empty() {
                let commit = self.log.append(&drafts, self.now.wall_ms, |_| true);
                self.step(Input::Changes(&commit.changes));
                self.step(Input::Commit { entries: &commit.entries, receipts: &commit.receipts });
            }
            if is_idle {
                return;
            }
        }
    }
}

/// A message of some hundred bytes.
pub(crate) fn draft(room: &RoomName, from: &Username) -> Result<Draft, Box<dyn Error>> {
    Ok(Draft {
        id: DraftId(0),
        topic: Topic::Room(room.clone()),
        from: from.clone(),
        room: None,
        body: Body::message(MessageText::parse(TEXT, 4096)?),
        files: Vec::new(),
        nonce: None,
        check: false,
        may_administer: false,
        by_server: false,
        refused: None,
        rules: ChangeRules::default(),
    })
}

/// Users with the names `user0`, `user1` …
pub(crate) fn users(count: u32) -> Result<Vec<Username>, Box<dyn Error>> {
    (0..count).map(|number| Ok(Username::parse(&format!("user{number}"))?)).collect()
}

/// The name of the log's numbering.
pub(crate) const EPOCH: &str = "epoch";
/// The text of each message.
pub(crate) const TEXT: &str = "Съешь ещё этих мягких французских булок, да выпей же чаю.";
