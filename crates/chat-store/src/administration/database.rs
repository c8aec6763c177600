//! Administration in a database: each function runs inside the caller's transaction, which
//! holds its locks.

use chat_core::{Role, RoomName, SecretHash, Username};
use serde_json::json;

use super::{
    AUDIT_MAX, AuditAction, AuditEntry, Ban, BanRefused, Deletion, INVITES_MAX, Invite, InvitesOf,
    LogPosition, MessagesOf, NewAudit, NewBan, NewInvite, NewPasswordLink, NewReport, OPEN_REPORTS_MAX,
    ProfileField, REPORTS_MAX, Report, ReportState, ReportsOf, ServerProfile,
};
use crate::rooms::members::{self, NewMember};
use crate::rows::{self, Columns};
use crate::statements::{Statements, Value};
use crate::{RoleChange, StoreError, columns};
use Value::{Number, NumberOrNull, Text, TextOrNull};

/// Writes an entry of the audit log, and removes the oldest beyond the limit.
pub(crate) async fn note<S: Statements>(statements: &mut S, new: NewAudit<'_>) -> Result<(), S::Error> {
    let details = new.details.map(|details| details.to_string());
    let values = [
        Number(columns::column(new.at_ms)),
        TextOrNull(new.by.map(Username::as_str)),
        Text(new.action.as_str()),
        Text(new.target),
        TextOrNull(details.as_deref()),
    ];
    let row = statements.row(NOTE, &values).await?;
    let id = row.ok_or(NO_ANSWER)?.integer(0)?;
    statements.rows(FORGET_AUDIT, &[Number(id - columns::column(AUDIT_MAX))]).await.map(drop)
}

/// Lists entries of the audit log.
pub(crate) async fn audit<S: Statements>(
    mut statements: S,
    before: Option<u64>,
    max: usize,
) -> Result<Vec<AuditEntry>, S::Error> {
    let values = [Number(before.map_or(i64::MAX, columns::column)), Number(columns::column(max as u64))];
    let rows = statements.rows(AUDIT, &values).await?;
    Ok(rows.iter().map(audit_entry).collect::<Result<_, StoreError>>()?)
}

fn audit_entry(row: &impl Columns) -> Result<AuditEntry, StoreError> {
    let damaged = StoreError::Damaged { what: "an unknown action in the audit log" };
    let details = row.text_or_null(5)?.map(serde_json::from_str).transpose();
    Ok(AuditEntry {
        id: row.number(0)?,
        at_ms: row.number(1)?,
        by: row.text_or_null(2)?.map(columns::username).transpose()?,
        action: AuditAction::parse(row.text(3)?).ok_or(damaged)?,
        target: row.text(4)?.to_owned(),
        details: details.map_err(|_| StoreError::Damaged { what: "details of the audit log" })?,
    })
}

/// Reads the profile of the server.
pub(crate) async fn profile<S: Statements>(statements: &mut S) -> Result<ServerProfile, S::Error> {
    let mut profile = ServerProfile::default();
    for row in &statements.rows(PROFILE, &[]).await? {
        let key = row.text(0)?;
        if let Some(field) = ProfileField::ALL.into_iter().find(|field| field.as_str() == key) {
            *profile.field(field) = Some(row.text(1)?.to_owned());
        }
    }
    Ok(profile)
}

/// Sets fields of the profile, and returns the profile before.
pub(crate) async fn set_profile<S: Statements>(
    statements: &mut S,
    fields: &[(ProfileField, Option<&str>)],
    by: Option<&Username>,
    now_ms: u64,
) -> Result<ServerProfile, S::Error> {
    let before = profile(statements).await?;
    let mut now = before.clone();
    let mut changed = Vec::new();
    for (field, value) in fields {
        if now.field(*field).as_deref() == *value {
            continue;
        }
        *now.field(*field) = value.map(str::to_owned);
        changed.push(field.as_str());
        match value {
            Some(value) => statements.rows(SET_FIELD, &[Text(field.as_str()), Text(value)]).await?,
            None => statements.rows(CLEAR_FIELD, &[Text(field.as_str())]).await?,
        };
    }
    if !changed.is_empty() {
        let details = Some(json!({ "changed": changed }));
        let action = AuditAction::ServerChange;
        note(statements, NewAudit { by, at_ms: now_ms, action, target: "", details }).await?;
    }
    Ok(before)
}

/// Stores an invitation; see [`create_invite`](super::AdministrationRepository::create_invite).
pub(crate) async fn create_invite<S: Statements>(
    statements: &mut S,
    invite: &NewInvite,
) -> Result<bool, S::Error> {
    let now = Number(columns::column(invite.created_at_ms));
    if statements.row(INVITE_EXISTS, &[Text(&invite.id)]).await?.is_some() {
        return Ok(true);
    }
    statements.rows(SWEEP_INVITES, &[now]).await?;
    let by = invite.by.as_str();
    let count = statements.row(COUNT_INVITES, &[Text(by), now]).await?.ok_or(NO_ANSWER)?.number(0)?;
    if count >= INVITES_MAX as u64 {
        return Ok(false);
    }
    let values = [
        Text(&invite.id),
        Text(&invite.secret.to_hex()),
        Text(by),
        TextOrNull(invite.room.as_ref().map(RoomName::as_str)),
        NumberOrNull(invite.uses_max.map(columns::column)),
        now,
        NumberOrNull(invite.expires_at_ms.map(columns::column)),
    ];
    statements.rows(ADD_INVITE, &values).await?;
    note(statements, super::invite_created(invite)).await?;
    Ok(true)
}

/// Lists invitations.
pub(crate) async fn invites<S: Statements>(
    mut statements: S,
    of: InvitesOf<'_>,
    now_ms: u64,
    max: usize,
) -> Result<Vec<Invite>, S::Error> {
    let (now, max) = (Number(columns::column(now_ms)), Number(columns::column(max as u64)));
    let rows = match of {
        InvitesOf::Everybody => statements.rows(INVITES, &[now, max]).await?,
        InvitesOf::User(user) => statements.rows(INVITES_OF_USER, &[now, max, Text(user.as_str())]).await?,
        InvitesOf::Room(room) => statements.rows(INVITES_TO_ROOM, &[now, max, Text(room.as_str())]).await?,
    };
    Ok(rows.iter().map(invite_row).collect::<Result<_, StoreError>>()?)
}

/// Finds an invitation by its id.
pub(crate) async fn invite<S: Statements>(
    mut statements: S,
    id: &str,
    now_ms: u64,
) -> Result<Option<Invite>, S::Error> {
    let row = statements.row(INVITE, &[Text(id), Number(columns::column(now_ms))]).await?;
    Ok(row.map(|row| invite_row(&row)).transpose()?)
}

/// Finds an invitation by its secret.
pub(crate) async fn find_invite<S: Statements>(
    statements: &mut S,
    secret: &SecretHash,
    now_ms: u64,
) -> Result<Option<Invite>, S::Error> {
    let values = [Text(&secret.to_hex()), Number(columns::column(now_ms))];
    let row = statements.row(FIND_INVITE, &values).await?;
    Ok(row.map(|row| invite_row(&row)).transpose()?)
}

/// Uses an invitation once. Returns whether it could be used.
pub(crate) async fn use_invite<S: Statements>(
    statements: &mut S,
    secret: &SecretHash,
    now_ms: u64,
) -> Result<bool, S::Error> {
    let secret = secret.to_hex();
    let values = [Text(&secret), Number(columns::column(now_ms))];
    let Some(row) = statements.row(USE_INVITE, &values).await? else { return Ok(false) };
    let (used, uses_max) = (row.integer(0)?, row.integer_or_null(1)?);
    if uses_max.is_some_and(|max| used >= max) {
        statements.rows(REMOVE_USED, &values[..1]).await?;
    }
    Ok(true)
}

/// Uses an invitation for a new account, and makes it a member of the room. Returns whether
/// the invitation could be used.
pub(crate) async fn admit<S: Statements>(
    statements: &mut S,
    secret: &SecretHash,
    user: &Username,
    now_ms: u64,
) -> Result<bool, S::Error> {
    let Some(invite) = find_invite(statements, secret, now_ms).await? else { return Ok(false) };
    // The room is locked first, as by users who join it.
    let top = match &invite.room {
        Some(room) => members::lock(statements, room).await?,
        None => 0,
    };
    if !use_invite(statements, secret, now_ms).await? {
        return Ok(false);
    }
    if let Some(room) = &invite.room {
        let new = NewMember { room, user, role: Role::Member, read: top, joined_at_ms: now_ms };
        members::add(statements, &[new]).await?;
    }
    Ok(true)
}

/// Withdraws an invitation.
pub(crate) async fn delete_invite<S: Statements>(
    statements: &mut S,
    id: &str,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    if statements.row(DELETE_INVITE, &[Text(id)]).await?.is_none() {
        return Ok(false);
    }
    let action = AuditAction::InviteDelete;
    note(statements, NewAudit { by, at_ms: now_ms, action, target: id, details: None }).await?;
    Ok(true)
}

/// Withdraws the invitations of a user to a room that the user is no member of any more.
pub(crate) async fn withdraw_invites<S: Statements>(
    statements: &mut S,
    user: &Username,
    room: &RoomName,
) -> Result<(), S::Error> {
    statements.rows(WITHDRAW_FROM_ROOM, &[Text(user.as_str()), Text(room.as_str())]).await.map(drop)
}

/// The columns `id, by_user, room, uses_max, used, created_at, expires_at`.
fn invite_row(row: &impl Columns) -> Result<Invite, StoreError> {
    Ok(Invite {
        id: row.text(0)?.to_owned(),
        by: columns::username(row.text(1)?)?,
        room: row.text_or_null(2)?.map(columns::room).transpose()?,
        uses_max: row.integer_or_null(3)?.map(columns::number).transpose()?,
        used: row.number(4)?,
        created_at_ms: row.number(5)?,
        expires_at_ms: row.integer_or_null(6)?.map(columns::number).transpose()?,
    })
}

/// Bans a user, but does not end the sessions. The caller keeps roles from changing.
pub(crate) async fn ban<S: Statements>(
    statements: &mut S,
    ban: &NewBan,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<Result<(), BanRefused>, S::Error> {
    let user = Text(ban.user.as_str());
    if statements.row(HAS_ACCOUNT, &[user]).await?.is_none() {
        return Ok(Err(BanRefused::NoUser));
    }
    if statements.row(IS_ADMINISTRATOR, &[user]).await?.is_some() {
        return Ok(Err(BanRefused::Administrator));
    }
    let earlier = statements.row(FIND_BAN, &[user]).await?.map(|row| ban_row(&row)).transpose()?;
    let is_new = earlier
        .as_ref()
        .is_none_or(|earlier| earlier.reason != ban.reason || (ban.delete_messages && !earlier.is_deleting));
    if !is_new {
        return Ok(Ok(()));
    }
    let start = (ban.delete_messages && !earlier.is_some_and(|earlier| earlier.is_deleting)).then_some(0);
    let values = [
        user,
        TextOrNull(by.map(Username::as_str)),
        Number(columns::column(now_ms)),
        Text(&ban.reason),
        NumberOrNull(start),
    ];
    statements.rows(BAN, &values).await?;
    statements.rows(WITHDRAW_ALL, &[user]).await?;
    statements.rows(DROP_LINKS_OF, &[user]).await?;
    note(statements, super::banned(ban, by, now_ms)).await?;
    Ok(Ok(()))
}

/// Ends a ban.
pub(crate) async fn unban<S: Statements>(
    statements: &mut S,
    user: &Username,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    if statements.row(UNBAN, &[Text(user.as_str())]).await?.is_none() {
        return Ok(false);
    }
    let (action, target) = (AuditAction::UserUnban, user.as_str());
    note(statements, NewAudit { by, at_ms: now_ms, action, target, details: None }).await?;
    Ok(true)
}

/// Which of these users are banned.
pub(crate) async fn banned<S: Statements>(
    mut statements: S,
    users: &[Username],
) -> Result<Vec<Username>, S::Error> {
    let names: Vec<&str> = users.iter().map(Username::as_str).collect();
    let rows = statements.rows(S::BANNED, &[Text(&crate::statements::json(&names)?)]).await?;
    Ok(rows.iter().map(|row| columns::username(row.text(0)?)).collect::<Result<_, StoreError>>()?)
}

/// Finds the ban of a user.
pub(crate) async fn find_ban<S: Statements>(
    mut statements: S,
    user: &Username,
) -> Result<Option<Ban>, S::Error> {
    let row = statements.row(FIND_BAN, &[Text(user.as_str())]).await?;
    Ok(row.map(|row| ban_row(&row)).transpose()?)
}

/// Lists bans.
pub(crate) async fn bans<S: Statements>(
    mut statements: S,
    after: Option<&Username>,
    max: usize,
) -> Result<Vec<Ban>, S::Error> {
    let values = [Text(after.map_or("", Username::as_str)), Number(columns::column(max as u64))];
    let rows = statements.rows(BANS, &values).await?;
    Ok(rows.iter().map(ban_row).collect::<Result<_, StoreError>>()?)
}

/// The columns `username, by_user, at, reason, deletes_topic`.
fn ban_row(row: &impl Columns) -> Result<Ban, StoreError> {
    Ok(Ban {
        user: columns::username(row.text(0)?)?,
        by: row.text_or_null(1)?.map(columns::username).transpose()?,
        at_ms: row.number(2)?,
        reason: row.text(3)?.to_owned(),
        is_deleting: row.integer_or_null(4)?.is_some(),
    })
}

/// Lists deletions that are not complete.
pub(crate) async fn deletions<S: Statements>(
    mut statements: S,
    max: usize,
) -> Result<Vec<Deletion>, S::Error> {
    let deletion = |row: &S::Row| {
        let upto = LogPosition { topic: row.number(1)?, seq: row.number(2)? };
        Ok(Deletion { user: columns::username(row.text(0)?)?, upto })
    };
    let rows = statements.rows(DELETIONS, &[Number(columns::column(max as u64))]).await?;
    Ok(rows.iter().map(deletion).collect::<Result<_, StoreError>>()?)
}

/// Looks at some messages of the log for those of a user.
pub(crate) async fn messages_of<S: Statements>(
    mut statements: S,
    user: &Username,
    after: LogPosition,
    max_entries: usize,
) -> Result<MessagesOf, S::Error> {
    let (topic, seq) = (Number(columns::column(after.topic)), Number(columns::column(after.seq)));
    // The last message of this part; without it, the part is the rest.
    let others = columns::column(max_entries.max(1) as u64) - 1;
    let end = statements.row(PART_END, &[topic, seq, Number(others)]).await?;
    let end = end.map(|row| Ok::<_, StoreError>((row.number(0)?, row.number(1)?))).transpose()?;
    let (last_topic, last_seq) = end.unwrap_or((u64::MAX, u64::MAX));
    let last = [Number(columns::column(last_topic)), Number(columns::column(last_seq))];
    let values = [topic, seq, last[0], last[1], Text(user.as_str())];
    let rows = statements.rows(MESSAGES_OF, &values).await?;
    let message = |row: &S::Row| Ok((rows::topic(row, 0)?, row.number(3)?));
    Ok(MessagesOf {
        messages: rows.iter().map(message).collect::<Result<_, StoreError>>()?,
        next: end.map(|(topic, seq)| LogPosition { topic, seq }),
    })
}

/// Notes how far a deletion has got.
pub(crate) async fn note_deletion<S: Statements>(
    statements: &mut S,
    user: &Username,
    upto: Option<LogPosition>,
) -> Result<(), S::Error> {
    let column =
        |number: fn(LogPosition) -> u64| NumberOrNull(upto.map(|upto| columns::column(number(upto))));
    let values = [Text(user.as_str()), column(|upto| upto.topic), column(|upto| upto.seq)];
    statements.rows(SET_DELETION, &values).await.map(drop)
}

/// Gives an account the role of an administrator, or takes it. The caller keeps roles from
/// changing.
pub(crate) async fn set_role<S: Statements>(
    statements: &mut S,
    name: &Username,
    is_administrator: bool,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<RoleChange, S::Error> {
    let user = Text(name.as_str());
    let was_administrator = statements.row(IS_ADMINISTRATOR, &[user]).await?.is_some();
    if is_administrator {
        if statements.row(FIND_BAN, &[user]).await?.is_some() {
            return Ok(RoleChange::Banned);
        }
        let values = [user, Number(columns::column(now_ms))];
        if statements.row(PROMOTE, &values).await?.is_none() {
            return Ok(RoleChange::NoPassword);
        }
    } else {
        if was_administrator && !has_other_administrator(statements, name).await? {
            return Ok(RoleChange::LastAdministrator);
        }
        statements.rows(DEMOTE, &[user]).await?;
        statements.rows(DROP_LINKS_BY, &[user]).await?;
    }
    if was_administrator != is_administrator {
        note(statements, super::role_changed(name, is_administrator, by, now_ms)).await?;
    }
    Ok(RoleChange::Done)
}

/// Makes an account the first administrator. The caller keeps roles from changing.
pub(crate) async fn set_up<S: Statements>(
    statements: &mut S,
    name: &Username,
    now_ms: u64,
) -> Result<Option<RoleChange>, S::Error> {
    let user = Text(name.as_str());
    if has_other_administrator(statements, name).await? {
        return Ok(None);
    }
    if statements.row(IS_ADMINISTRATOR, &[user]).await?.is_some() {
        return Ok(Some(RoleChange::Done));
    }
    if statements.row(FIND_BAN, &[user]).await?.is_some() {
        return Ok(Some(RoleChange::Banned));
    }
    if statements.row(PROMOTE, &[user, Number(columns::column(now_ms))]).await?.is_none() {
        return Ok(Some(RoleChange::NoPassword));
    }
    let (action, target) = (AuditAction::Setup, name.as_str());
    note(statements, NewAudit { by: Some(name), at_ms: now_ms, action, target, details: None }).await?;
    Ok(Some(RoleChange::Done))
}

/// Another program may have removed an account, and left its role: that is none.
async fn has_other_administrator<S: Statements>(
    statements: &mut S,
    name: &Username,
) -> Result<bool, S::Error> {
    for row in &statements.rows(ADMINISTRATORS, &[]).await? {
        let other = row.text(0)?;
        if other != name.as_str() && statements.row(HAS_ACCOUNT, &[Text(other)]).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Stores a link that sets a password.
pub(crate) async fn create_password_link<S: Statements>(
    statements: &mut S,
    link: &NewPasswordLink,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    let (user, secret) = (Text(link.user.as_str()), link.secret.to_hex());
    let now = Number(columns::column(now_ms));
    if statements.row(HAS_ACCOUNT, &[user]).await?.is_none() {
        return Ok(false);
    }
    if statements.row(FIND_LINK, &[Text(&secret), now]).await?.is_some() {
        return Ok(true);
    }
    statements.rows(SWEEP_LINKS, &[now]).await?;
    let end = Number(columns::column(link.expires_at_ms));
    statements.rows(ADD_LINK, &[Text(&secret), user, TextOrNull(by.map(Username::as_str)), end]).await?;
    let (action, target) = (AuditAction::UserPassword, link.user.as_str());
    note(statements, NewAudit { by, at_ms: now_ms, action, target, details: None }).await?;
    Ok(true)
}

/// Finds the account of a link.
pub(crate) async fn find_password_link<S: Statements>(
    mut statements: S,
    secret: &SecretHash,
    now_ms: u64,
) -> Result<Option<Username>, S::Error> {
    let values = [Text(&secret.to_hex()), Number(columns::column(now_ms))];
    let row = statements.row(FIND_LINK, &values).await?;
    Ok(row.map(|row| columns::username(row.text(0)?)).transpose()?)
}

/// Uses a link, but does not end the sessions of its account, which is returned.
pub(crate) async fn use_password_link<S: Statements>(
    statements: &mut S,
    secret: &SecretHash,
    new_hash: &str,
    now_ms: u64,
) -> Result<Option<Username>, S::Error> {
    let values = [Text(&secret.to_hex()), Number(columns::column(now_ms))];
    let Some(row) = statements.row(TAKE_LINK, &values).await? else { return Ok(None) };
    let user = columns::username(row.text(0)?)?;
    let set = statements.row(SET_PASSWORD, &[Text(user.as_str()), Text(new_hash)]).await?;
    Ok(set.map(|_| user))
}

/// Whether an account has this hash of a password.
pub(crate) async fn has_hash<S: Statements>(
    statements: &mut S,
    name: &Username,
    hash: &str,
) -> Result<bool, S::Error> {
    Ok(statements.row(HAS_HASH, &[Text(name.as_str()), Text(hash)]).await?.is_some())
}

/// Replaces the hash of an account's password, but does not end its sessions. Returns whether
/// there is the account.
pub(crate) async fn reset_password<S: Statements>(
    statements: &mut S,
    name: &Username,
    new_hash: &str,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    if has_hash(statements, name, new_hash).await? {
        return Ok(true);
    }
    if statements.row(SET_PASSWORD, &[Text(name.as_str()), Text(new_hash)]).await?.is_none() {
        return Ok(false);
    }
    let (action, target) = (AuditAction::UserPassword, name.as_str());
    note(statements, NewAudit { by, at_ms: now_ms, action, target, details: None }).await?;
    Ok(true)
}

/// Stores a report.
pub(crate) async fn create_report<S: Statements>(
    statements: &mut S,
    report: &NewReport,
) -> Result<Option<u64>, S::Error> {
    let (kind, name, other) = columns::topic_key(&report.topic);
    let (seq, reporter) = (Number(columns::column(report.seq)), Text(report.reporter.as_str()));
    let key = [reporter, Number(kind), Text(name), Text(other), seq];
    if let Some(row) = statements.row(OPEN_REPORT, &key).await? {
        return Ok(Some(row.number(0)?));
    }
    let open = statements.row(COUNT_OPEN, &[reporter]).await?.ok_or(NO_ANSWER)?.number(0)?;
    if open >= OPEN_REPORTS_MAX as u64 {
        return Ok(None);
    }
    let at = Number(columns::column(report.at_ms));
    let values = [reporter, Number(kind), Text(name), Text(other), seq, Text(&report.reason), at];
    let id = statements.row(ADD_REPORT, &values).await?.ok_or(NO_ANSWER)?.number(0)?;
    let gone = columns::column(id) - columns::column(REPORTS_MAX);
    statements.rows(FORGET_REPORTS, &[Number(gone)]).await?;
    Ok(Some(id))
}

/// Finds a report.
pub(crate) async fn report<S: Statements>(statements: &mut S, id: u64) -> Result<Option<Report>, S::Error> {
    let row = statements.row(REPORT, &[Number(columns::column(id))]).await?;
    Ok(row.map(|row| report_row(&row)).transpose()?)
}

/// Lists reports.
pub(crate) async fn reports<S: Statements>(
    mut statements: S,
    of: ReportsOf<'_>,
    state: Option<ReportState>,
    before: Option<u64>,
    max: usize,
) -> Result<Vec<Report>, S::Error> {
    let (first, last) = match state {
        Some(state) => (state_column(state), state_column(state)),
        None => (OPEN, DONE),
    };
    let before = before.map_or(i64::MAX, columns::column);
    let values = [Number(before), Number(first), Number(last), Number(columns::column(max as u64))];
    let rows = match of {
        ReportsOf::Everywhere => statements.rows(REPORTS, &values).await?,
        ReportsOf::ModeratedBy(user) => {
            let [before, first, last, max] = values;
            statements.rows(REPORTS_OF_MODERATOR, &[before, first, last, max, Text(user.as_str())]).await?
        }
    };
    Ok(rows.iter().map(report_row).collect::<Result<_, StoreError>>()?)
}

/// Changes the state of a report.
pub(crate) async fn change_report<S: Statements>(
    statements: &mut S,
    id: u64,
    state: ReportState,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    let Some(report) = report(statements, id).await? else { return Ok(false) };
    if report.state != state {
        let by_column = TextOrNull(by.map(Username::as_str));
        let values = [Number(columns::column(id)), Number(state_column(state)), by_column];
        statements.rows(CHANGE_REPORT, &values).await?;
        let target = id.to_string();
        note(statements, super::report_changed(&target, state, by, now_ms)).await?;
    }
    Ok(true)
}

/// The columns `id, kind, name, other, seq, reporter, reason, at, state, changed_by`.
fn report_row(row: &impl Columns) -> Result<Report, StoreError> {
    Ok(Report {
        id: row.number(0)?,
        topic: rows::topic(row, 1)?,
        seq: row.number(4)?,
        reporter: columns::username(row.text(5)?)?,
        reason: row.text(6)?.to_owned(),
        at_ms: row.number(7)?,
        state: match row.integer(8)? {
            OPEN => ReportState::Open,
            DONE => ReportState::Done,
            _ => return Err(StoreError::Damaged { what: "an unknown state of a report" }),
        },
        changed_by: row.text_or_null(9)?.map(columns::username).transpose()?,
    })
}

fn state_column(state: ReportState) -> i64 {
    match state {
        ReportState::Open => OPEN,
        ReportState::Done => DONE,
    }
}

const OPEN: i64 = 1;
const DONE: i64 = 2;
const NO_ANSWER: StoreError = StoreError::Damaged { what: "no answer" };

const NOTE: &str = "INSERT INTO audit (at, by_user, action, target, details)
     VALUES ($1, $2, $3, $4, $5) RETURNING id";

pub(crate) const FORGET_AUDIT: &str = "DELETE FROM audit WHERE id <= $1";

pub(crate) const AUDIT: &str = "SELECT id, at, by_user, action, target, details FROM audit
     WHERE id < $1 ORDER BY id DESC LIMIT $2";

const PROFILE: &str = "SELECT key, value FROM server_profile";

/// Whether an account, or the server, has the picture at this path.
pub(crate) const IS_PICTURE_USED: &str = "SELECT 1 WHERE EXISTS (SELECT 1 FROM users WHERE avatar = $1)
        OR EXISTS (SELECT 1 FROM server_profile WHERE key = 'logo' AND value = $1)";

const SET_FIELD: &str = "INSERT INTO server_profile (key, value) VALUES ($1, $2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value";

const CLEAR_FIELD: &str = "DELETE FROM server_profile WHERE key = $1";

macro_rules! invites {
    ($rest:literal) => {
        concat!("SELECT id, by_user, room, uses_max, used, created_at, expires_at FROM invites WHERE ", $rest)
    };
}

pub(crate) const INVITES: &str =
    invites!("(expires_at IS NULL OR expires_at > $1) ORDER BY created_at DESC, id DESC LIMIT $2");

pub(crate) const INVITES_OF_USER: &str = invites!(
    "(expires_at IS NULL OR expires_at > $1) AND by_user = $3 ORDER BY created_at DESC, id DESC LIMIT $2"
);

pub(crate) const INVITES_TO_ROOM: &str = invites!(
    "(expires_at IS NULL OR expires_at > $1) AND room = $3 ORDER BY created_at DESC, id DESC LIMIT $2"
);

pub(crate) const INVITE: &str = invites!("id = $1 AND (expires_at IS NULL OR expires_at > $2)");

pub(crate) const FIND_INVITE: &str = invites!("secret_hash = $1 AND (expires_at IS NULL OR expires_at > $2)");

const INVITE_EXISTS: &str = "SELECT 1 FROM invites WHERE id = $1";

/// Some with each new one, so that no call waits for many deletions.
const SWEEP_INVITES: &str = "DELETE FROM invites WHERE id IN
     (SELECT id FROM invites WHERE expires_at <= $1 ORDER BY expires_at LIMIT 200)";

pub(crate) const COUNT_INVITES: &str = "SELECT count(*) FROM invites
     WHERE by_user = $1 AND (expires_at IS NULL OR expires_at > $2)";

const ADD_INVITE: &str = "INSERT INTO invites
            (id, secret_hash, by_user, room, uses_max, used, created_at, expires_at)
     VALUES ($1, $2, $3, $4, $5, 0, $6, $7)";

pub(crate) const USE_INVITE: &str = "UPDATE invites SET used = used + 1
     WHERE secret_hash = $1 AND (expires_at IS NULL OR expires_at > $2)
     RETURNING used, uses_max";

const REMOVE_USED: &str = "DELETE FROM invites WHERE secret_hash = $1";

const DELETE_INVITE: &str = "DELETE FROM invites WHERE id = $1 RETURNING 1";

pub(crate) const WITHDRAW_ALL: &str = "DELETE FROM invites WHERE by_user = $1";

pub(crate) const WITHDRAW_FROM_ROOM: &str = "DELETE FROM invites WHERE by_user = $1 AND room = $2";

const HAS_ACCOUNT: &str = "SELECT 1 FROM users WHERE username = $1";

const IS_ADMINISTRATOR: &str = "SELECT 1 FROM administrators WHERE username = $1";

const ADMINISTRATORS: &str = "SELECT username FROM administrators";

/// The update, which changes nothing, makes it return a row for an administrator, too.
const PROMOTE: &str = "INSERT INTO administrators (username, since)
     SELECT username, $2 FROM users WHERE username = $1 AND password_hash LIKE '$%'
         ON CONFLICT (username) DO UPDATE SET since = administrators.since
     RETURNING 1";

const DEMOTE: &str = "DELETE FROM administrators WHERE username = $1";

macro_rules! bans {
    ($rest:literal) => {
        concat!("SELECT username, by_user, at, reason, deletes_topic FROM bans WHERE ", $rest)
    };
}

pub(crate) const FIND_BAN: &str = bans!("username = $1");

pub(crate) const BANS: &str = bans!("username > $1 ORDER BY username LIMIT $2");

/// A deletion that is under way goes on.
const BAN: &str = "INSERT INTO bans (username, by_user, at, reason, deletes_topic, deletes_seq)
     VALUES ($1, $2, $3, $4, $5, $5)
         ON CONFLICT (username) DO UPDATE SET reason = excluded.reason,
            deletes_topic = coalesce(excluded.deletes_topic, bans.deletes_topic),
            deletes_seq = coalesce(excluded.deletes_seq, bans.deletes_seq)";

const UNBAN: &str = "DELETE FROM bans WHERE username = $1 RETURNING 1";

// CROSS JOIN makes SQLite look each ban up by its name.
pub(crate) const BANNED_SQLITE: &str =
    "SELECT b.username FROM jsonb_each($1) AS d CROSS JOIN bans AS b ON b.username = d.value";

pub(crate) const BANNED_POSTGRES: &str = "SELECT b.username
       FROM jsonb_array_elements_text($1::text::jsonb) AS d (name)
       JOIN bans AS b ON b.username = d.name COLLATE \"C\"";

pub(crate) const DELETIONS: &str = "SELECT username, deletes_topic, deletes_seq FROM bans
     WHERE deletes_topic IS NOT NULL ORDER BY username LIMIT $1";

pub(crate) const PART_END: &str = "SELECT topic, seq FROM entries WHERE (topic, seq) > ($1, $2)
     ORDER BY topic, seq LIMIT 1 OFFSET $3";

pub(crate) const MESSAGES_OF: &str = "SELECT t.kind, t.name, t.other, e.seq
       FROM entries AS e CROSS JOIN topics AS t
      WHERE (e.topic, e.seq) > ($1, $2) AND (e.topic, e.seq) <= ($3, $4)
        AND e.sender = $5 AND e.deleted IS NULL AND t.id = e.topic
      ORDER BY e.topic, e.seq";

const SET_DELETION: &str = "UPDATE bans SET deletes_topic = $2, deletes_seq = $3 WHERE username = $1";

pub(crate) const FIND_LINK: &str =
    "SELECT username FROM password_links WHERE secret_hash = $1 AND expires_at > $2";

const SWEEP_LINKS: &str = "DELETE FROM password_links WHERE secret_hash IN
     (SELECT secret_hash FROM password_links WHERE expires_at <= $1 ORDER BY expires_at LIMIT 200)";

const ADD_LINK: &str = "INSERT INTO password_links (secret_hash, username, by_user, expires_at)
     VALUES ($1, $2, $3, $4)
         ON CONFLICT (username) DO UPDATE SET secret_hash = excluded.secret_hash,
            by_user = excluded.by_user, expires_at = excluded.expires_at";

const DROP_LINKS_BY: &str = "DELETE FROM password_links WHERE by_user = $1";

const DROP_LINKS_OF: &str = "DELETE FROM password_links WHERE username = $1";

const TAKE_LINK: &str =
    "DELETE FROM password_links WHERE secret_hash = $1 AND expires_at > $2 RETURNING username";

const SET_PASSWORD: &str = "UPDATE users SET password_hash = $2 WHERE username = $1 RETURNING 1";

const HAS_HASH: &str = "SELECT 1 FROM users WHERE username = $1 AND password_hash = $2";

pub(crate) const OPEN_REPORT: &str = "SELECT id FROM reports
     WHERE reporter = $1 AND kind = $2 AND name = $3 AND other = $4 AND seq = $5 AND state = 1 LIMIT 1";

pub(crate) const COUNT_OPEN: &str = "SELECT count(*) FROM reports WHERE reporter = $1 AND state = 1";

const ADD_REPORT: &str = "INSERT INTO reports (reporter, kind, name, other, seq, reason, at, state)
     VALUES ($1, $2, $3, $4, $5, $6, $7, 1) RETURNING id";

pub(crate) const FORGET_REPORTS: &str = "DELETE FROM reports WHERE id <= $1";

macro_rules! reports {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.kind, r.name, r.other, r.seq, r.reporter, r.reason, r.at, r.state, r.changed_by ",
            $rest
        )
    };
}

const REPORT: &str = reports!("FROM reports AS r WHERE r.id = $1");

pub(crate) const REPORTS: &str = reports!(
    "FROM reports AS r WHERE r.id < $1 AND r.state >= $2 AND r.state <= $3 ORDER BY r.id DESC LIMIT $4"
);

pub(crate) const REPORTS_OF_MODERATOR: &str = reports!(
    "FROM members AS m CROSS JOIN reports AS r
      WHERE m.username = $5 AND m.role = 2 AND r.kind = 1 AND r.name = m.room
        AND r.id < $1 AND r.state >= $2 AND r.state <= $3 ORDER BY r.id DESC LIMIT $4"
);

const CHANGE_REPORT: &str = "UPDATE reports SET state = $2, changed_by = $3 WHERE id = $1";
