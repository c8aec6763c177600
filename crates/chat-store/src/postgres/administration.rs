//! Administration. Each transaction has the same result if it is repeated after its answer was
//! lost.

use chat_core::{SecretHash, SessionId, Username};
use sqlx::postgres::PgConnection;

use super::failure::Failure;
use super::pool::{Pool, write};
use super::roles::ROLES_LOCK;
use super::search::Turn;
use super::{PostgresStore, accounts};
use crate::administration::{NewAudit, database};
use crate::names::RemovedNames;
use crate::{
    AdministrationRepository, AuditAction, AuditEntry, Ban, BanRefused, Deletion, DeletionTurn, Invite,
    InvitePosition, InviteRefused, InvitesOf, ListedReport, LogPosition, MessagesOf, NewBan, NewInvite,
    NewPasswordLink, NewReport, NewUser, ProfileField, RegistrationTerms, Report, ReportState, ReportsOf,
    RoleChange, ServerProfile, StoreError, StoreFuture, rows,
};

impl AdministrationRepository for PostgresStore {
    fn server_profile(&self) -> StoreFuture<'_, ServerProfile> {
        Box::pin(async move { database::profile(&mut &self.pool).await })
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
        Box::pin(database::invites(&self.pool, of, after, now_ms, max))
    }

    fn invite<'a>(&'a self, id: &'a str, now_ms: u64) -> StoreFuture<'a, Option<Invite>> {
        Box::pin(database::invite(&self.pool, id, now_ms))
    }

    fn find_invite<'a>(&'a self, secret: &'a SecretHash, now_ms: u64) -> StoreFuture<'a, Option<Invite>> {
        Box::pin(async move { database::find_invite(&mut &self.pool, secret, now_ms).await })
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
        Box::pin(self.create(user, RemovedNames::StayTaken, terms))
    }

    fn ban<'a>(
        &'a self,
        ban: &'a NewBan,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<Vec<SessionId>, BanRefused>> {
        Box::pin(self.pool.attempts(move || self::ban(&self.pool, ban, by, now_ms)))
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
        Box::pin(database::bans_of(&self.pool, users))
    }

    fn find_ban<'a>(&'a self, user: &'a Username) -> StoreFuture<'a, Option<Ban>> {
        Box::pin(database::find_ban(&self.pool, user))
    }

    fn bans<'a>(&'a self, after: Option<&'a Username>, max: usize) -> StoreFuture<'a, Vec<Ban>> {
        Box::pin(database::bans(&self.pool, after, max))
    }

    fn deletions(&self, max: usize) -> StoreFuture<'_, Vec<Deletion>> {
        Box::pin(database::deletions(&self.pool, max))
    }

    fn deletion_turn(&self) -> StoreFuture<'_, Option<DeletionTurn<'_>>> {
        Box::pin(async move {
            let turn = Turn::take(&self.pool, DELETION_TURN).await?;
            Ok(turn.map(|turn| DeletionTurn::ending(turn.end(&self.pool))))
        })
    }

    fn messages_of<'a>(
        &'a self,
        user: &'a Username,
        after: LogPosition,
        max_entries: usize,
    ) -> StoreFuture<'a, MessagesOf> {
        Box::pin(database::messages_of(&self.pool, user, after, max_entries))
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
        write!(self, Some(ROLES_LOCK), c => self::set_role(c, name, is_administrator, by, now_ms))
    }

    fn set_up<'a>(&'a self, name: &'a Username, now_ms: u64) -> StoreFuture<'a, Option<RoleChange>> {
        write!(self, Some(ROLES_LOCK), c => self::set_up(c, name, now_ms))
    }

    fn set_up_round(&self) -> StoreFuture<'_, u64> {
        Box::pin(database::set_up_round(&self.pool))
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
        write!(self, Some(ROLES_LOCK), c => database::create_password_link(c, link, by, now_ms))
    }

    fn find_password_link<'a>(
        &'a self,
        secret: &'a SecretHash,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<Username>> {
        Box::pin(database::find_password_link(&self.pool, secret, now_ms))
    }

    fn use_password_link<'a>(
        &'a self,
        secret: &'a SecretHash,
        new_hash: &'a str,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<(Username, Vec<SessionId>)>> {
        Box::pin(async move {
            let user = database::find_password_link(&self.pool, secret, now_ms).await?;
            let Some(user) = &user else { return Ok(None) };
            self.pool.attempts(move || use_password_link(&self.pool, user, secret, new_hash, now_ms)).await
        })
    }

    fn reset_password<'a>(
        &'a self,
        name: &'a Username,
        new_hash: &'a str,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<Vec<SessionId>>> {
        Box::pin(self.pool.attempts(move || reset_password(&self.pool, name, new_hash, by, now_ms)))
    }

    fn create_report<'a>(&'a self, report: &'a NewReport) -> StoreFuture<'a, Option<u64>> {
        write!(self, c => database::create_report(c, report))
    }

    fn report(&self, id: u64) -> StoreFuture<'_, Option<Report>> {
        Box::pin(async move { database::report(&mut &self.pool, id).await })
    }

    fn reports<'a>(
        &'a self,
        of: ReportsOf<'a>,
        state: Option<ReportState>,
        before: Option<u64>,
        max: usize,
    ) -> StoreFuture<'a, Vec<ListedReport>> {
        Box::pin(database::reports(&self.pool, of, state, before, max))
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
        Box::pin(database::audit(&self.pool, before, max))
    }
}

/// The advisory lock of the server that deletes the messages of banned users: all versions use
/// the same number.
const DELETION_TURN: i64 = 0x6368_6174_6465_6c65;

async fn set_role(
    connection: &mut PgConnection,
    name: &Username,
    is_administrator: bool,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<RoleChange, Failure> {
    let change = database::set_role(connection, name, is_administrator, by, now_ms).await?;
    tell_of_role(connection, name).await?;
    Ok(change)
}

async fn set_up(
    connection: &mut PgConnection,
    name: &Username,
    now_ms: u64,
) -> Result<Option<RoleChange>, Failure> {
    let change = database::set_up(connection, name, now_ms).await?;
    tell_of_role(connection, name).await?;
    Ok(change)
}

/// Tells the other servers, if the transaction is committed, that a user's role may have changed.
async fn tell_of_role(connection: &mut PgConnection, user: &Username) -> Result<(), Failure> {
    sqlx::query(TELL_OF_ROLE).bind(user.as_str()).execute(connection).await?;
    Ok(())
}

/// A payload has less than 8,000 bytes; a name that is cut is nobody's.
pub(super) const TELL_OF_ROLE: &str =
    "SELECT pg_notify('chat_roles', left($1, 1000)), tell_servers(json_build_object('role_of', $1::text))";

/// Makes an attempt at a ban. The sessions are ended once more after the commit: see
/// [`SessionRepository::open_session`](crate::SessionRepository::open_session), which looks for
/// a ban after it has stored one.
async fn ban(
    pool: &Pool,
    ban: &NewBan,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<Result<Vec<SessionId>, BanRefused>, Failure> {
    let mut connection = pool.begin(Some(ROLES_LOCK)).await?;
    if let Err(refused) = database::ban(&mut connection, ban, by, now_ms).await? {
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await?;
        pool.put_back(connection);
        return Ok(Err(refused));
    }
    sqlx::query(accounts::TELL_OF_BAN).bind(ban.user.as_str()).execute(&mut connection).await?;
    Ok(Ok(commit_and_end_sessions(pool, connection, &ban.user).await?))
}

/// Makes an attempt at a new password by a link of the account `user`.
async fn use_password_link(
    pool: &Pool,
    user: &Username,
    secret: &SecretHash,
    new_hash: &str,
    now_ms: u64,
) -> Result<Option<(Username, Vec<SessionId>)>, Failure> {
    let mut connection = pool.begin(None).await?;
    let used = database::use_password_link(&mut connection, secret, new_hash, now_ms).await?;
    // An earlier attempt whose answer was lost may have used it.
    if used.is_none() && !database::has_hash(&mut connection, user, new_hash).await? {
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await?;
        pool.put_back(connection);
        return Ok(None);
    }
    let user = used.unwrap_or_else(|| user.clone());
    let ended = commit_and_end_sessions(pool, connection, &user).await?;
    Ok(Some((user, ended)))
}

/// Makes an attempt at a new password by an administrator.
async fn reset_password(
    pool: &Pool,
    name: &Username,
    new_hash: &str,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<Option<Vec<SessionId>>, Failure> {
    let mut connection = pool.begin(None).await?;
    if !database::reset_password(&mut connection, name, new_hash, by, now_ms).await? {
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await?;
        pool.put_back(connection);
        return Ok(None);
    }
    Ok(Some(commit_and_end_sessions(pool, connection, name).await?))
}

/// Ends all sessions of a user in a transaction, commits it, and ends those that were opened
/// meanwhile, as [`change_password`](super::accounts) does.
async fn commit_and_end_sessions(
    pool: &Pool,
    mut connection: PgConnection,
    user: &Username,
) -> Result<Vec<SessionId>, Failure> {
    let revoke = || sqlx::query(accounts::REVOKE_SESSIONS_OF).bind(user.as_str());
    let mut ended = revoke().fetch_all(&mut connection).await?;
    sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
    ended.extend(revoke().fetch_all(&mut connection).await?);
    pool.put_back(connection);
    Ok(ended.iter().map(rows::session_id).collect::<Result<_, StoreError>>()?)
}
