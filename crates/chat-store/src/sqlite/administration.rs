//! Administration. Changes use the connection that writes.

use chat_core::{SecretHash, SessionId, Username};
use sqlx::sqlite::SqliteConnection;

use super::writer::write;
use super::{SqliteStore, accounts};
use crate::administration::{NewAudit, database};
use crate::names::RemovedNames;
use crate::{
    AdministrationRepository, AuditAction, AuditEntry, Ban, BanRefused, Deletion, Invite, InvitePosition,
    InviteRefused, InvitesOf, ListedReport, LogPosition, MessagesOf, NewBan, NewInvite, NewPasswordLink,
    NewReport, NewUser, ProfileField, RegistrationTerms, Report, ReportState, ReportsOf, RoleChange,
    ServerProfile, StoreError, StoreFuture, rows,
};

impl AdministrationRepository for SqliteStore {
    fn server_profile(&self) -> StoreFuture<'_, ServerProfile> {
        Box::pin(async move { database::profile(&mut &self.readers).await })
    }

    fn set_server_profile<'a>(
        &'a self,
        fields: &'a [(ProfileField, Option<&'a str>)],
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, ServerProfile> {
        write!(self, c => database::set_profile(c, fields, by, now_ms))
    }

    fn create_invite<'a>(&'a self, invite: &'a NewInvite) -> StoreFuture<'a, Result<(), InviteRefused>> {
        write!(self, c => database::create_invite(c, invite))
    }

    fn invites<'a>(
        &'a self,
        of: InvitesOf<'a>,
        after: Option<&'a InvitePosition>,
        now_ms: u64,
        max: usize,
    ) -> StoreFuture<'a, Vec<Invite>> {
        Box::pin(database::invites(&self.readers, of, after, now_ms, max))
    }

    fn invite<'a>(&'a self, id: &'a str, now_ms: u64) -> StoreFuture<'a, Option<Invite>> {
        Box::pin(database::invite(&self.readers, id, now_ms))
    }

    fn find_invite<'a>(&'a self, secret: &'a SecretHash, now_ms: u64) -> StoreFuture<'a, Option<Invite>> {
        Box::pin(async move { database::find_invite(&mut &self.readers, secret, now_ms).await })
    }

    fn delete_invite<'a>(
        &'a self,
        id: &'a str,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        write!(self, c => database::delete_invite(c, id, by, now_ms))
    }

    fn register<'a>(&'a self, user: &'a NewUser, terms: RegistrationTerms<'a>) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            match register(&mut writing.connection, user, terms).await {
                Ok(false) => writing.roll_back().await.map(|()| false),
                work => writing.finish(work).await,
            }
        })
    }

    fn ban<'a>(
        &'a self,
        ban: &'a NewBan,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<Vec<SessionId>, BanRefused>> {
        write!(self, c => self::ban(c, ban, by, now_ms))
    }

    fn unban<'a>(
        &'a self,
        user: &'a Username,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        write!(self, c => database::unban(c, user, by, now_ms))
    }

    fn bans_of<'a>(&'a self, users: &'a [Username]) -> StoreFuture<'a, Vec<Ban>> {
        Box::pin(database::bans_of(&self.readers, users))
    }

    fn find_ban<'a>(&'a self, user: &'a Username) -> StoreFuture<'a, Option<Ban>> {
        Box::pin(database::find_ban(&self.readers, user))
    }

    fn bans<'a>(&'a self, after: Option<&'a Username>, max: usize) -> StoreFuture<'a, Vec<Ban>> {
        Box::pin(database::bans(&self.readers, after, max))
    }

    fn deletions(&self, max: usize) -> StoreFuture<'_, Vec<Deletion>> {
        Box::pin(database::deletions(&self.readers, max))
    }

    fn messages_of<'a>(
        &'a self,
        user: &'a Username,
        after: LogPosition,
        max_entries: usize,
    ) -> StoreFuture<'a, MessagesOf> {
        Box::pin(database::messages_of(&self.readers, user, after, max_entries))
    }

    fn note_deletion<'a>(&'a self, user: &'a Username, upto: Option<LogPosition>) -> StoreFuture<'a, ()> {
        write!(self, c => database::note_deletion(c, user, upto))
    }

    fn set_role<'a>(
        &'a self,
        name: &'a Username,
        is_administrator: bool,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, RoleChange> {
        write!(self, c => database::set_role(c, name, is_administrator, by, now_ms))
    }

    fn set_up<'a>(&'a self, name: &'a Username, now_ms: u64) -> StoreFuture<'a, Option<RoleChange>> {
        write!(self, c => database::set_up(c, name, now_ms))
    }

    fn set_up_round(&self) -> StoreFuture<'_, u64> {
        Box::pin(database::set_up_round(&self.readers))
    }

    fn note_account<'a>(
        &'a self,
        action: AuditAction,
        name: &'a Username,
        now_ms: u64,
    ) -> StoreFuture<'a, ()> {
        let new = move || NewAudit { by: None, at_ms: now_ms, action, target: name.as_str(), details: None };
        write!(self, c => database::note(c, new()))
    }

    fn create_password_link<'a>(
        &'a self,
        link: &'a NewPasswordLink,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        write!(self, c => database::create_password_link(c, link, by, now_ms))
    }

    fn find_password_link<'a>(
        &'a self,
        secret: &'a SecretHash,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<Username>> {
        Box::pin(database::find_password_link(&self.readers, secret, now_ms))
    }

    fn use_password_link<'a>(
        &'a self,
        secret: &'a SecretHash,
        new_hash: &'a str,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<(Username, Vec<SessionId>)>> {
        write!(self, c => self::use_password_link(c, secret, new_hash, now_ms))
    }

    fn reset_password<'a>(
        &'a self,
        name: &'a Username,
        new_hash: &'a str,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<Vec<SessionId>>> {
        write!(self, c => self::reset_password(c, name, new_hash, by, now_ms))
    }

    fn create_report<'a>(&'a self, report: &'a NewReport) -> StoreFuture<'a, Option<u64>> {
        write!(self, c => database::create_report(c, report))
    }

    fn report(&self, id: u64) -> StoreFuture<'_, Option<Report>> {
        Box::pin(async move { database::report(&mut &self.readers, id).await })
    }

    fn reports<'a>(
        &'a self,
        of: ReportsOf<'a>,
        state: Option<ReportState>,
        before: Option<u64>,
        max: usize,
    ) -> StoreFuture<'a, Vec<ListedReport>> {
        Box::pin(database::reports(&self.readers, of, state, before, max))
    }

    fn change_report<'a>(
        &'a self,
        id: u64,
        state: ReportState,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        write!(self, c => database::change_report(c, id, state, by, now_ms))
    }

    fn audit(&self, before: Option<u64>, max: usize) -> StoreFuture<'_, Vec<AuditEntry>> {
        Box::pin(database::audit(&self.readers, before, max))
    }
}

async fn register(
    connection: &mut SqliteConnection,
    user: &NewUser,
    RegistrationTerms { invite, accounts_max, subject }: RegistrationTerms<'_>,
) -> Result<bool, StoreError> {
    database::check_accounts(connection, accounts_max).await??;
    accounts::create(connection, user, RemovedNames::StayTaken).await?;
    if let Some(subject) = subject {
        database::give_account(connection, subject, &user.name).await??;
    }
    match invite {
        Some(invite) => database::admit(connection, invite, &user.name, user.created_at_ms).await,
        None => Ok(true),
    }
}

async fn ban(
    connection: &mut SqliteConnection,
    ban: &NewBan,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<Result<Vec<SessionId>, BanRefused>, StoreError> {
    match database::ban(connection, ban, by, now_ms).await? {
        Ok(()) => Ok(Ok(end_sessions(connection, &ban.user).await?)),
        Err(refused) => Ok(Err(refused)),
    }
}

async fn use_password_link(
    connection: &mut SqliteConnection,
    secret: &SecretHash,
    new_hash: &str,
    now_ms: u64,
) -> Result<Option<(Username, Vec<SessionId>)>, StoreError> {
    let user = database::use_password_link(connection, secret, new_hash, now_ms).await?;
    let Some(user) = user else { return Ok(None) };
    let ended = end_sessions(connection, &user).await?;
    Ok(Some((user, ended)))
}

async fn reset_password(
    connection: &mut SqliteConnection,
    name: &Username,
    new_hash: &str,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<Option<Vec<SessionId>>, StoreError> {
    if !database::reset_password(connection, name, new_hash, by, now_ms).await? {
        return Ok(None);
    }
    end_sessions(connection, name).await.map(Some)
}

async fn end_sessions(
    connection: &mut SqliteConnection,
    user: &Username,
) -> Result<Vec<SessionId>, StoreError> {
    let ended = sqlx::query(accounts::REVOKE_SESSIONS_OF).bind(user.as_str()).fetch_all(connection).await;
    ended.map_err(StoreError::unavailable)?.iter().map(rows::session_id).collect()
}
