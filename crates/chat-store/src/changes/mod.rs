//! Changes of messages, the same in both databases: what a batch with changes depends on,
//! and what it writes. Nothing is judged here.

pub(crate) mod sql;
pub(crate) mod trim;

use std::collections::BTreeMap;

use chat_core::{Body, ChangedMessage, Commit, Facts, Questions, Stamp, TargetFacts};

use crate::batch::{NewEntry, TopicRows, find};
use crate::rows::{self, Columns as _};
use crate::statements::{Statements, Value, json};
use crate::{columns, files};
use Value::{Number, Text};

/// Looks up what the decisions about changes and answers depend on. `topics` has the topics
/// of the messages in question that exist. The caller's transaction keeps others from
/// writing to these topics, and from trimming them.
pub(crate) async fn facts<'a, S: Statements>(
    statements: &mut S,
    questions: &Questions<'a>,
    topics: &TopicRows,
    facts: &mut Facts<'a>,
) -> Result<(), S::Error> {
    if !questions.administrators.is_empty() {
        let names: Vec<&str> = questions.administrators.iter().map(|name| name.as_str()).collect();
        for row in &statements.rows(S::CHANGES.administrators, &[Text(&json(&names)?)]).await? {
            facts.administrators.extend(nth(&questions.administrators, row.number(0)?));
        }
    }
    let id = |topic| topics.get(topic).map(|row| row.id);
    let mut keys = Vec::with_capacity(questions.targets.len());
    let mut asked = Vec::with_capacity(questions.targets.len());
    for key @ (topic, seq) in &questions.targets {
        if let Some(topic) = id(topic) {
            keys.push((topic, columns::column(*seq)));
            asked.push(*key);
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    for row in &statements.rows(S::CHANGES.targets, &[Text(&json(&keys)?)]).await? {
        let Some(key) = nth(&asked, row.number(0)?) else { continue };
        let target = TargetFacts {
            from: columns::username(row.text(1)?)?,
            at_ms: row.number(2)?,
            state: rows::kept_state(row, 3)?,
            files: files::ids_in(row.text_or_null(9)?)?,
            reacted: BTreeMap::new(),
            reactors: BTreeMap::new(),
        };
        facts.targets.insert(*key, target);
    }
    let (mut keys, mut asked) = (Vec::new(), Vec::new());
    for key @ (topic, seq, emoji, user) in &questions.reactions {
        if let Some(topic) = id(topic) {
            keys.push((topic, columns::column(*seq), emoji.as_str(), user.as_str()));
            asked.push(*key);
        }
    }
    if !keys.is_empty() {
        for row in &statements.rows(S::CHANGES.reacted, &[Text(&json(&keys)?)]).await? {
            let Some((topic, seq, emoji, user)) = nth(&asked, row.number(0)?) else { continue };
            let Some(target) = facts.targets.get_mut(&(*topic, *seq)) else { continue };
            let stamp = Stamp { seq: row.number(1)?, at_ms: row.number(2)? };
            target.reacted.insert(((*emoji).clone(), (*user).clone()), stamp);
        }
    }
    reactors(statements, questions, topics, facts).await
}

/// Looks up the first users of the emoji that somebody takes back.
async fn reactors<'a, S: Statements>(
    statements: &mut S,
    questions: &Questions<'a>,
    topics: &TopicRows,
    facts: &mut Facts<'a>,
) -> Result<(), S::Error> {
    let (mut keys, mut asked, mut limit) = (Vec::new(), Vec::new(), 0);
    for question in &questions.reactors {
        let topic = topics.get(question.topic).map(|row| row.id);
        let target = facts.targets.get_mut(&(question.topic, question.target));
        if let (Some(topic), Some(target)) = (topic, target) {
            target.reactors.insert(question.emoji.clone(), Vec::new());
            keys.push((topic, columns::column(question.target), question.emoji.as_str()));
            asked.push(question);
            // The limit is the same for all: more users than asked for do no harm.
            limit = limit.max(question.limit);
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    let values = [Text(&json(&keys)?), Number(columns::column(limit as u64))];
    let mut users = Vec::new();
    for row in &statements.rows(S::CHANGES.reactors, &values).await? {
        users.push((row.number(0)?, row.number(1)?, columns::username(row.text(2)?)?));
    }
    users.sort_unstable_by_key(|(position, seq, _)| (*position, *seq));
    for (position, _, user) in users {
        let Some(question) = nth(&asked, position) else { continue };
        let target = facts.targets.get_mut(&(question.topic, question.target));
        if let Some(reactors) = target.and_then(|target| target.reactors.get_mut(question.emoji)) {
            reactors.push(user);
        }
    }
    Ok(())
}

/// The value at a position from 0.
fn nth<T>(values: &[T], position: u64) -> Option<&T> {
    values.get(usize::try_from(position).ok()?)
}

/// Writes the changes of a batch, what they make of their messages, and the nonces that go
/// with other entries. The messages and nonces of the batch are written already.
pub(crate) async fn write<S: Statements>(
    statements: &mut S,
    commit: &Commit,
    changes: &[NewEntry<'_>],
    topics: &TopicRows,
    now_ms: u64,
) -> Result<(), S::Error> {
    if !changes.is_empty() {
        let row = |new: &NewEntry<'_>| {
            let entry = new.entry;
            let emoji = match &entry.body {
                Body::React { emoji, .. } | Body::Unreact { emoji, .. } => Some(emoji.as_str().to_owned()),
                Body::Message { .. } | Body::Edit { .. } | Body::Delete { .. } => None,
            };
            (
                new.topic,
                entry.seq,
                columns::entry_kind(&entry.body),
                entry.body.target().map(columns::column),
                entry.from.as_str().to_owned(),
                columns::column(entry.at_ms),
                entry.nonce.as_ref().map(|nonce| nonce.as_str().to_owned()),
                emoji,
            )
        };
        let rows: Vec<_> = changes.iter().map(row).collect();
        statements.rows(S::CHANGES.add_changes, &[Text(&json(&rows)?)]).await?;
    }
    let mut changed = Vec::with_capacity(commit.changed.len());
    for message in &commit.changed {
        changed.push((find(topics, &message.topic)?.id, message));
    }
    replace_texts(statements, &changed).await?;
    keep_states(statements, &changed).await?;
    let mut remembered = Vec::with_capacity(commit.remembered.len());
    for nonce in &commit.remembered {
        let topic = find(topics, &nonce.topic)?.id;
        // It is kept for seven days from now on, however old that entry is.
        let at = columns::column(now_ms);
        remembered.push((topic, nonce.seq, nonce.nonce.as_str(), nonce.from.as_str(), at));
    }
    run(statements, S::CHANGES.add_remembered, &remembered).await
}

/// Replaces the texts and mentions of edited and deleted messages.
async fn replace_texts<S: Statements>(
    statements: &mut S,
    changed: &[(i64, &ChangedMessage)],
) -> Result<(), S::Error> {
    let (mut keys, mut texts, mut mentions) = (Vec::new(), Vec::new(), Vec::new());
    for (topic, message) in changed {
        let Some((text, new)) = &message.text else { continue };
        let seq = columns::column(message.seq);
        keys.push((*topic, seq));
        let new = new.as_deref();
        let deleted = message.is_deleted.then_some(1);
        texts.push((*topic, seq, text.as_str(), new.map(columns::mentions_column), deleted));
        for name in new.into_iter().flat_map(|new| columns::mentioned(new, &message.from)) {
            mentions.push((*topic, name, seq, message.from.as_str()));
        }
    }
    // Those before are found in the messages.
    run(statements, S::CHANGES.remove_mentions, &keys).await?;
    run(statements, S::CHANGES.replace_texts, &texts).await?;
    run(statements, S::SQL.add_mentions, &mentions).await
}

/// Writes the states and reactions of changed messages.
async fn keep_states<S: Statements>(
    statements: &mut S,
    changed: &[(i64, &ChangedMessage)],
) -> Result<(), S::Error> {
    let (mut states, mut deleted) = (Vec::new(), Vec::new());
    let (mut unreacted, mut reacted) = (Vec::new(), Vec::new());
    for (topic, message) in changed {
        let (topic, seq, state) = (*topic, columns::column(message.seq), &message.state);
        let stamp =
            |stamp: Option<Stamp>| stamp.map(|stamp| (stamp.seq, columns::column(stamp.at_ms))).unzip();
        let ((edit, edited_at), (delete, deleted_at)) = (stamp(state.edited), stamp(state.deleted));
        let reactions = columns::reactions(&state.reactions);
        states.push((topic, seq, state.updated, edit, edited_at, delete, deleted_at, reactions));
        if message.is_deleted {
            deleted.push((topic, seq));
        }
        for (emoji, user) in &message.unreacted {
            unreacted.push((topic, seq, emoji.as_str(), user.as_str()));
        }
        for (emoji, user, stamp) in &message.reacted {
            let at = columns::column(stamp.at_ms);
            reacted.push((topic, seq, emoji.as_str(), user.as_str(), stamp.seq, at));
        }
    }
    run(statements, S::CHANGES.keep_states, &states).await?;
    run(statements, S::CHANGES.remove_all_reactions, &deleted).await?;
    run(statements, S::CHANGES.remove_reactions, &unreacted).await?;
    run(statements, S::CHANGES.add_reactions, &reacted).await
}

/// Runs a statement with rows, if there are any.
async fn run<S: Statements>(
    statements: &mut S,
    sql: &'static str,
    rows: &[impl serde::Serialize + Sync],
) -> Result<(), S::Error> {
    if !rows.is_empty() {
        statements.rows(sql, &[Text(&json(rows)?)]).await?;
    }
    Ok(())
}

/// Whether a batch has replaced or removed a text.
#[cfg(feature = "sqlite")]
pub(crate) fn redacts(commit: &Commit) -> bool {
    commit.changed.iter().any(|message| message.text.is_some())
}

/// Whether a new entry is a change.
pub(crate) fn is_change(new: &NewEntry<'_>) -> bool {
    !new.entry.body.is_message()
}
