//! What a log does with each draft of a batch: one rule for every log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{
    Access, Body, Commit, Draft, Entry, MENTION_ALL_MEMBERS_MAX, Mentions, Nonce, Outcome, Receipt, Role,
    RoomChange, RoomInfo, RoomName, Topic, Username,
};

/// A batch whose drafts are decided and whose new entries have no numbers yet.
///
/// A log stores a batch in three steps: it looks up the [facts](Facts) that the
/// decisions depend on, [decides](Self::decide), and [numbers](Self::number) the
/// new entries. How the facts are looked up and how the commit is written is the
/// log's own business; the decisions are made here, for every log.
pub struct Batch<'a> {
    drafts: &'a [Draft],
    decisions: Vec<Decision>,
    /// The topics with new entries and how many each gets, in the order of their
    /// first drafts.
    additions: Vec<(&'a Topic, u64)>,
}

/// What a log and its accounts hold before a batch: the answers to its [`Questions`].
///
/// A decision depends on these facts, on the drafts earlier in the batch, and on
/// nothing else.
#[derive(Clone, Default, Debug)]
pub struct Facts<'a> {
    /// The first results of the nonces that their authors used before.
    pub first_results: BTreeMap<(&'a Username, &'a Nonce), FirstResult>,
    /// The names in question that have an account of exactly this name.
    pub accounts: BTreeSet<&'a Username>,
    /// The rooms in question that exist.
    pub rooms: BTreeMap<&'a RoomName, RoomFacts>,
    /// The roles in question.
    pub roles: BTreeMap<(&'a RoomName, &'a Username), Role>,
}

/// What a log knows of a room before a batch.
#[derive(Clone, Debug)]
pub struct RoomFacts {
    /// Its title and access.
    pub info: Arc<RoomInfo>,
    /// The number of its members.
    pub members: u64,
}

/// Which drafts of a batch are judged by the state of their rooms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checked {
    /// Those with [`Draft::check`], and those that mention users.
    Hinted,
    /// All of them: a log has seen that a room is closed or archived.
    All,
}

impl Checked {
    /// Whether this draft is one of them.
    pub fn includes(self, draft: &Draft) -> bool {
        self == Self::All || draft.check || draft.body.mentions().is_some()
    }
}

/// The facts that a batch depends on, for a log that looks all of them up at once.
pub struct Questions<'a> {
    /// Author and nonce of each draft that has a nonce.
    pub nonces: Vec<(&'a Username, &'a Nonce)>,
    /// Names that may have an account, each once: recipients of private messages, and
    /// mentioned users.
    pub accounts: Vec<&'a Username>,
    /// The rooms of checked drafts, each once.
    pub rooms: Vec<&'a RoomName>,
    /// Users who may be members of these rooms, each once: authors and mentioned users.
    pub roles: Vec<(&'a RoomName, &'a Username)>,
}

/// The entry that was stored under a nonce.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FirstResult {
    /// Its topic.
    pub topic: Topic,
    /// Its number there.
    pub seq: u64,
    /// See [`Entry::at_ms`].
    pub at_ms: u64,
}

/// The end of a topic after the new entries of a batch were counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopicEnd {
    /// The number of the last new entry.
    pub last: u64,
    /// The stamp of the new entries: `max(now, the topic's last stamp)`.
    pub at_ms: u64,
}

enum Decision {
    /// The draft becomes an entry of the topic with this index in the additions.
    Store(usize, Admission),
    Answer(Outcome),
    /// The draft with this index has the same nonce, and is stored.
    Repeat(usize),
}

/// What a log knows when it judges a draft.
pub(crate) trait Known {
    fn has_account(&self, name: &Username) -> bool;
    /// A room that exists, and the number of its members.
    fn room(&self, name: &RoomName) -> Option<(&Arc<RoomInfo>, u64)>;
    fn role(&self, room: &RoomName, user: &Username) -> Option<Role>;
}

/// What a log does with one draft: the rule of [`Batch::decide`], for every log.
///
/// `earlier` finds the draft that its author sent before with the same nonce. Without
/// `check`, the room is taken for an open one with the author as a member.
pub(crate) fn judge<'d, E>(
    draft: &'d Draft,
    earlier: impl FnOnce(&'d Username, &'d Nonce) -> Option<E>,
    known: &impl Known,
    check: bool,
) -> Verdict<E> {
    if let Some(earlier) = draft.nonce.as_ref().and_then(|nonce| earlier(&draft.from, nonce)) {
        return Verdict::Repeat(earlier);
    }
    match &draft.topic {
        Topic::Pair(pair) if !known.has_account(pair.other(&draft.from)) => Verdict::NoRecipient,
        Topic::Room(room) if check => match admit(draft, room, known) {
            Some(admission) => Verdict::Store(admission),
            None => Verdict::Forbidden,
        },
        Topic::Pair(_) | Topic::Room(_) => Verdict::Store(Admission::default()),
    }
}

/// Judges a message to a room by the state of the room; `None` if it is forbidden.
fn admit(draft: &Draft, room: &RoomName, known: &impl Known) -> Option<Admission> {
    let role = known.role(room, &draft.from);
    let found = known.room(room);
    let is_closed = match found {
        Some((info, _)) if info.archived => return None,
        Some((info, _)) => info.access == Access::Closed,
        None => room.is_made_by_server(),
    };
    if is_closed && role.is_none() {
        return None;
    }
    let joins = role.is_none().then(|| match found {
        Some((info, _)) => Arc::clone(info),
        None => Arc::new(RoomInfo::opened(room)),
    });
    let mut admission = Admission { joins, ..Admission::default() };
    if let Some(wanted) = draft.body.mentions() {
        let members = found.map_or(0, |(_, members)| members);
        if wanted.all && members > MENTION_ALL_MEMBERS_MAX && role != Some(Role::Moderator) {
            return None;
        }
        let mut names: Vec<Username> = Vec::new();
        for name in wanted.names.iter().filter(|name| known.has_account(name)) {
            let is_member = *name == draft.from || known.role(room, name).is_some();
            if names.contains(name) || (is_closed && !is_member) {
                continue;
            }
            if !is_member {
                admission.not_members.push(name.clone());
            }
            names.push(name.clone());
        }
        if wanted.all || !names.is_empty() {
            admission.mentions = Some(Box::new(Mentions { names, all: wanted.all }));
        }
    }
    Some(admission)
}

/// The judgement of one draft.
pub(crate) enum Verdict<E> {
    /// The draft becomes an entry.
    Store(Admission),
    /// The draft repeats this earlier one.
    Repeat(E),
    /// The draft is a private message to a name without an account.
    NoRecipient,
    /// The author may not write to the room.
    Forbidden,
}

/// How a draft becomes an entry.
#[derive(Default)]
pub(crate) struct Admission {
    /// The author becomes a member of the open room, of which this is known.
    pub(crate) joins: Option<Arc<RoomInfo>>,
    /// The mentions of the entry.
    pub(crate) mentions: Option<Box<Mentions>>,
    /// See [`Receipt::not_members`].
    pub(crate) not_members: Vec<Username>,
}

impl Admission {
    /// The change that makes the author a member before the entry with this number.
    pub(crate) fn change(&mut self, draft: &Draft, seq: u64) -> Option<RoomChange> {
        let (info, Topic::Room(room)) = (self.joins.take()?, &draft.topic) else { return None };
        let (room, user) = (room.clone(), draft.from.clone());
        Some(RoomChange::Member { room, user, role: Role::Member, info, top: seq - 1 })
    }
}

/// The facts before a batch, with the members that its drafts so far have added.
struct Progress<'f, 'a> {
    facts: &'f Facts<'a>,
    /// The new members of each room.
    joined: BTreeMap<&'a RoomName, (Arc<RoomInfo>, BTreeSet<&'a Username>)>,
}

impl Known for Progress<'_, '_> {
    fn has_account(&self, name: &Username) -> bool {
        self.facts.accounts.contains(name)
    }

    fn room(&self, name: &RoomName) -> Option<(&Arc<RoomInfo>, u64)> {
        let joined = self.joined.get(name);
        let new = joined.map_or(0, |(_, users)| users.len() as u64);
        match self.facts.rooms.get(name) {
            Some(room) => Some((&room.info, room.members + new)),
            None => joined.map(|(info, _)| (info, new)),
        }
    }

    fn role(&self, room: &RoomName, user: &Username) -> Option<Role> {
        let has_joined = || self.joined.get(room).is_some_and(|(_, users)| users.contains(user));
        self.facts.roles.get(&(room, user)).copied().or_else(|| has_joined().then_some(Role::Member))
    }
}

enum Earlier {
    Stored(FirstResult),
    /// The index of a draft in the same batch.
    InBatch(usize),
}

impl<'a> Questions<'a> {
    /// The questions about these drafts.
    pub fn about(drafts: &'a [Draft], checked: Checked) -> Self {
        let nonces = drafts.iter().filter_map(|draft| Some((&draft.from, draft.nonce.as_ref()?)));
        let mut accounts: BTreeSet<&Username> = drafts.iter().filter_map(Draft::recipient).collect();
        let (mut rooms, mut roles) = (BTreeSet::new(), BTreeSet::new());
        for draft in drafts.iter().filter(|draft| checked.includes(draft)) {
            let Topic::Room(room) = &draft.topic else { continue };
            rooms.insert(room);
            roles.insert((room, &draft.from));
            for name in draft.body.mentions().into_iter().flat_map(|mentions| &mentions.names) {
                accounts.insert(name);
                roles.insert((room, name));
            }
        }
        Self {
            nonces: nonces.collect(),
            accounts: accounts.into_iter().collect(),
            rooms: rooms.into_iter().collect(),
            roles: roles.into_iter().collect(),
        }
    }
}

impl<'a> Batch<'a> {
    /// Decides what becomes of each draft, as if each were a batch of its own.
    ///
    /// A nonce that its author used before, also earlier in the batch, answers
    /// [`Outcome::Duplicate`] with the first result, whatever else the draft
    /// contains. Then a private message to a name without an account answers
    /// [`Outcome::NoRecipient`], a message to a room that its author may not write to
    /// answers [`Outcome::Forbidden`], and their nonces stay unused. Every other draft is
    /// stored; its author becomes a member of the open room.
    pub fn decide(drafts: &'a [Draft], facts: &Facts<'a>, checked: Checked, now_ms: u64) -> Self {
        let mut additions = Additions::default();
        let mut stored_nonces = BTreeMap::new();
        let mut decisions = Vec::with_capacity(drafts.len());
        let mut known = Progress { facts, joined: BTreeMap::new() };
        for (index, draft) in drafts.iter().enumerate() {
            let earlier = |author, nonce| {
                let known = facts.first_results.get(&(author, nonce)).cloned().map(Earlier::Stored);
                known.or_else(|| stored_nonces.get(&(author, nonce)).copied().map(Earlier::InBatch))
            };
            let decision = match judge(draft, earlier, &known, checked.includes(draft)) {
                Verdict::Repeat(Earlier::Stored(FirstResult { topic, seq, at_ms })) => {
                    Decision::Answer(Outcome::Duplicate { topic, seq, at_ms })
                }
                Verdict::Repeat(Earlier::InBatch(first)) => Decision::Repeat(first),
                Verdict::NoRecipient => Decision::Answer(Outcome::NoRecipient { at_ms: now_ms }),
                Verdict::Forbidden => Decision::Answer(Outcome::Forbidden),
                Verdict::Store(admission) => {
                    if let (Some(info), Topic::Room(room)) = (&admission.joins, &draft.topic) {
                        let new = || (Arc::clone(info), BTreeSet::new());
                        known.joined.entry(room).or_insert_with(new).1.insert(&draft.from);
                    }
                    // No later draft can repeat the nonce of the last one.
                    if let Some(nonce) = draft.nonce.as_ref().filter(|_| index + 1 < drafts.len()) {
                        stored_nonces.insert((&draft.from, nonce), index);
                    }
                    Decision::Store(additions.add(&draft.topic), admission)
                }
            };
            decisions.push(decision);
        }
        Self { drafts, decisions, additions: additions.counts }
    }

    /// How many entries each topic gets, in the order of topics. Logs that lock
    /// topics in this order cannot deadlock.
    pub fn additions(&self) -> impl ExactSizeIterator<Item = (&'a Topic, u64)> {
        let mut additions = self.additions.clone();
        additions.sort_unstable();
        additions.into_iter()
    }

    /// Numbers the new entries and makes the receipts, in the order of the drafts.
    ///
    /// `count_in` adds the new entries to their number in a topic and returns its
    /// end; it is called once for each of the [additions](Self::additions).
    ///
    /// # Errors
    ///
    /// Those of `count_in`.
    pub fn number<E>(
        self,
        mut count_in: impl FnMut(&'a Topic, u64) -> Result<TopicEnd, E>,
    ) -> Result<Commit, E> {
        // The next number and the stamp of each topic.
        let mut next = Vec::with_capacity(self.additions.len());
        for (topic, count) in self.additions {
            let end = count_in(topic, count)?;
            next.push(((end.last + 1).saturating_sub(count), end.at_ms));
        }
        let mut commit = Commit {
            entries: Vec::with_capacity(self.drafts.len()),
            receipts: Vec::with_capacity(self.drafts.len()),
            changes: Vec::new(),
        };
        for (draft, decision) in self.drafts.iter().zip(self.decisions) {
            let mut not_members = Vec::new();
            let outcome = match decision {
                Decision::Store(topic, mut admission) => {
                    let (seq, at_ms) = &mut next[topic];
                    commit.changes.extend(admission.change(draft, *seq));
                    not_members = admission.not_members;
                    commit.entries.push(Arc::new(entry(draft, admission.mentions, *seq, *at_ms)));
                    *seq += 1;
                    Outcome::Stored { seq: *seq - 1, at_ms: *at_ms }
                }
                Decision::Answer(outcome) => outcome,
                Decision::Repeat(first) => repeated(&self.drafts[first], &commit.receipts[first].outcome),
            };
            commit.receipts.push(Receipt { draft: draft.id, outcome, not_members });
        }
        Ok(commit)
    }
}

/// Counts the new entries of each topic.
///
/// Most batches are of one topic, or of runs of one: the index by topic is looked
/// at only where the topic is not that of the draft before.
#[derive(Default)]
struct Additions<'a> {
    counts: Vec<(&'a Topic, u64)>,
    last: usize,
    /// The position of each topic in `counts`; empty while there is one topic.
    index: BTreeMap<&'a Topic, usize>,
}

impl<'a> Additions<'a> {
    /// Counts one more entry of a topic, and returns the topic's position.
    fn add(&mut self, topic: &'a Topic) -> usize {
        let is_last = self.counts.get(self.last).is_some_and(|(last, _)| *last == topic);
        if !is_last {
            if let [(only, _)] = self.counts[..] {
                self.index.insert(only, 0);
            }
            self.last = match self.index.get(topic) {
                Some(&position) => position,
                None => {
                    self.counts.push((topic, 0));
                    let position = self.counts.len() - 1;
                    if position > 0 {
                        self.index.insert(topic, position);
                    }
                    position
                }
            };
        }
        self.counts[self.last].1 += 1;
        self.last
    }
}

/// The entry that a draft becomes.
pub(crate) fn entry(draft: &Draft, mentions: Option<Box<Mentions>>, seq: u64, at_ms: u64) -> Entry {
    let body = match &draft.body {
        Body::Message { text, .. } => Body::Message { text: text.clone(), mentions },
    };
    Entry {
        topic: draft.topic.clone(),
        seq,
        from: draft.from.clone(),
        room: draft.room.clone(),
        body,
        at_ms,
        nonce: draft.nonce.clone(),
    }
}

/// The outcome of a draft whose nonce an earlier draft of the batch has.
fn repeated(first: &Draft, outcome: &Outcome) -> Outcome {
    match *outcome {
        Outcome::Stored { seq, at_ms } => Outcome::Duplicate { topic: first.topic.clone(), seq, at_ms },
        ref other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
