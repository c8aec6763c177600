//! Reports of messages: `/api/reports`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use chat_core::{Entry, MessagesFrom, PageLimits, Pair, RoomName, Topic, Username};
use chat_shard::now_ms;
use chat_store::{ListedReport, NewReport, Report, ReportState, ReportsOf};
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::{accounts, administrator, json, query, room_call};
use crate::answer::{self, Body, Nothing};
use crate::app::App;
use crate::error::HttpError;
use crate::signed_in::SignedIn;

/// A message, and why it is reported.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ReportOrder {
    /// The room of the message. Either this or `with`.
    #[serde(default)]
    room: Option<String>,
    /// The other user of the private conversation of the message.
    #[serde(default)]
    with: Option<String>,
    /// The number of the message.
    seq: u64,
    /// The reason, in 1 to 500 characters.
    #[serde(default)]
    reason: String,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct MadeReport {
    /// The id of the report.
    id: u64,
}

/// Reports a message that the user may read. A message that the same user has reported is
/// not reported twice.
pub(super) async fn create(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let (me, body) = json::read_signed_in(&app, request).await?;
    let order: ReportOrder = json::parse(&body).ok_or(HttpError::InvalidJson)?;
    count(&app, &me)?;
    let topic = match (order.room, order.with) {
        (Some(room), None) if !room.is_empty() => {
            let room = RoomName::parse(&room)?;
            room_call::access(&app, &me, &room).await?;
            Topic::Room(room)
        }
        (None, Some(with)) => {
            let with = Username::known(&with).map_err(|_| HttpError::MessageNotFound)?;
            Topic::Pair(Pair::new(me.user.clone(), with))
        }
        (Some(_), Some(_)) => return Err(HttpError::RoomAndWith),
        _ => return Err(HttpError::RoomOrWith),
    };
    let reason = accounts::reason(&order.reason)?;
    if reason.is_empty() {
        return Err(HttpError::ReasonRequired);
    }
    messages(&app, &topic, vec![order.seq]).await?.next().ok_or(HttpError::MessageNotFound)?;
    let report = NewReport { topic, seq: order.seq, reporter: me.user, reason, at_ms: now_ms() };
    let id =
        app.parts.stores.administration.create_report(&report).await?.ok_or(HttpError::TooManyReports)?;
    Ok(answer::json(StatusCode::CREATED, &MadeReport { id }))
}

/// Counts a report, or a change of one: each stores an entry, of which the newest are kept.
fn count(app: &App, me: &SignedIn) -> Result<(), HttpError> {
    let counted = app.report_rate.count(&me.user, Instant::now());
    counted.map_err(|retry_after_seconds| HttpError::ReportsTooOften { retry_after_seconds })
}

/// The messages with these numbers, as they are now, without deleted ones.
async fn messages(
    app: &App,
    topic: &Topic,
    mut numbers: Vec<u64>,
) -> Result<impl Iterator<Item = Arc<Entry>> + use<>, HttpError> {
    numbers.sort_unstable();
    numbers.dedup();
    let limits = PageLimits { entries: numbers.len(), bytes: usize::MAX };
    let page = app.parts.stores.log.messages(topic, &MessagesFrom::Numbers(numbers.clone()), limits).await?;
    let is_shown = |entry: &Entry| entry.body.is_message() && !entry.body.is_deleted();
    let wanted = move |entry: &Arc<Entry>| numbers.binary_search(&entry.seq).is_ok() && is_shown(entry);
    Ok(page.entries.into_iter().filter(wanted))
}

/// A page of reports, the newest first: for moderators those of messages in their rooms, for
/// administrators all.
pub(super) async fn list(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    let (mut state, mut before, mut limit) = (None, None, LIMIT_DEFAULT);
    for parameter in query::parameters(request.uri().query().unwrap_or_default()) {
        let (key, value) = parameter?;
        match key {
            "state" => state = Some(parse_state(&value).ok_or(HttpError::ReportState)?),
            "before" => before = Some(query::id(&value)?),
            "limit" => limit = query::limit(&value, LIMIT_MAX)?,
            _ => {}
        }
    }
    app.count_list(&me.user)?;
    let of = match administrator::is_administrator(&app, &me).await? {
        true => ReportsOf::Everywhere { reader: &me.user },
        false => ReportsOf::ModeratedBy(&me.user),
    };
    // One more shows whether there is another page.
    let mut found = app.parts.stores.administration.reports(of, state, before, limit + 1).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|listed| listed.report.id.to_string());
    let shown = readable_messages(&app, &found).await?;
    let reports = found.into_iter().map(|found| listed(found.report, &shown)).collect();
    Ok(answer::json(StatusCode::OK, &ReportList { reports, next }))
}

/// The most reports in one page.
pub(super) const LIMIT_MAX: usize = 50;
const LIMIT_DEFAULT: usize = 50;

/// The messages of reports that the reader may read: one query for each topic.
async fn readable_messages(
    app: &App,
    found: &[ListedReport],
) -> Result<BTreeMap<(Topic, u64), Arc<Entry>>, HttpError> {
    let mut wanted = BTreeMap::<&Topic, Vec<u64>>::new();
    for ListedReport { report, .. } in found.iter().filter(|listed| listed.is_readable) {
        wanted.entry(&report.topic).or_default().push(report.seq);
    }
    let mut shown = BTreeMap::new();
    for (topic, numbers) in wanted {
        let messages = messages(app, topic, numbers).await?;
        shown.extend(messages.map(|message| ((topic.clone(), message.seq), message)));
    }
    Ok(shown)
}

/// A report as its reader may see it: with the message, if the reader may read it.
fn listed(report: Report, shown: &BTreeMap<(Topic, u64), Arc<Entry>>) -> ShownReport {
    let message = shown.get(&(report.topic.clone(), report.seq));
    let (room, between) = match &report.topic {
        Topic::Room(room) => (Some(room.as_str().to_owned()), None),
        Topic::Pair(pair) => (None, Some([pair.low(), pair.high()].map(|name| name.as_str().to_owned()))),
    };
    ShownReport {
        id: report.id,
        room,
        between,
        seq: report.seq,
        from: message.map(|message| message.from.as_str().to_owned()),
        text: message.map(|message| message.body.text().to_owned()),
        reporter: report.reporter.as_str().to_owned(),
        reason: report.reason,
        at: report.at_ms / 1000,
        state: report.state.into(),
        by: report.changed_by.map(|by| by.as_str().to_owned()),
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ReportList {
    /// The reports, the newest first, at most 50.
    reports: Vec<ShownReport>,
    /// The value of `before` for the next page. Opaque; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ListedReport"))]
struct ShownReport {
    /// Rises with time.
    id: u64,
    /// The room of the message; absent for a private one.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    /// The two users of the private conversation of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    between: Option<[String; 2]>,
    /// The number of the message.
    seq: u64,
    /// The author. Absent, as `text`, if the message is deleted or the reader of the report
    /// may not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// The text of the message as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The user who has reported it.
    reporter: String,
    reason: String,
    /// When it was reported, in whole seconds since 1970.
    at: u64,
    state: StateName,
    /// The user who has changed the state last.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

/// Whether somebody has dealt with a report.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ReportState"))]
enum StateName {
    Open,
    Done,
}

fn parse_state(name: &str) -> Option<ReportState> {
    match name {
        "open" => Some(ReportState::Open),
        "done" => Some(ReportState::Done),
        _ => None,
    }
}

impl From<ReportState> for StateName {
    fn from(state: ReportState) -> Self {
        match state {
            ReportState::Open => Self::Open,
            ReportState::Done => Self::Done,
        }
    }
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ReportChanges {
    state: StateName,
}

/// Changes the state of a report: moderators in their rooms, administrators everywhere. What
/// one may not see is not found.
pub(super) async fn change(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let (me, body) = json::read_signed_in(&app, request).await?;
    let id = query::id(&part).map_err(|_| HttpError::ReportNotFound)?;
    let ReportChanges { state } = json::parse(&body).ok_or(HttpError::InvalidJson)?;
    count(&app, &me)?;
    let administration = &app.parts.stores.administration;
    let report = administration.report(id).await?.ok_or(HttpError::ReportNotFound)?;
    if !administrator::is_administrator(&app, &me).await? && !moderates(&app, &me, &report.topic).await? {
        return Err(HttpError::ReportNotFound);
    }
    let state = match state {
        StateName::Open => ReportState::Open,
        StateName::Done => ReportState::Done,
    };
    if !administration.change_report(id, state, Some(&me.user), now_ms()).await? {
        return Err(HttpError::ReportNotFound);
    }
    Ok(answer::json(StatusCode::OK, &Nothing {}))
}

async fn moderates(app: &App, me: &SignedIn, topic: &Topic) -> Result<bool, HttpError> {
    match topic {
        Topic::Room(room) => room_call::moderates(app, me, room).await,
        Topic::Pair(_) => Ok(false),
    }
}
