//! What the applications show of each topic: the real client's timelines.

use std::collections::BTreeMap;

use chat_client::{AttachedFile, Entry, Event as AppEvent, Timeline, Topic as ClientTopic};
use chat_core::{Topic, Username};

use crate::oracle::{Check, Oracle, ensure};
use crate::planted::Bug;

/// The timelines of an application.
pub(crate) struct Timelines {
    user: Username,
    of: BTreeMap<ClientTopic, Timeline>,
    /// The pages that are outstanding.
    asked: Vec<(ClientTopic, u64)>,
}

impl Timelines {
    pub(crate) fn new(user: &Username) -> Self {
        Self { user: user.clone(), of: BTreeMap::new(), asked: Vec::new() }
    }

    /// The application asks for a page.
    pub(crate) fn ask(&mut self, topic: ClientTopic, request: u64) {
        self.at(&topic).ask(request);
        self.asked.push((topic, request));
    }

    /// The program ends: the answers to its requests do not come.
    pub(crate) fn end(&mut self) {
        for (topic, request) in std::mem::take(&mut self.asked) {
            self.at(&topic).forget_page(request);
        }
    }

    fn at(&mut self, topic: &ClientTopic) -> &mut Timeline {
        let new = || Timeline::new(self.user.as_str(), topic.clone());
        self.of.entry(topic.clone()).or_insert_with(new)
    }

    /// Applies an event of the session. Returns the messages that it concerns.
    pub(crate) fn apply(&mut self, event: &AppEvent, bug: Option<Bug>) -> Option<(ClientTopic, Vec<u64>)> {
        let (topic, seqs) = match event {
            AppEvent::Message { topic, entry } if bug == Some(Bug::AppliedTwice) => {
                let (topic, entry) = (topic.clone(), Entry { updated: 0, ..entry.clone() });
                self.at(&topic).apply(&AppEvent::Message { topic: topic.clone(), entry });
                return None;
            }
            AppEvent::Message { topic, entry } => (topic.clone(), vec![entry.seq]),
            AppEvent::Change { topic, change } => (topic.clone(), vec![change.target]),
            AppEvent::History { request, page } => {
                self.asked.retain(|(_, asked)| asked != request);
                (page.topic.clone(), page.messages.iter().map(|entry| entry.seq).collect())
            }
            AppEvent::Joined { room, .. } => (ClientTopic::room(room.clone()), Vec::new()),
            AppEvent::Reset { topic } => (topic.clone(), Vec::new()),
            AppEvent::NoHistory { request, .. } => {
                self.asked.retain(|(_, asked)| asked != request);
                self.of.values_mut().for_each(|timeline| timeline.apply(event));
                return None;
            }
            AppEvent::Presence { .. } | AppEvent::Typing { .. } | AppEvent::Activity { .. } => return None,
            _ => {
                self.of.values_mut().for_each(|timeline| timeline.apply(event));
                return None;
            }
        };
        self.at(&topic).apply(event);
        Some((topic, seqs))
    }

    /// The message that is shown with a number.
    pub(crate) fn message(&self, topic: &ClientTopic, seq: u64) -> Option<&Entry> {
        self.of.get(topic)?.message(seq)
    }

    /// Checks that all messages of a topic are shown as the log has them. The application has
    /// everything of the topic.
    pub(crate) fn are_complete(&self, place: &ClientTopic, topic: &Topic, oracle: &Oracle) -> Check {
        let Some(timeline) = self.of.get(place) else { return Ok(()) };
        let first = oracle.first(topic);
        for shown in timeline.messages().filter(|shown| shown.seq >= first) {
            is_version(oracle, topic, shown)?;
            let last = oracle.last_change(topic, shown.seq, u64::MAX);
            ensure(shown.updated == last, || {
                format!("shows {shown:?} of {topic:?} without its change {last}")
            })?;
        }
        Ok(())
    }

    /// Whether a page of a topic is outstanding.
    pub(crate) fn is_asked(&self, place: &ClientTopic) -> bool {
        self.asked.iter().any(|(topic, _)| topic == place)
    }
}

/// Checks that a message is shown as its changes up to `updated` make it.
pub(crate) fn is_version(oracle: &Oracle, topic: &Topic, shown: &Entry) -> Check {
    let version = oracle.shown_version(topic, shown.seq, shown.updated, &shown.text);
    let version = version.ok_or("it is no message")?;
    // A timeline leaves the message as it is at an edit without its text.
    let is_passing = shown.text != version.text
        && oracle.may_lack_text(topic, shown.seq, shown.updated)
        && oracle.had_text(topic, shown.seq, shown.updated, &shown.text);
    let reactions = version.reactions.iter().map(|(emoji, users)| (*emoji, users.len() as u64));
    let is_same = (is_passing || shown.text == version.text)
        && shown.updated == version.updated
        && shown.reply_to == version.reply_to
        && shown.files == version.files.iter().map(client_file).collect::<Vec<_>>()
        && shown.deleted == version.deletion.is_some()
        && (is_passing || shown.edited == version.edit.map(|edit| edit.at_ms / 1000))
        && reactions.eq(shown.reactions.iter().map(|shown| (&*shown.emoji, shown.count)));
    ensure(is_same, || format!("it shows {shown:?}, and the log has {version:?}"))
}

/// A file as the client shows it.
pub(crate) fn client_file(file: &chat_core::AttachedFile) -> AttachedFile {
    AttachedFile {
        id: file.id.as_str().to_owned(),
        name: file.name.as_str().to_owned(),
        media_type: file.media_type.as_str().to_owned(),
        size: file.size,
        width: file.dimensions.map(|(width, _)| width),
        height: file.dimensions.map(|(_, height)| height),
    }
}
