//! Reads of the log.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use slab::Slab;

use super::client::ClientRef;
use super::marks::{Counted, MarkCheck};
use super::options::HubOptions;
use super::taken_back::{Check, TakenBack};
use super::typing::TypingCheck;
use crate::frame::v2::{About, HistoryRange, Place};
use crate::outputs::Outputs;
use crate::seed::Seed;
use crate::{
    Answer, ClientId, Conversations, Entry, Memberships, MessagesFrom, Output, Page, PageFrom, PageLimits,
    Query, ReadId, ReadState, RoomAccess, RoomName, Topic, Username,
};

/// The reads of a hub: those that the log is working on, those beyond the cap,
/// and those to be tried again.
///
/// Each read has a purpose, which is of one kind with its query: what is begun
/// by [`page`](Reads::page) ends as [`Answered::Page`]. A page that was read before
/// something in it was taken back comes without that.
pub(super) struct Reads {
    /// Reads that the log may work on at the same time.
    running_max: usize,
    running: usize,
    /// Reads without an answer, by their id.
    open: Slab<Purpose>,
    /// Open reads beyond the cap, in the order in which they begin.
    waiting: VecDeque<(ReadId, Query)>,
    /// Reads that failed, with the time of the next attempt in milliseconds, in
    /// that order.
    retries: VecDeque<(u64, Retry)>,
    /// Counts the questions whether a client may read a room.
    questions: u64,
    /// What was taken back while pages are read.
    taken_back: TakenBack,
    /// See `PlantedBug::StalePage`.
    #[cfg(feature = "planted-bugs")]
    planted: Option<crate::PlantedBug>,
}

/// An answered read: its purpose, and what was read; `None` if the log failed.
pub(super) enum Answered<'a> {
    Page(PagePurpose, Option<Cow<'a, Page>>),
    /// Nothing: something in the page may be taken back by now, and it is read again.
    NotYet,
    /// For the `hello` of a client.
    Conversations(ClientRef, Option<&'a Conversations>),
    /// For the `hello` of a client.
    Memberships(ClientRef, Option<&'a Memberships>),
    /// To let a client join a room.
    Access(AccessCheck, Option<&'a RoomAccess>),
    /// To learn what was committed in rooms before the hub was subscribed to them.
    Tops(Vec<RoomName>, Option<&'a [u64]>),
    /// To show what a user has not read.
    Counts(Counted, Option<&'a ReadState>),
    /// To let a user set a mark in a room.
    RoomMark(MarkCheck, Option<&'a RoomAccess>),
    /// To let a user set a mark in a conversation.
    PairMark(MarkCheck, Option<&'a ReadState>),
}

/// What a page is read for.
#[derive(Debug)]
pub(super) enum PagePurpose {
    /// To bring a room or conversation, and the clients that replay it, up to date.
    Topic { topic: Topic, page: TopicPage },
    /// To answer a client's `history` request.
    History(Box<HistoryRequest>),
    /// To learn whether a conversation in which a user types has any entries.
    Typing(TypingCheck),
}

/// Which page of a topic is read to bring the topic, or clients that replay it, up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TopicPage {
    /// The newest entries, to learn how far the topic is.
    Newest,
    /// The entries after this number.
    After(u64),
    /// The messages after a number, for clients whose folded replays go up to `end`.
    Messages { after: u64, end: u64 },
}

/// A client that waits for the answer whether its user may read a room.
#[derive(Debug, Clone)]
pub(super) struct AccessCheck {
    pub(super) client: ClientRef,
    pub(super) room: RoomName,
    /// See [`Reads::next_question`].
    pub(super) question: u64,
    /// The user's membership in the room has ended since the store was asked: the role in
    /// the answer may be older.
    pub(super) is_over: bool,
}

/// A v2 client's request for a page of history.
#[derive(Debug)]
pub(super) struct HistoryRequest {
    pub(super) client: ClientRef,
    /// Of a room: the join by which the client may read it. A client that was removed and
    /// joins again is not sent what was read for its earlier join.
    pub(super) join: Option<u64>,
    pub(super) page: HistoryPage,
    pub(super) limit: usize,
    pub(super) about: About,
}

/// A page of history that a v2 client requests.
#[derive(Debug)]
pub(super) struct HistoryPage {
    pub(super) of: Place,
    pub(super) range: HistoryRange,
    /// The answer has messages only, and names the numbers that it covers.
    pub(super) fold: bool,
}

/// A failed read that is to be tried again.
#[derive(Debug)]
pub(super) enum Retry {
    Topic(Topic),
    Conversations(ClientRef),
    Memberships(ClientRef),
    Access(AccessCheck),
    Tops(Vec<RoomName>),
    Counts(Counted),
}

#[derive(Debug)]
enum Purpose {
    Page(PagePurpose, Box<PageQuery>),
    Conversations(ClientRef),
    Memberships(ClientRef),
    Access(AccessCheck),
    Tops(Vec<RoomName>),
    Counts(Counted),
    Mark(MarkCheck),
}

/// What page is read.
#[derive(Debug, Clone)]
pub(super) struct PageQuery {
    topic: Topic,
    from: QueryFrom,
    limits: PageLimits,
    /// It was read, and is read again.
    is_again: bool,
}

/// Where a page begins, and what it has.
#[derive(Debug, Clone)]
pub(super) enum QueryFrom {
    /// All entries.
    Entries(PageFrom),
    /// Messages only.
    Messages(MessagesFrom),
}

impl PageQuery {
    fn query(&self) -> Query {
        let (topic, limits) = (self.topic.clone(), self.limits);
        match &self.from {
            QueryFrom::Entries(from) => Query::Page { topic, from: *from, limits },
            QueryFrom::Messages(from) => Query::Messages { topic, from: from.clone(), limits },
        }
    }
}

impl Reads {
    /// No reads yet.
    pub(super) fn new(options: &HubOptions, seed: Seed) -> Self {
        Self {
            taken_back: TakenBack::new(seed),
            #[cfg(feature = "planted-bugs")]
            planted: options.planted,
            running_max: options.reads_max,
            running: 0,
            open: Slab::new(),
            waiting: VecDeque::new(),
            retries: VecDeque::new(),
            questions: 0,
        }
    }

    /// Begins to read a page.
    pub(super) fn page(
        &mut self,
        purpose: PagePurpose,
        topic: Topic,
        from: QueryFrom,
        limits: PageLimits,
        out: &mut Outputs,
    ) -> ReadId {
        self.taken_back.begin_read(&topic);
        let page = PageQuery { topic, from, limits, is_again: false };
        let query = page.query();
        self.begin(Purpose::Page(purpose, Box::new(page)), query, out)
    }

    /// Notes a change of a message that is committed: pages that are being read may be older.
    pub(super) fn note_change(&mut self, change: &Arc<Entry>) {
        self.taken_back.note(change);
    }

    /// Notes that entries up to a number are committed which the bus did not carry here:
    /// they may take something back.
    pub(super) fn note_lost(&mut self, topic: &Topic, upto: u64) {
        self.taken_back.note_lost(topic, upto);
    }

    /// Begins to read the conversations of a user, for a client's `hello`.
    pub(super) fn conversations(
        &mut self,
        client: ClientRef,
        user: Username,
        limit: usize,
        out: &mut Outputs,
    ) {
        self.begin(Purpose::Conversations(client), Query::Conversations { user, limit }, out);
    }

    /// Begins to read the rooms of a user, for a client's `hello`.
    pub(super) fn memberships(
        &mut self,
        client: ClientRef,
        user: Username,
        limit: usize,
        counted: usize,
        out: &mut Outputs,
    ) {
        self.begin(Purpose::Memberships(client), Query::Memberships { user, limit, counted }, out);
    }

    /// A number for a join, and for the question whether its client may read the room: an
    /// answer to an earlier question of the client may be older than a change.
    pub(super) fn next_question(&mut self) -> u64 {
        self.questions += 1;
        self.questions
    }

    /// Begins to read whether a client's user may read a room.
    pub(super) fn access(&mut self, mut check: AccessCheck, user: Username, out: &mut Outputs) {
        check.is_over = false;
        let room = check.room.clone();
        self.begin(Purpose::Access(check), Query::Access { user, room }, out);
    }

    /// Begins to read how far rooms are.
    pub(super) fn tops(&mut self, rooms: Vec<RoomName>, out: &mut Outputs) {
        self.begin(Purpose::Tops(rooms.clone()), Query::Tops { rooms }, out);
    }

    /// Begins to read what a user has not read.
    pub(super) fn counts(&mut self, counted: Counted, out: &mut Outputs) {
        let Counted { user, topic, read, .. } = &counted;
        let query = Query::Counts { user: user.clone(), topic: topic.clone(), read: *read };
        self.begin(Purpose::Counts(counted), query, out);
    }

    /// Notes of all counts of a user in a topic that are not shown yet that the membership is
    /// over.
    pub(super) fn end_counts(&mut self, user: &Username, topic: &Topic) {
        let open = self.open.iter_mut().filter_map(|(_, purpose)| match purpose {
            Purpose::Counts(counted) => Some(counted),
            _ => None,
        });
        let retried = self.retries.iter_mut().filter_map(|(_, retry)| match retry {
            Retry::Counts(counted) => Some(counted),
            _ => None,
        });
        for counted in open.chain(retried).filter(|of| of.user == *user && of.topic == *topic) {
            counted.is_over = true;
        }
    }

    /// Notes of all questions about members of a room that are not answered yet that the
    /// memberships of these clients' users are over. `None`: of all clients.
    pub(super) fn end_memberships(&mut self, room: &RoomName, clients: Option<&[ClientId]>) {
        let is_meant = |client: ClientRef| clients.is_none_or(|clients| clients.contains(&client.id));
        for (_, purpose) in &mut self.open {
            match purpose {
                Purpose::Access(check) if check.room == *room && is_meant(check.client) => {
                    check.is_over = true;
                }
                Purpose::Mark(check) if check.is_about(room) && is_meant(check.client) => {
                    check.is_over = true;
                }
                _ => {}
            }
        }
    }

    /// Begins to read whether a client's user may set a mark: as a member of a room, or in
    /// a conversation that has entries.
    pub(super) fn mark(&mut self, mut check: MarkCheck, user: Username, out: &mut Outputs) {
        check.is_over = false;
        let query = match &check.topic {
            Topic::Room(room) => Query::Access { user, room: room.clone() },
            Topic::Pair(_) => Query::Counts { user, topic: check.topic.clone(), read: 0 },
        };
        self.begin(Purpose::Mark(check), query, out);
    }

    /// Ends a read, and begins the next one that waits.
    ///
    /// # Panics
    ///
    /// If no such read is open, or the answer is of another kind than its query.
    pub(super) fn end<'a>(&mut self, id: ReadId, answer: &'a Answer, out: &mut Outputs) -> Answered<'a> {
        let slot = usize::try_from(id.0).expect("ids are slots");
        let purpose = self.open.get_mut(slot).unwrap_or_else(|| panic!("{id:?} is not open"));
        let mut checked = None;
        if let (Purpose::Page(_, query), Answer::Page(page)) = (purpose, answer) {
            checked = check(&self.taken_back, query, page);
            #[cfg(feature = "planted-bugs")]
            if self.planted == Some(crate::PlantedBug::StalePage) {
                checked = Some(Cow::Borrowed(page));
            }
            if checked.is_none() && !std::mem::replace(&mut query.is_again, true) {
                out.push(Output::Read { id, query: query.query() });
                return Answered::NotYet;
            }
        }
        let purpose = self.open.remove(slot);
        if let Purpose::Page(_, query) = &purpose {
            self.taken_back.end_read(&query.topic);
        }
        self.running -= 1;
        if let Some((id, query)) = self.waiting.pop_front() {
            self.run(id, query, out);
        }
        match (purpose, answer) {
            (Purpose::Page(purpose, _), Answer::Page(_)) => Answered::Page(purpose, checked),
            (Purpose::Page(purpose, _), Answer::Failed) => Answered::Page(purpose, None),
            (Purpose::Conversations(client), Answer::Conversations(conversations)) => {
                Answered::Conversations(client, Some(conversations))
            }
            (Purpose::Conversations(client), Answer::Failed) => Answered::Conversations(client, None),
            (Purpose::Memberships(client), Answer::Memberships(memberships)) => {
                Answered::Memberships(client, Some(memberships))
            }
            (Purpose::Memberships(client), Answer::Failed) => Answered::Memberships(client, None),
            (Purpose::Access(check), Answer::Access(access)) => Answered::Access(check, Some(access)),
            (Purpose::Access(check), Answer::Failed) => Answered::Access(check, None),
            (Purpose::Tops(rooms), Answer::Tops(tops)) => Answered::Tops(rooms, Some(tops)),
            (Purpose::Tops(rooms), Answer::Failed) => Answered::Tops(rooms, None),
            (Purpose::Counts(counted), Answer::Counts(state)) => Answered::Counts(counted, Some(state)),
            (Purpose::Counts(counted), Answer::Failed) => Answered::Counts(counted, None),
            (Purpose::Mark(check), Answer::Access(access)) => Answered::RoomMark(check, Some(access)),
            (Purpose::Mark(check), Answer::Counts(state)) => Answered::PairMark(check, Some(state)),
            (Purpose::Mark(check), Answer::Failed) => Answered::PairMark(check, None),
            (purpose, answer) => panic!("{id:?} is for {purpose:?}, and the answer is {answer:?}"),
        }
    }

    /// Notes a read that failed, to be begun again at `at_ms`.
    pub(super) fn retry_at(&mut self, at_ms: u64, what: Retry) {
        self.retries.push_back((at_ms, what));
    }

    /// A failed read whose time has come.
    pub(super) fn next_retry(&mut self, now_ms: u64) -> Option<Retry> {
        self.retries.pop_front_if(|(at_ms, _)| *at_ms <= now_ms).map(|(_, retry)| retry)
    }

    fn begin(&mut self, purpose: Purpose, query: Query, out: &mut Outputs) -> ReadId {
        let id = ReadId(self.open.insert(purpose) as u64);
        if self.running < self.running_max {
            self.run(id, query, out);
        } else {
            self.waiting.push_back((id, query));
        }
        id
    }

    fn run(&mut self, id: ReadId, query: Query, out: &mut Outputs) {
        self.running += 1;
        out.push(Output::Read { id, query });
    }
}

/// A page without what was taken back since it was read. `None`: it is to be read again, or
/// counts as failed if it was.
fn check<'a>(taken_back: &TakenBack, query: &PageQuery, page: &'a Page) -> Option<Cow<'a, Page>> {
    match taken_back.check(&query.topic, page, query.is_again) {
        Check::Good => Some(Cow::Borrowed(page)),
        Check::Patched(page) => Some(Cow::Owned(page)),
        Check::Stale => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RoomName;

    fn one_at_a_time() -> Reads {
        Reads::new(&HubOptions { reads_max: 1, ..HubOptions::default() }, Seed(1, 2))
    }

    fn read_page(reads: &mut Reads, out: &mut Outputs) -> ReadId {
        let topic = Topic::Room(RoomName::default());
        let purpose = PagePurpose::Topic { topic: topic.clone(), page: TopicPage::Newest };
        let from = QueryFrom::Entries(PageFrom::Latest);
        reads.page(purpose, topic, from, PageLimits { entries: 1, bytes: 1 }, out)
    }

    #[test]
    fn reads_beyond_the_cap_begin_when_others_end() {
        let (mut reads, mut out) = (one_at_a_time(), Outputs::default());
        let first = read_page(&mut reads, &mut out);
        let client = ClientRef { id: ClientId(7), generation: 1 };
        reads.conversations(client, Username::parse("alice").unwrap(), 9, &mut out);
        assert!(matches!(out.next(), Some(Output::Read { id, query: Query::Page { .. } }) if id == first));
        assert!(out.is_empty());
        let answer = reads.end(first, &Answer::Failed, &mut out);
        assert!(matches!(answer, Answered::Page(PagePurpose::Topic { .. }, None)));
        assert!(matches!(
            out.next(),
            Some(Output::Read { query: Query::Conversations { limit: 9, .. }, .. })
        ));
    }

    #[test]
    #[should_panic(expected = "and the answer is Conversations")]
    fn an_answer_of_another_kind_is_loud() {
        let (mut reads, mut out) = (one_at_a_time(), Outputs::default());
        let id = read_page(&mut reads, &mut out);
        reads.end(id, &Answer::Conversations(Conversations::default()), &mut out);
    }

    #[test]
    #[should_panic(expected = "is not open")]
    fn a_second_answer_is_loud() {
        let (mut reads, mut out) = (one_at_a_time(), Outputs::default());
        let id = read_page(&mut reads, &mut out);
        reads.end(id, &Answer::Failed, &mut out);
        reads.end(id, &Answer::Failed, &mut out);
    }
}
