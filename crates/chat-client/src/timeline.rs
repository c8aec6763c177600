//! The messages of a topic as changes have made them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    Change, ChangeKind, Entry, Event, HistoryPage, REACTION_USERS_SHOWN, Reaction, Target, Topic, Unsent,
};

/// The messages of one topic that an application shows, each in exactly the state that the
/// log gives, and beside it what this program has not sent yet.
///
/// An application gives it each event, in order, and the pages of history that it asks for:
///
/// ```no_run
/// # async fn example(client: chat_client::Client, mut events: chat_client::Events) {
/// use chat_client::{PageFrom, Timeline, Topic};
///
/// let tech = Topic::room("tech");
/// let mut timeline = Timeline::new("alice", tech.clone());
/// for unsent in client.unsent().await {
///     timeline.queue(&unsent);
/// }
/// // Say it before asking for a page; the number is the caller's own.
/// timeline.ask(1);
/// match client.history(tech, PageFrom::Latest, None).await {
///     Ok(page) => drop(timeline.take_page(1, &page)),
///     Err(_) => timeline.forget_page(1),
/// }
/// while let Some(event) = events.next().await {
///     timeline.apply(&event);
///     for shown in timeline.shown() {
///         println!("{}: {}", shown.entry.from, shown.entry.text);
///     }
/// }
/// # }
/// ```
///
/// With a [`Session`](crate::Session), the number is what
/// [`Session::history`](crate::Session::history) returned, and the page comes with its event.
///
/// # Rules
///
/// - A message that is read has a state, which contains all changes up to
///   [`Entry::updated`]. A change is applied if its number is higher. A newer state replaces
///   an older one.
/// - A page may be in an older state than what came since it was read. While one is
///   outstanding, changes are kept, and applied to its messages. Past [`KEPT_CHANGES_MAX`]
///   changes, the outstanding pages are given up instead ([`take_page`](Self::take_page) is
///   false): ask again.
/// - [`Event::Reset`], a join that is not recovered, the end of a room and a new epoch forget
///   all messages and outstanding pages, because changes may be missing.
/// - Of two ends, the messages that are farther from the last addition are forgotten past a
///   cap ([`MESSAGES_MAX`], unless it is [set](Self::with_messages_max)).
/// - What this program sends is shown at once ([`shown`](Self::shown)), and is no part of the
///   log's state ([`messages`](Self::messages)). When it is refused ([`Event::NotSent`]), it is
///   no longer shown; [`unsent`](Self::unsent) says before what it was.
#[derive(Debug, Clone)]
pub struct Timeline {
    user: String,
    topic: Topic,
    epoch: Option<String>,
    messages_max: usize,
    messages: BTreeMap<u64, Entry>,
    /// The pages that the application asked for.
    pages: BTreeSet<u64>,
    /// The changes since the first of these pages was asked for.
    kept: VecDeque<Change>,
    /// The highest number that came with an event.
    top: u64,
    /// What this program sends, in order.
    unsent: Vec<Sending>,
}

#[derive(Debug, Clone)]
struct Sending {
    unsent: Unsent,
    /// The number with which it is stored; it is shown until its entry comes.
    stored: Option<u64>,
}

/// A message as the user sees it: with the changes that this program has not sent yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The message. The number of one that is not stored yet is 0.
    pub entry: Cow<'a, Entry>,
    /// The message as the log has it; `None`: it is not known to be stored.
    pub stored: Option<&'a Entry>,
    /// What of it is not known to be stored, in order: the message itself, or changes.
    pub pending: Vec<&'a Unsent>,
}

/// How many messages a [`Timeline`] has at most, unless another cap is set.
pub const MESSAGES_MAX: usize = 5_000;
/// How many changes a [`Timeline`] keeps at most for outstanding pages.
pub const KEPT_CHANGES_MAX: usize = 10_000;

impl Timeline {
    /// A timeline without messages, for the user of this name.
    pub fn new(user: impl Into<String>, topic: Topic) -> Self {
        Self::with_messages_max(user, topic, MESSAGES_MAX)
    }

    /// The same with another cap, of at least one message.
    pub fn with_messages_max(user: impl Into<String>, topic: Topic, messages_max: usize) -> Self {
        Self {
            user: user.into(),
            topic,
            epoch: None,
            messages_max: messages_max.max(1),
            messages: BTreeMap::new(),
            pages: BTreeSet::new(),
            kept: VecDeque::new(),
            top: 0,
            unsent: Vec::new(),
        }
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Takes note of an event that the application handles. Events of other topics change
    /// nothing.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Online { user, epoch, .. } => {
                if self.user != *user || self.epoch.as_ref().is_some_and(|before| before != epoch) {
                    self.forget_messages();
                }
                self.user.clone_from(user);
                self.epoch = Some(epoch.clone());
            }
            Event::Joined { room, epoch, recovered: false, .. } if self.is_room(room) => {
                self.forget_messages();
                self.epoch = Some(epoch.clone());
            }
            Event::Left { room, .. } | Event::NotJoined { room, .. } if self.is_room(room) => {
                self.forget_messages();
            }
            Event::Reset { topic } if *topic == self.topic => self.forget_messages(),
            Event::Message { topic, entry } if *topic == self.topic => {
                self.add(entry);
                self.came(entry.seq);
            }
            Event::Change { topic, change } if *topic == self.topic => {
                self.change(change);
                self.came(change.seq);
                self.sent(&change.from, change.nonce.as_deref());
            }
            Event::UnknownEntry { topic, seq } if *topic == self.topic => self.came(*seq),
            Event::Replayed { room, upto } if self.is_room(room) => self.came(*upto),
            Event::Queued { unsent } => self.queue(unsent),
            Event::Stored { nonce, topic, seq, duplicate, .. } => {
                // Its entry may have come before this timeline was made.
                let is_old = *duplicate && self.top == 0;
                self.stored(nonce, topic, *seq);
                if is_old {
                    self.unsent.retain(|sending| sending.unsent.nonce != *nonce);
                }
            }
            Event::NotSent { nonce, .. } => self.unsent.retain(|sending| sending.unsent.nonce != *nonce),
            Event::History { request, page } => drop(self.take_page(*request, page)),
            Event::NoHistory { request, .. } => self.forget_page(*request),
            _ => {}
        }
    }

    /// The application is about to ask for a page, or has just got the number of its request
    /// from [`Session::history`](crate::Session::history). From here on changes are kept for
    /// the page. `page` is a number that no other outstanding page has.
    pub fn ask(&mut self, page: u64) {
        self.pages.insert(page);
    }

    /// Takes a page of the topic that was [asked](Self::ask) for. Returns whether its messages
    /// are in the timeline now; if not, changes of them may be missing, and the application
    /// asks again.
    pub fn take_page(&mut self, number: u64, page: &HistoryPage) -> bool {
        if page.topic != self.topic || !self.pages.remove(&number) {
            return false;
        }
        let is_current = *self.epoch.get_or_insert_with(|| page.epoch.clone()) == page.epoch;
        if is_current {
            self.messages = self.messages.split_off(&page.first);
            for entry in &page.messages {
                self.add(entry);
            }
        }
        self.forget_page(number);
        is_current
    }

    /// A page that was asked for will not come.
    pub fn forget_page(&mut self, number: u64) {
        self.pages.remove(&number);
        if self.pages.is_empty() {
            self.kept.clear();
        }
    }

    /// Shows a send that has no answer yet: one from a snapshot, or from before this timeline
    /// was made. [`Event::Queued`] does the same.
    pub fn queue(&mut self, unsent: &Unsent) {
        let is_known = self.unsent.iter().any(|sending| sending.unsent.nonce == unsent.nonce);
        if unsent.to == self.topic && !is_known {
            self.unsent.push(Sending { unsent: unsent.clone(), stored: None });
        }
    }

    /// The send with this nonce, if it is shown.
    pub fn unsent(&self, nonce: &str) -> Option<&Unsent> {
        self.unsent.iter().map(|sending| &sending.unsent).find(|unsent| unsent.nonce == nonce)
    }

    /// The messages as the log has them, in rising order. There may be others between them
    /// that were not asked for.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.messages.values()
    }

    /// The message with this number, as the log has it.
    pub fn message(&self, seq: u64) -> Option<&Entry> {
        self.messages.get(&seq)
    }

    /// The messages as the user sees them: those of the log in rising order, and behind them
    /// those that this program has not sent yet.
    pub fn shown(&self) -> impl Iterator<Item = Shown<'_>> {
        let mut changes: BTreeMap<u64, Vec<&Sending>> = BTreeMap::new();
        for sending in self.unsent.iter().filter(|sending| sending.unsent.change.is_some()) {
            if let Some(seq) = self.target(&sending.unsent) {
                changes.entry(seq).or_default().push(sending);
            }
        }
        let stored = self.messages.iter().map(move |(seq, entry)| {
            let changes = changes.get(seq).map_or(&[][..], |changes| &**changes);
            self.with_changes(Cow::Borrowed(entry), Some(entry), Vec::new(), changes.iter().copied())
        });
        let new = self.unsent.iter().filter(|sending| sending.unsent.change.is_none());
        let new = new.map(|sending| {
            let Unsent { nonce, text, mentions, mention_all, reply_to, files, .. } = &sending.unsent;
            let entry = Entry {
                from: self.user.clone(),
                text: text.clone(),
                nonce: Some(nonce.clone()),
                mentions: mentions.clone(),
                mention_all: *mention_all,
                reply_to: *reply_to,
                files: files.clone(),
                ..Entry::default()
            };
            let is_for_it =
                |change: &&Sending| match change.unsent.change.as_ref().map(|change| &change.target) {
                    Some(Target::Nonce(target)) => target == nonce,
                    Some(Target::Number(seq)) => sending.stored == Some(*seq),
                    None => false,
                };
            let changes = self.unsent.iter().filter(is_for_it);
            self.with_changes(Cow::Owned(entry), None, vec![&sending.unsent], changes)
        });
        stored.chain(new)
    }

    fn with_changes<'a>(
        &'a self,
        mut entry: Cow<'a, Entry>,
        stored: Option<&'a Entry>,
        mut pending: Vec<&'a Unsent>,
        changes: impl Iterator<Item = &'a Sending>,
    ) -> Shown<'a> {
        for sending in changes {
            // The state of the message may contain it already.
            if let Some(change) = &sending.unsent.change
                && sending.stored.is_none_or(|seq| seq > entry.updated)
            {
                if !self.is_so(&entry, &change.kind) {
                    change_entry(entry.to_mut(), &self.user, None, &change.kind);
                }
                pending.push(&sending.unsent);
            }
        }
        Shown { entry, stored, pending }
    }

    /// Whether a change of this user is known to change nothing.
    fn is_so(&self, entry: &Entry, kind: &ChangeKind) -> bool {
        let has = |emoji: &str| {
            let reaction = entry.reactions.iter().find(|reaction| reaction.emoji == emoji);
            reaction.map(|reaction| (reaction.users.contains(&self.user), is_complete(reaction)))
        };
        match kind {
            ChangeKind::React { emoji } => matches!(has(emoji), Some((true, _))) || entry.deleted,
            ChangeKind::Unreact { emoji } => matches!(has(emoji), None | Some((false, true))),
            ChangeKind::Edit { .. } => entry.deleted,
            ChangeKind::Delete => entry.deleted,
        }
    }

    /// The number of the message that an unsent change is for.
    fn target(&self, unsent: &Unsent) -> Option<u64> {
        match &unsent.change.as_ref()?.target {
            Target::Number(seq) => Some(*seq),
            Target::Nonce(nonce) => {
                let is_it = |entry: &&Entry| self.is_own(&entry.from, entry.nonce.as_deref(), nonce);
                self.messages.values().rev().find(is_it).map(|entry| entry.seq)
            }
        }
    }

    fn is_room(&self, room: &str) -> bool {
        matches!(&self.topic, Topic::Room(name) if name == room)
    }

    fn is_own(&self, from: &str, nonce: Option<&str>, sent: &str) -> bool {
        from == self.user && nonce == Some(sent)
    }

    /// Adds a message, or a newer state of it.
    fn add(&mut self, entry: &Entry) {
        let known = self.messages.get(&entry.seq);
        if known.is_some_and(|known| known.updated > entry.updated) {
            return;
        }
        self.sent(&entry.from, entry.nonce.as_deref());
        let seq = entry.seq;
        let mut entry = entry.clone();
        for change in self.kept.iter().filter(|change| change.target == seq) {
            apply_to(&mut entry, change);
        }
        self.messages.insert(seq, entry);
        while self.messages.len() > self.messages_max
            && let (Some((first, _)), Some((last, _))) =
                (self.messages.first_key_value(), self.messages.last_key_value())
        {
            if seq - first >= last - seq {
                self.messages.pop_first();
            } else {
                self.messages.pop_last();
            }
        }
    }

    fn change(&mut self, change: &Change) {
        if let Some(entry) = self.messages.get_mut(&change.target) {
            apply_to(entry, change);
        }
        // Also for a message that is known: it may be forgotten at the cap before the page.
        if !self.pages.is_empty() {
            self.kept.push_back(change.clone());
            if self.kept.len() > KEPT_CHANGES_MAX {
                self.pages.clear();
                self.kept.clear();
            }
        }
    }

    /// An entry with this number came.
    fn came(&mut self, seq: u64) {
        self.top = self.top.max(seq);
        let top = self.top;
        self.unsent.retain(|sending| sending.stored.is_none_or(|stored| stored > top));
    }

    /// An entry came that this program may have sent.
    fn sent(&mut self, from: &str, nonce: Option<&str>) {
        if from == self.user {
            self.unsent.retain(|sending| nonce != Some(&*sending.unsent.nonce));
        }
    }

    fn stored(&mut self, nonce: &str, topic: &Topic, seq: u64) {
        if *topic != self.topic {
            // The nonce was used before, for another topic.
            return self.unsent.retain(|sending| sending.unsent.nonce != nonce);
        }
        for Sending { unsent, stored } in &mut self.unsent {
            if unsent.nonce == *nonce {
                *stored = Some(seq);
            } else if let Some(change) = &mut unsent.change
                && matches!(&change.target, Target::Nonce(target) if target == nonce)
            {
                change.target = Target::Number(seq);
            }
        }
        self.came(0);
    }

    /// Forgets the messages, as changes of them may be missing.
    fn forget_messages(&mut self) {
        self.messages.clear();
        self.pages.clear();
        self.kept.clear();
        self.top = 0;
        self.unsent.retain(|sending| sending.stored.is_none());
    }
}

/// Applies a change to its message, unless the message contains it.
fn apply_to(entry: &mut Entry, change: &Change) {
    // What an edit without a text has made is gone, or another change contains it.
    if change.seq > entry.updated && !matches!(change.kind, ChangeKind::Edit { text: None, .. }) {
        change_entry(entry, &change.from, Some(change.timestamp), &change.kind);
        entry.updated = change.seq;
    }
}

/// Changes a message. `at`: when it was stored, in seconds since 1970.
fn change_entry(entry: &mut Entry, from: &str, at: Option<u64>, kind: &ChangeKind) {
    match kind {
        ChangeKind::Edit { text, mentions, mention_all } => {
            entry.text = text.clone().unwrap_or_default();
            entry.mentions.clone_from(mentions);
            entry.mention_all = *mention_all;
            entry.edited = at.or(entry.edited);
        }
        ChangeKind::Delete => {
            let Entry { seq, from, timestamp, nonce, updated, .. } = std::mem::take(entry);
            *entry = Entry { seq, from, timestamp, nonce, updated, deleted: true, ..Entry::default() };
        }
        ChangeKind::React { emoji } => {
            match entry.reactions.iter_mut().find(|reaction| reaction.emoji == *emoji) {
                Some(reaction) => {
                    // Behind users who are not named, the user is none of the first ones.
                    if is_complete(reaction) && reaction.users.len() < REACTION_USERS_SHOWN {
                        reaction.users.push(from.to_owned());
                    }
                    reaction.count += 1;
                }
                None => {
                    let (emoji, users) = (emoji.clone(), vec![from.to_owned()]);
                    entry.reactions.push(Reaction { emoji, count: 1, users });
                }
            }
        }
        ChangeKind::Unreact { emoji } => {
            if let Some(reaction) = entry.reactions.iter_mut().find(|reaction| reaction.emoji == *emoji) {
                reaction.count = reaction.count.saturating_sub(1);
                reaction.users.retain(|user| user != from);
            }
            // An emoji that comes again stands behind the others.
            entry.reactions.retain(|reaction| reaction.count > 0);
        }
    }
}

/// Whether a reaction names all of its users.
fn is_complete(reaction: &Reaction) -> bool {
    reaction.users.len() as u64 == reaction.count
}
