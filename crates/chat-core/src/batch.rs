//! What a log does with each draft of a batch: one rule for every log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::message::Target;
use crate::{
    Access, AttachedFile, Body, Commit, Draft, Emoji, Entry, FILES_MAX, FileId, MENTION_ALL_MEMBERS_MAX,
    Mentions, Nonce, Outcome, REACTION_USERS_SHOWN, ReactorsQuestion, Receipt, Remembered, Role, RoomChange,
    RoomInfo, RoomName, Stamp, TargetFacts, Topic, Username,
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
    /// The topics with new entries, in the order of their first drafts.
    additions: Vec<(&'a Topic, Addition)>,
    /// The messages that the batch changes.
    targets: BTreeMap<(&'a Topic, u64), Target>,
}

/// How many entries a topic gets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Addition {
    /// All of them.
    pub entries: u64,
    /// Those that are messages.
    pub messages: u64,
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
    /// The names in question that are administrators.
    pub administrators: BTreeSet<&'a Username>,
    /// The messages in question that are kept, also deleted ones.
    pub targets: BTreeMap<(&'a Topic, u64), TargetFacts>,
    /// The files in question whose bytes are stored, and that are attached to no message.
    pub files: BTreeMap<&'a FileId, FileFacts>,
}

/// A file that may be attached to a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileFacts {
    /// The user who uploaded it.
    pub owner: Username,
    /// The file.
    pub file: AttachedFile,
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
    /// Those with [`Draft::check`], those that mention users, and deletions.
    Hinted,
    /// All of them: a log has seen that a room is closed or archived.
    All,
}

impl Checked {
    /// Whether this draft is one of them.
    pub fn includes(self, draft: &Draft) -> bool {
        self == Self::All || must_check(draft)
    }
}

/// Whether a draft is judged by the state of its room in any case.
pub(crate) fn must_check(draft: &Draft) -> bool {
    draft.check || draft.body.mentions().is_some() || matches!(draft.body, Body::Delete { .. })
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
    /// Users who may be administrators, each once.
    pub administrators: Vec<&'a Username>,
    /// Messages that are changed or answered, each once.
    pub targets: Vec<(&'a Topic, u64)>,
    /// Reactions that may be there, each once: see [`TargetFacts::reacted`].
    pub reactions: Vec<(&'a Topic, u64, &'a Emoji, &'a Username)>,
    /// See [`TargetFacts::reactors`].
    pub reactors: Vec<ReactorsQuestion<'a>>,
    /// Files that messages attach, each once.
    pub files: Vec<&'a FileId>,
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
    /// The draft with this index has the same nonce.
    Repeat(usize),
    /// This made what the draft wants.
    IsSo(Earlier),
}

/// What a log knows when it judges a draft. `E` is a result that another draft had before.
pub(crate) trait Known<E> {
    fn has_account(&self, name: &Username) -> bool;
    fn is_administrator(&self, name: &Username) -> bool;
    /// A room that exists, and the number of its members.
    fn room(&self, name: &RoomName) -> Option<(&Arc<RoomInfo>, u64)>;
    fn role(&self, room: &RoomName, user: &Username) -> Option<Role>;
    /// A message that was stored before the batch, and is kept.
    fn message<'k>(&'k self, topic: &'k Topic, seq: u64) -> Option<KnownMessage<'k, E>>;
    /// The reaction of a user to a message.
    fn reaction(&self, topic: &Topic, seq: u64, emoji: &Emoji, user: &Username) -> Option<E>;
    /// How many different emoji a message has, and whether this is one of them.
    fn reactions(&self, topic: &Topic, seq: u64, emoji: &Emoji) -> (usize, bool);
    /// A file whose bytes are stored and that no message has, and its owner.
    fn file(&self, id: &FileId) -> Option<(&Username, &AttachedFile)>;
}

/// A message that a change names.
pub(crate) struct KnownMessage<'k, E> {
    pub(crate) from: &'k Username,
    pub(crate) at_ms: u64,
    /// What deleted it.
    pub(crate) deleted: Option<E>,
    pub(crate) has_files: bool,
}

/// What a log does with one draft: the rule of [`Batch::decide`], for every log.
///
/// `earlier` finds the draft that its author sent before with the same nonce. Without
/// `check`, the room is taken for an open one with the author as a member.
pub(crate) fn judge<'d, E>(
    draft: &'d Draft,
    earlier: impl FnOnce(&'d Username, &'d Nonce) -> Option<E>,
    known: &impl Known<E>,
    check: bool,
    now_ms: u64,
) -> Verdict<E> {
    if let Some(earlier) = draft.nonce.as_ref().and_then(|nonce| earlier(&draft.from, nonce)) {
        return Verdict::Repeat(earlier);
    }
    if let Some(sentence) = &draft.refused {
        return Verdict::Refused(Arc::clone(sentence));
    }
    if let Some(target) = draft.body.target() {
        return judge_change(draft, target, known, check, now_ms);
    }
    let mut admission = match &draft.topic {
        Topic::Pair(pair) if !known.has_account(pair.other(&draft.from)) => return Verdict::NoRecipient,
        Topic::Room(room) if check => match admit(draft, room, known) {
            Some(admission) => admission,
            None => return Verdict::Forbidden,
        },
        Topic::Pair(_) | Topic::Room(_) => Admission::default(),
    };
    if !draft.files.is_empty() {
        admission.files = admit_files(draft, known);
        if admission.files.is_none() {
            return Verdict::InvalidFiles;
        }
    }
    if let Body::Message { reply_to: Some(target), .. } = &draft.body {
        admission.reply_to = Some(*target).filter(|target| known.message(&draft.topic, *target).is_some());
    }
    Verdict::Store(admission)
}

/// The files of a message, if its author may attach all of them.
fn admit_files<E>(draft: &Draft, known: &impl Known<E>) -> Option<Arc<[AttachedFile]>> {
    let mut files: Vec<AttachedFile> = Vec::with_capacity(draft.files.len());
    for id in &draft.files {
        let (owner, file) = known.file(id)?;
        if *owner != draft.from || files.iter().any(|earlier| earlier.id == *id) {
            return None;
        }
        files.push(file.clone());
    }
    (files.len() <= FILES_MAX).then(|| files.into())
}

/// Judges a change of a message.
fn judge_change<E>(
    draft: &Draft,
    target: u64,
    known: &impl Known<E>,
    check: bool,
    now_ms: u64,
) -> Verdict<E> {
    let (topic, from) = (&draft.topic, &draft.from);
    let mut admission = Admission::default();
    let mut is_moderator = false;
    let is_anywhere = draft.rules.deletes_anywhere && matches!(draft.body, Body::Delete { .. });
    if let Topic::Room(room) = topic
        && check
        && !is_anywhere
    {
        let (role, found) = (known.role(room, from), known.room(room));
        let is_closed = found.map_or(room.is_made_by_server(), |(info, _)| info.access == Access::Closed);
        if is_closed && role.is_none() {
            return Verdict::Forbidden;
        }
        let is_archived = found.is_some_and(|(info, _)| info.archived);
        is_moderator = role == Some(Role::Moderator) || is_administrator(draft, known);
        if is_archived && !matches!(draft.body, Body::Delete { .. }) {
            return Verdict::Forbidden;
        }
    }
    let Some(message) = known.message(topic, target) else { return Verdict::NotFound };
    match &draft.body {
        Body::Message { .. } => Verdict::NotFound,
        Body::Edit { text, .. } => {
            let is_over = |edit_ms: u64| message.at_ms.saturating_add(edit_ms) < now_ms;
            if message.deleted.is_some() {
                return Verdict::NotFound;
            }
            if message.from != from || draft.rules.edit_ms.is_some_and(is_over) {
                return Verdict::Forbidden;
            }
            if !message.has_files && text.as_ref().is_none_or(|text| text.as_str().is_empty()) {
                return Verdict::BlankText;
            }
            if let (Topic::Room(room), Some(wanted)) = (topic, draft.body.mentions())
                && !admit_mentions(draft, room, wanted, known, &mut admission)
            {
                return Verdict::Forbidden;
            }
            Verdict::Store(admission)
        }
        Body::Delete { .. } => match message.deleted {
            _ if message.from != from && !is_moderator => Verdict::Forbidden,
            Some(first) => Verdict::IsSo(first),
            None => Verdict::Store(admission),
        },
        Body::React { emoji, .. } => {
            let is_gone = |other: &Username| !known.has_account(other);
            if message.deleted.is_some() || matches!(topic, Topic::Pair(pair) if is_gone(pair.other(from))) {
                return Verdict::NotFound;
            }
            match (known.reaction(topic, target, emoji, from), known.reactions(topic, target, emoji)) {
                (Some(first), _) => Verdict::IsSo(first),
                (None, (count, false)) if count >= draft.rules.reactions_max => Verdict::TooMany,
                (None, _) => Verdict::Store(admission),
            }
        }
        Body::Unreact { emoji, .. } => match known.reaction(topic, target, emoji, from) {
            Some(_) if message.deleted.is_none() => Verdict::Store(admission),
            _ => Verdict::NotFound,
        },
    }
}

/// Judges a message to a room by the state of the room; `None` if it is forbidden.
fn admit<E>(draft: &Draft, room: &RoomName, known: &impl Known<E>) -> Option<Admission> {
    let role = known.role(room, &draft.from);
    let found = known.room(room);
    let is_closed = match found {
        Some((info, _)) if info.archived => return None,
        Some((info, _)) => info.access == Access::Closed,
        None => room.is_made_by_server(),
    };
    let is_stranger = role.is_none() && !draft.by_server;
    if is_closed && is_stranger {
        return None;
    }
    let joins = is_stranger.then(|| match found {
        Some((info, _)) => Arc::clone(info),
        None => Arc::new(RoomInfo::opened(room)),
    });
    let mut admission = Admission { joins, ..Admission::default() };
    match draft.body.mentions() {
        Some(wanted) if !admit_mentions(draft, room, wanted, known, &mut admission) => None,
        _ => Some(admission),
    }
}

/// Judges the mentions of a text in a room. Returns whether they are allowed.
fn admit_mentions<E>(
    draft: &Draft,
    room: &RoomName,
    wanted: &Mentions,
    known: &impl Known<E>,
    admission: &mut Admission,
) -> bool {
    let from = &draft.from;
    let found = known.room(room);
    let is_closed = found.map_or(room.is_made_by_server(), |(info, _)| info.access == Access::Closed);
    let members = found.map_or(0, |(_, members)| members);
    let may_mention_all =
        || known.role(room, from) == Some(Role::Moderator) || is_administrator(draft, known);
    if wanted.all && members > MENTION_ALL_MEMBERS_MAX && !may_mention_all() {
        return false;
    }
    let mut names: Vec<Username> = Vec::new();
    for name in wanted.names.iter().filter(|name| known.has_account(name)) {
        let is_member = name == from || known.role(room, name).is_some();
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
    true
}

/// Whether the author of a draft has the rights of an administrator.
fn is_administrator<E>(draft: &Draft, known: &impl Known<E>) -> bool {
    draft.may_administer && known.is_administrator(&draft.from)
}

/// The judgement of one draft.
pub(crate) enum Verdict<E> {
    /// The draft becomes an entry.
    Store(Admission),
    /// The draft repeats this earlier one: it has the same nonce.
    Repeat(E),
    /// What the change wants is so already, by this.
    IsSo(E),
    /// The draft is a private message to a name without an account.
    NoRecipient,
    /// The author may not write to the room, or not change the message.
    Forbidden,
    /// See [`Outcome::NotFound`].
    NotFound,
    /// See [`Outcome::TooMany`].
    TooMany,
    /// See [`Outcome::InvalidFiles`].
    InvalidFiles,
    /// See [`Outcome::BlankText`].
    BlankText,
    /// See [`Outcome::Refused`].
    Refused(Arc<str>),
}

/// How a draft becomes an entry.
#[derive(Default)]
pub(crate) struct Admission {
    /// The author becomes a member of the open room, of which this is known.
    pub(crate) joins: Option<Arc<RoomInfo>>,
    /// The mentions of the entry.
    pub(crate) mentions: Option<Box<Mentions>>,
    /// The message that the new one answers.
    pub(crate) reply_to: Option<u64>,
    /// The files of the entry.
    pub(crate) files: Option<Arc<[AttachedFile]>>,
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

/// The facts before a batch, with what its drafts so far have changed.
struct Progress<'f, 'a> {
    facts: &'f Facts<'a>,
    /// The new members of each room.
    joined: BTreeMap<&'a RoomName, (Arc<RoomInfo>, BTreeSet<&'a Username>)>,
    /// The changed messages.
    changed: BTreeMap<(&'a Topic, u64), Changed<'a>>,
    /// The files that are attached to messages.
    attached: BTreeSet<&'a FileId>,
}

/// What the drafts so far have changed of a message. A draft is named by its index.
#[derive(Default)]
struct Changed<'a> {
    deleted: Option<usize>,
    /// `None`: the reaction was taken back.
    reactions: BTreeMap<(&'a Emoji, &'a Username), Option<usize>>,
    /// By how much the count of each emoji has changed.
    counts: BTreeMap<&'a Emoji, i64>,
}

impl<'a> Changed<'a> {
    fn note(&mut self, draft: &'a Draft, index: usize) {
        match &draft.body {
            Body::Message { .. } | Body::Edit { .. } => {}
            Body::Delete { .. } => self.deleted = Some(index),
            Body::React { emoji, .. } => {
                self.reactions.insert((emoji, &draft.from), Some(index));
                *self.counts.entry(emoji).or_default() += 1;
            }
            Body::Unreact { emoji, .. } => {
                self.reactions.insert((emoji, &draft.from), None);
                *self.counts.entry(emoji).or_default() -= 1;
            }
        }
    }
}

impl Known<Earlier> for Progress<'_, '_> {
    fn has_account(&self, name: &Username) -> bool {
        self.facts.accounts.contains(name)
    }

    fn is_administrator(&self, name: &Username) -> bool {
        self.facts.administrators.contains(name)
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

    fn message<'k>(&'k self, topic: &'k Topic, seq: u64) -> Option<KnownMessage<'k, Earlier>> {
        let facts = self.facts.targets.get(&(topic, seq))?;
        let stored = facts.state.deleted.map(|stamp| Earlier::stored(topic, stamp));
        let changed = self.changed.get(&(topic, seq));
        let deleted = stored.or_else(|| changed?.deleted.map(Earlier::InBatch));
        let has_files = !facts.files.is_empty();
        Some(KnownMessage { from: &facts.from, at_ms: facts.at_ms, deleted, has_files })
    }

    fn reaction(&self, topic: &Topic, seq: u64, emoji: &Emoji, user: &Username) -> Option<Earlier> {
        let changed = self.changed.get(&(topic, seq));
        if let Some(last) = changed.and_then(|changed| changed.reactions.get(&(emoji, user))) {
            return last.map(Earlier::InBatch);
        }
        let reacted = &self.facts.targets.get(&(topic, seq))?.reacted;
        let stamp = reacted.get(&(emoji.clone(), user.clone()))?;
        Some(Earlier::stored(topic, *stamp))
    }

    fn reactions(&self, topic: &Topic, seq: u64, emoji: &Emoji) -> (usize, bool) {
        let stored = self.facts.targets.get(&(topic, seq)).map_or(&[][..], |facts| &facts.state.reactions);
        let mut counts: BTreeMap<&Emoji, i64> = BTreeMap::new();
        for reaction in stored {
            counts.insert(&reaction.emoji, i64::try_from(reaction.count).unwrap_or(i64::MAX));
        }
        for (emoji, change) in self.changed.get(&(topic, seq)).into_iter().flat_map(|all| &all.counts) {
            *counts.entry(emoji).or_default() += change;
        }
        counts.retain(|_, count| *count > 0);
        (counts.len(), counts.contains_key(emoji))
    }

    fn file(&self, id: &FileId) -> Option<(&Username, &AttachedFile)> {
        let FileFacts { owner, file } = self.facts.files.get(id).filter(|_| !self.attached.contains(id))?;
        Some((owner, file))
    }
}

/// What made a draft's result before.
enum Earlier {
    Stored(FirstResult),
    /// The index of a draft in the same batch.
    InBatch(usize),
}

impl Earlier {
    fn stored(topic: &Topic, Stamp { seq, at_ms }: Stamp) -> Self {
        Self::Stored(FirstResult { topic: topic.clone(), seq, at_ms })
    }
}

impl<'a> Questions<'a> {
    /// The questions about these drafts.
    pub fn about(drafts: &'a [Draft], checked: Checked) -> Self {
        let nonces = drafts.iter().filter_map(|draft| Some((&draft.from, draft.nonce.as_ref()?)));
        let mut accounts: BTreeSet<&Username> = drafts.iter().filter_map(Draft::recipient).collect();
        let (mut rooms, mut roles, mut administrators) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for draft in drafts.iter().filter(|draft| checked.includes(draft)) {
            let Topic::Room(room) = &draft.topic else { continue };
            rooms.insert(room);
            roles.insert((room, &draft.from));
            let is_delete = matches!(draft.body, Body::Delete { .. });
            let mentions_all = draft.body.mentions().is_some_and(|mentions| mentions.all);
            if draft.may_administer && (is_delete || mentions_all) {
                administrators.insert(&draft.from);
            }
            for name in draft.body.mentions().into_iter().flat_map(|mentions| &mentions.names) {
                accounts.insert(name);
                roles.insert((room, name));
            }
        }
        let (mut targets, mut reactions, mut reactors) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        for draft in drafts {
            let topic = &draft.topic;
            if let Body::Message { reply_to: Some(target), .. } = &draft.body {
                targets.insert((topic, *target));
            }
            let Some(target) = draft.body.target() else { continue };
            targets.insert((topic, target));
            if let Body::React { emoji, .. } | Body::Unreact { emoji, .. } = &draft.body {
                reactions.insert((topic, target, emoji, &draft.from));
            }
            if let Body::Unreact { emoji, .. } = &draft.body {
                *reactors.entry((topic, target, emoji)).or_insert(REACTION_USERS_SHOWN) += 1;
            }
        }
        let files: BTreeSet<&FileId> = drafts.iter().flat_map(|draft| &draft.files).collect();
        let reactors = reactors.into_iter().map(|((topic, target, emoji), limit)| ReactorsQuestion {
            topic,
            target,
            emoji,
            limit,
        });
        Self {
            nonces: nonces.collect(),
            accounts: accounts.into_iter().collect(),
            rooms: rooms.into_iter().collect(),
            roles: roles.into_iter().collect(),
            administrators: administrators.into_iter().collect(),
            targets: targets.into_iter().collect(),
            reactions: reactions.into_iter().collect(),
            reactors: reactors.collect(),
            files: files.into_iter().collect(),
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
    /// answers [`Outcome::Forbidden`], and their nonces stay unused. Every other message is
    /// stored; its author becomes a member of the open room.
    ///
    /// A change is stored if its target was stored before the batch, is kept and not
    /// deleted; else it answers [`Outcome::NotFound`]. The author of a message edits it, for
    /// as long as the [rules](Draft::rules) say; the author, and in a room a moderator or an
    /// administrator of the server, deletes it, also in an archived room. An author with
    /// [`ChangeRules::deletes_anywhere`](crate::ChangeRules::deletes_anywhere) deletes own
    /// messages in every room. A message that is
    /// deleted, and a reaction that is there, answer [`Outcome::Duplicate`] with what made
    /// it so; nonces of such answers are [remembered](Commit::remembered).
    ///
    /// A message whose files are not all there, of its author, and without a message answers
    /// [`Outcome::InvalidFiles`]; an edit that leaves a message without text and files answers
    /// [`Outcome::BlankText`]. What a hook [refuses](Draft::refused) answers
    /// [`Outcome::Refused`].
    pub fn decide(drafts: &'a [Draft], facts: &Facts<'a>, checked: Checked, now_ms: u64) -> Self {
        let mut additions = Additions::default();
        let mut stored_nonces = BTreeMap::new();
        let mut decisions = Vec::with_capacity(drafts.len());
        let mut known =
            Progress { facts, joined: BTreeMap::new(), changed: BTreeMap::new(), attached: BTreeSet::new() };
        for (index, draft) in drafts.iter().enumerate() {
            let earlier = |author, nonce| {
                let known = facts.first_results.get(&(author, nonce)).cloned().map(Earlier::Stored);
                known.or_else(|| stored_nonces.get(&(author, nonce)).copied().map(Earlier::InBatch))
            };
            let decision = match judge(draft, earlier, &known, checked.includes(draft), now_ms) {
                Verdict::Repeat(Earlier::Stored(FirstResult { topic, seq, at_ms })) => {
                    Decision::Answer(Outcome::Duplicate { topic, seq, at_ms })
                }
                Verdict::Repeat(Earlier::InBatch(first)) => Decision::Repeat(first),
                Verdict::IsSo(earlier) => {
                    if let Some(nonce) = draft.nonce.as_ref().filter(|_| index + 1 < drafts.len()) {
                        stored_nonces.insert((&draft.from, nonce), index);
                    }
                    Decision::IsSo(earlier)
                }
                Verdict::NotFound => Decision::Answer(Outcome::NotFound),
                Verdict::TooMany => Decision::Answer(Outcome::TooMany),
                Verdict::InvalidFiles => Decision::Answer(Outcome::InvalidFiles),
                Verdict::BlankText => Decision::Answer(Outcome::BlankText),
                Verdict::Refused(sentence) => Decision::Answer(Outcome::Refused(sentence)),
                Verdict::NoRecipient => Decision::Answer(Outcome::NoRecipient { at_ms: now_ms }),
                Verdict::Forbidden => Decision::Answer(Outcome::Forbidden),
                Verdict::Store(admission) => {
                    if let (Some(info), Topic::Room(room)) = (&admission.joins, &draft.topic) {
                        let new = || (Arc::clone(info), BTreeSet::new());
                        known.joined.entry(room).or_insert_with(new).1.insert(&draft.from);
                    }
                    if let Some(target) = draft.body.target() {
                        known.changed.entry((&draft.topic, target)).or_default().note(draft, index);
                    }
                    known.attached.extend(&draft.files);
                    // No later draft can repeat the nonce of the last one.
                    if let Some(nonce) = draft.nonce.as_ref().filter(|_| index + 1 < drafts.len()) {
                        stored_nonces.insert((&draft.from, nonce), index);
                    }
                    Decision::Store(additions.add(&draft.topic, draft.body.is_message()), admission)
                }
            };
            decisions.push(decision);
        }
        let targets = known.changed.into_keys();
        let targets = targets.filter_map(|key| Some((key, Target::new(facts.targets.get(&key)?.clone()))));
        Self { drafts, decisions, additions: additions.counts, targets: targets.collect() }
    }

    /// How many entries each topic gets, in the order of topics. Logs that lock
    /// topics in this order cannot deadlock.
    pub fn additions(&self) -> impl ExactSizeIterator<Item = (&'a Topic, Addition)> {
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
        mut self,
        mut count_in: impl FnMut(&'a Topic, u64) -> Result<TopicEnd, E>,
    ) -> Result<Commit, E> {
        // The next number and the stamp of each topic.
        let mut next = Vec::with_capacity(self.additions.len());
        for (topic, count) in self.additions {
            let end = count_in(topic, count.entries)?;
            next.push(((end.last + 1).saturating_sub(count.entries), end.at_ms));
        }
        let mut commit = Commit {
            entries: Vec::with_capacity(self.drafts.len()),
            receipts: Vec::with_capacity(self.drafts.len()),
            ..Commit::default()
        };
        for (draft, decision) in self.drafts.iter().zip(self.decisions) {
            let mut not_members = Vec::new();
            let is_remembered = matches!(decision, Decision::IsSo(_));
            let outcome = match decision {
                Decision::Store(topic, mut admission) => {
                    let (seq, at_ms) = &mut next[topic];
                    commit.changes.extend(admission.change(draft, *seq));
                    not_members = std::mem::take(&mut admission.not_members);
                    let entry = entry(draft, &mut admission, *seq, *at_ms);
                    if let Some(target) = entry.body.target()
                        && let Some(target) = self.targets.get_mut(&(&draft.topic, target))
                    {
                        target.apply(&entry);
                    }
                    commit.entries.push(Arc::new(entry));
                    *seq += 1;
                    Outcome::Stored { seq: *seq - 1, at_ms: *at_ms }
                }
                Decision::Answer(outcome) => outcome,
                Decision::IsSo(Earlier::Stored(FirstResult { topic, seq, at_ms })) => {
                    Outcome::Duplicate { topic, seq, at_ms }
                }
                Decision::Repeat(first) | Decision::IsSo(Earlier::InBatch(first)) => {
                    repeated(&self.drafts[first], &commit.receipts[first].outcome)
                }
            };
            if is_remembered {
                commit.remembered.extend(remembered(draft, &outcome));
            }
            commit.receipts.push(Receipt { draft: draft.id, outcome, not_members });
        }
        let changed = self.targets.into_iter();
        commit.changed = changed.map(|((topic, seq), target)| target.finish(topic.clone(), seq)).collect();
        let taken_back = commit.changed.iter().flat_map(|message| &message.files_taken_back);
        commit.files_taken_back = taken_back.copied().collect();
        commit.take_back();
        Ok(commit)
    }
}

/// Counts the new entries of each topic.
///
/// Most batches are of one topic, or of runs of one: the index by topic is looked
/// at only where the topic is not that of the draft before.
#[derive(Default)]
struct Additions<'a> {
    counts: Vec<(&'a Topic, Addition)>,
    last: usize,
    /// The position of each topic in `counts`; empty while there is one topic.
    index: BTreeMap<&'a Topic, usize>,
}

impl<'a> Additions<'a> {
    /// Counts one more entry of a topic, and returns the topic's position.
    fn add(&mut self, topic: &'a Topic, is_message: bool) -> usize {
        let is_last = self.counts.get(self.last).is_some_and(|(last, _)| *last == topic);
        if !is_last {
            if let [(only, _)] = self.counts[..] {
                self.index.insert(only, 0);
            }
            self.last = match self.index.get(topic) {
                Some(&position) => position,
                None => {
                    self.counts.push((topic, Addition::default()));
                    let position = self.counts.len() - 1;
                    if position > 0 {
                        self.index.insert(topic, position);
                    }
                    position
                }
            };
        }
        let addition = &mut self.counts[self.last].1;
        addition.entries += 1;
        addition.messages += u64::from(is_message);
        self.last
    }
}

/// The entry that a draft becomes.
pub(crate) fn entry(draft: &Draft, admission: &mut Admission, seq: u64, at_ms: u64) -> Entry {
    let mentions = admission.mentions.take();
    let body = match &draft.body {
        Body::Message { text, .. } => {
            let (reply_to, files) = (admission.reply_to, admission.files.take());
            Body::Message { text: text.clone(), mentions, reply_to, files, state: None }
        }
        Body::Edit { target, text, .. } => Body::Edit { target: *target, text: text.clone(), mentions },
        Body::Delete { .. } | Body::React { .. } | Body::Unreact { .. } => draft.body.clone(),
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

/// What a log remembers of a change that made what is so already.
pub(crate) fn remembered(draft: &Draft, outcome: &Outcome) -> Option<Remembered> {
    let Outcome::Duplicate { topic, seq, at_ms } = outcome else { return None };
    let (from, nonce) = (draft.from.clone(), draft.nonce.clone()?);
    Some(Remembered { from, nonce, topic: topic.clone(), seq: *seq, at_ms: *at_ms })
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
