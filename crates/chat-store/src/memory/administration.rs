//! Administration in memory: what concerns accounts, sessions and rooms, too.

use chat_core::{Access, Role, RoomAccess, RoomName, SecretHash, SessionId, Topic, Username, WantedChange};
use serde_json::json;

use super::{Inner, MemoryStore};
use crate::administration::{self, NewAudit};
use crate::{
    AdministrationRepository, AuditAction, AuditEntry, Ban, BanRefused, Deletion, Invite, InvitePosition,
    InviteRefused, InvitesOf, ListedReport, LogPosition, MessagesOf, NewBan, NewInvite, NewPasswordLink,
    NewReport, NewUser, ProfileField, RegistrationTerms, Report, ReportState, ReportsOf, RoleChange,
    ServerProfile, StoreError, StoreFuture, Subject, User,
};

impl Inner {
    pub(super) fn set_role(
        &mut self,
        name: &Username,
        is_administrator: bool,
        by: Option<&Username>,
        now_ms: u64,
    ) -> RoleChange {
        let was_administrator = self.administrators.contains_key(name);
        if is_administrator {
            if self.administration.is_banned(name) {
                return RoleChange::Banned;
            }
            if !self.may_administrate(name) {
                return RoleChange::NoPassword;
            }
            if self.administrators.is_empty() {
                self.set_ups += 1;
            }
            self.administrators.entry(name.clone()).or_insert(now_ms);
        } else {
            if self.administrators.len() == 1 && was_administrator {
                return RoleChange::LastAdministrator;
            }
            self.administrators.remove(name);
            self.administration.drop_links_by(name);
            let Self { administration, history, .. } = self;
            administration.withdraw_invites(|invite| {
                let is_member = |room| history.access(name, room).role.is_some();
                invite.by == *name && !invite.room.as_ref().is_some_and(is_member)
            });
        }
        self.history.set_administrator(name, is_administrator);
        if was_administrator != is_administrator {
            self.note(administration::role_changed(name, is_administrator, by, now_ms));
        }
        RoleChange::Done
    }

    /// Whether a user may make this invitation.
    fn may_invite(&self, invite: &NewInvite) -> bool {
        let access = invite.room.as_ref().map(|room| self.history.access(&invite.by, room));
        if access.as_ref().is_some_and(|access| access.role.is_some()) {
            return true;
        }
        let is_open =
            |access: &RoomAccess| access.info.as_ref().is_some_and(|info| info.access == Access::Open);
        access.as_ref().is_none_or(is_open) && self.administrators.contains_key(&invite.by)
    }

    /// An invitation with the title of its room.
    fn titled(&self, invite: &Invite) -> Invite {
        let room = invite.room.as_ref().and_then(|room| self.history.room(room));
        Invite { title: room.map(|(room, _)| room.info.title.clone()), ..invite.clone() }
    }

    fn end_sessions(&mut self, user: &Username) -> Vec<SessionId> {
        self.sessions.extract_if(|_, session| session.user == *user).map(|(id, _)| id).collect()
    }

    fn set_password(&mut self, name: &Username, new_hash: &str) -> bool {
        let user = self.users.get_mut(name);
        user.map(|user| new_hash.clone_into(&mut user.password_hash)).is_some()
    }
}

impl AdministrationRepository for MemoryStore {
    fn server_profile(&self) -> StoreFuture<'_, ServerProfile> {
        Box::pin(async move { Ok(self.lock().administration.profile()) })
    }

    fn set_server_profile<'a>(
        &'a self,
        fields: &'a [(ProfileField, Option<&'a str>)],
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, ServerProfile> {
        Box::pin(async move {
            let mut inner = self.lock();
            let (before, changed) = inner.administration.set_profile(fields);
            if !changed.is_empty() {
                let details = Some(json!({ "changed": changed }));
                let action = AuditAction::ServerChange;
                inner.note(NewAudit { by, at_ms: now_ms, action, target: "", details });
            }
            Ok(before)
        })
    }

    fn create_invite<'a>(&'a self, invite: &'a NewInvite) -> StoreFuture<'a, Result<(), InviteRefused>> {
        Box::pin(async move {
            let mut inner = self.lock();
            if inner.administration.has_invite(&invite.id) {
                return Ok(Ok(()));
            }
            if !inner.may_invite(invite) {
                return Ok(Err(InviteRefused::Forbidden));
            }
            let created = inner.administration.create_invite(invite);
            if created.is_ok() {
                inner.note(administration::invite_created(invite));
            }
            Ok(created)
        })
    }

    fn invites<'a>(
        &'a self,
        of: InvitesOf<'a>,
        after: Option<&'a InvitePosition>,
        now_ms: u64,
        max: usize,
    ) -> StoreFuture<'a, Vec<Invite>> {
        Box::pin(async move {
            let inner = self.lock();
            let is_seen = |reader: &Username, room: &RoomName| {
                let access = inner.history.access(reader, room);
                let is_open = access.info.is_some_and(|info| info.access == Access::Open);
                is_open || access.role.is_some()
            };
            let is_listed = |invite: &Invite| match of {
                InvitesOf::User(user) => invite.by == *user,
                InvitesOf::Others { reader } => {
                    invite.by != *reader && invite.room.as_ref().is_none_or(|room| is_seen(reader, room))
                }
                InvitesOf::Room(room) => invite.room.as_ref() == Some(room),
            };
            let found = inner.administration.invites(is_listed, after, now_ms, max);
            Ok(found.iter().map(|invite| inner.titled(invite)).collect())
        })
    }

    fn invite<'a>(&'a self, id: &'a str, now_ms: u64) -> StoreFuture<'a, Option<Invite>> {
        Box::pin(async move {
            let inner = self.lock();
            Ok(inner.administration.invite(id, now_ms).map(|invite| inner.titled(&invite)))
        })
    }

    fn find_invite<'a>(&'a self, secret: &'a SecretHash, now_ms: u64) -> StoreFuture<'a, Option<Invite>> {
        Box::pin(async move {
            let inner = self.lock();
            Ok(inner.administration.find_invite(secret, now_ms).map(|invite| inner.titled(invite)))
        })
    }

    fn delete_invite<'a>(
        &'a self,
        id: &'a str,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            let is_there = inner.administration.delete_invite(id);
            if is_there {
                let action = AuditAction::InviteDelete;
                inner.note(NewAudit { by, at_ms: now_ms, action, target: id, details: None });
            }
            Ok(is_there)
        })
    }

    fn register<'a>(&'a self, user: &'a NewUser, terms: RegistrationTerms<'a>) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            if let Some(max) = terms.accounts_max.filter(|max| inner.count_users() >= *max) {
                return Err(StoreError::TooManyAccounts { max });
            }
            inner.check_new_name(&user.name)?;
            if terms.subject.is_some_and(|subject| inner.subject(subject).is_some()) {
                return Err(StoreError::NameTaken);
            }
            let give = |inner: &mut Inner| {
                if let Some(Subject { issuer, subject }) = terms.subject {
                    inner.subjects.insert((issuer.to_owned(), subject.to_owned()), user.name.clone());
                }
            };
            let Some(invite) = terms.invite else {
                inner.create(user);
                give(&mut inner);
                return Ok(true);
            };
            let now_ms = user.created_at_ms;
            let found = inner.administration.find_invite(invite, now_ms).map(|found| found.room.clone());
            let Some(room) = found else { return Ok(false) };
            inner.create(user);
            give(&mut inner);
            match room {
                Some(room) => {
                    let accept = WantedChange::Accept { room, user: user.name.clone(), invite: *invite };
                    // Refused only for a room that does not exist: then it is for an account only.
                    if inner.change(&accept, now_ms).is_err() {
                        inner.administration.use_invite(invite);
                    }
                }
                None => inner.administration.use_invite(invite),
            }
            Ok(true)
        })
    }

    fn ban<'a>(
        &'a self,
        ban: &'a NewBan,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<Vec<SessionId>, BanRefused>> {
        Box::pin(async move {
            let mut inner = self.lock();
            if !ban.without_account && !inner.users.contains_key(&ban.user) {
                return Ok(Err(BanRefused::NoUser));
            }
            if inner.administrators.contains_key(&ban.user) {
                return Ok(Err(BanRefused::Administrator));
            }
            if inner.administration.ban(ban, by, now_ms) {
                inner.note(administration::banned(ban, by, now_ms));
            }
            Ok(Ok(inner.end_sessions(&ban.user)))
        })
    }

    fn unban<'a>(
        &'a self,
        user: &'a Username,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            let was_banned = inner.administration.unban(user);
            if was_banned {
                let (action, target) = (AuditAction::UserUnban, user.as_str());
                inner.note(NewAudit { by, at_ms: now_ms, action, target, details: None });
            }
            Ok(was_banned)
        })
    }

    fn bans_of<'a>(&'a self, users: &'a [Username]) -> StoreFuture<'a, Vec<Ban>> {
        Box::pin(async move {
            let inner = self.lock();
            Ok(users.iter().filter_map(|user| inner.administration.find_ban(user)).collect())
        })
    }

    fn find_ban<'a>(&'a self, user: &'a Username) -> StoreFuture<'a, Option<Ban>> {
        Box::pin(async move { Ok(self.lock().administration.find_ban(user)) })
    }

    fn bans<'a>(&'a self, after: Option<&'a Username>, max: usize) -> StoreFuture<'a, Vec<Ban>> {
        Box::pin(async move { Ok(self.lock().administration.bans(after, max)) })
    }

    fn deletions(&self, max: usize) -> StoreFuture<'_, Vec<Deletion>> {
        Box::pin(async move { Ok(self.lock().administration.deletions(max)) })
    }

    /// Looks at the whole log: it is small.
    fn messages_of<'a>(
        &'a self,
        user: &'a Username,
        _after: LogPosition,
        _max_entries: usize,
    ) -> StoreFuture<'a, MessagesOf> {
        Box::pin(
            async move { Ok(MessagesOf { messages: self.lock().history.messages_of(user), next: None }) },
        )
    }

    fn note_deletion<'a>(&'a self, user: &'a Username, upto: Option<LogPosition>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.lock().administration.note_deletion(user, upto);
            Ok(())
        })
    }

    fn set_role<'a>(
        &'a self,
        name: &'a Username,
        is_administrator: bool,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, RoleChange> {
        Box::pin(async move { Ok(self.lock().set_role(name, is_administrator, by, now_ms)) })
    }

    fn set_up<'a>(&'a self, name: &'a Username, now_ms: u64) -> StoreFuture<'a, Option<RoleChange>> {
        Box::pin(async move {
            let mut inner = self.lock();
            if inner.administrators.contains_key(name) {
                return Ok((inner.administrators.len() == 1).then_some(RoleChange::Done));
            }
            if !inner.administrators.is_empty() {
                return Ok(None);
            }
            if inner.administration.is_banned(name) {
                return Ok(Some(RoleChange::Banned));
            }
            if !inner.may_administrate(name) {
                return Ok(Some(RoleChange::NoPassword));
            }
            inner.set_ups += 1;
            inner.administrators.insert(name.clone(), now_ms);
            inner.history.set_administrator(name, true);
            let (action, target) = (AuditAction::Setup, name.as_str());
            let by = Some(name);
            inner.note(NewAudit { by, at_ms: now_ms, action, target, details: None });
            Ok(Some(RoleChange::Done))
        })
    }

    fn set_up_round(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move { Ok(self.lock().set_ups) })
    }

    fn note_account<'a>(
        &'a self,
        action: AuditAction,
        name: &'a Username,
        now_ms: u64,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let target = name.as_str();
            let new = NewAudit { by: None, at_ms: now_ms, action, target, details: None };
            self.lock().note(new);
            Ok(())
        })
    }

    fn create_password_link<'a>(
        &'a self,
        link: &'a NewPasswordLink,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            let may_make = by.is_none_or(|by| inner.administrators.contains_key(by));
            if !may_make || !inner.users.get(&link.user).is_some_and(User::has_password) {
                return Ok(false);
            }
            if inner.administration.create_password_link(link, by, now_ms) {
                let (action, target) = (AuditAction::UserPassword, link.user.as_str());
                inner.note(NewAudit { by, at_ms: now_ms, action, target, details: None });
            }
            Ok(true)
        })
    }

    fn find_password_link<'a>(
        &'a self,
        secret: &'a SecretHash,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<Username>> {
        Box::pin(async move { Ok(self.lock().administration.find_password_link(secret, now_ms)) })
    }

    fn use_password_link<'a>(
        &'a self,
        secret: &'a SecretHash,
        new_hash: &'a str,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<(Username, Vec<SessionId>)>> {
        Box::pin(async move {
            let mut inner = self.lock();
            let user = inner.administration.find_password_link(secret, now_ms);
            inner.administration.take_password_link(secret);
            let Some(user) = user.filter(|user| inner.set_password(user, new_hash)) else { return Ok(None) };
            let ended = inner.end_sessions(&user);
            Ok(Some((user, ended)))
        })
    }

    fn reset_password<'a>(
        &'a self,
        name: &'a Username,
        new_hash: &'a str,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<Vec<SessionId>>> {
        Box::pin(async move {
            let mut inner = self.lock();
            if !inner.set_password(name, new_hash) {
                return Ok(None);
            }
            inner.administration.drop_links_of(name);
            let (action, target) = (AuditAction::UserPassword, name.as_str());
            inner.note(NewAudit { by, at_ms: now_ms, action, target, details: None });
            Ok(Some(inner.end_sessions(name)))
        })
    }

    fn create_report<'a>(&'a self, report: &'a NewReport) -> StoreFuture<'a, Option<u64>> {
        Box::pin(async move { Ok(self.lock().administration.create_report(report)) })
    }

    fn report(&self, id: u64) -> StoreFuture<'_, Option<Report>> {
        Box::pin(async move { Ok(self.lock().administration.report(id)) })
    }

    fn reports<'a>(
        &'a self,
        of: ReportsOf<'a>,
        state: Option<ReportState>,
        before: Option<u64>,
        max: usize,
    ) -> StoreFuture<'a, Vec<ListedReport>> {
        Box::pin(async move {
            let inner = self.lock();
            let is_listed = |report: &Report| match (of, &report.topic) {
                (ReportsOf::Everywhere { .. }, _) => true,
                (ReportsOf::ModeratedBy(user), Topic::Room(room)) => {
                    let role = inner.history.access(user, room).role;
                    role == Some(Role::Moderator)
                }
                (ReportsOf::ModeratedBy(_), Topic::Pair(_)) => false,
            };
            let is_readable = |report: &Report| match (of, &report.topic) {
                (ReportsOf::Everywhere { reader }, Topic::Room(room)) => {
                    inner.history.access(reader, room).may_read(room)
                }
                (ReportsOf::Everywhere { reader }, Topic::Pair(pair)) => {
                    pair.low() == reader || pair.high() == reader
                }
                (ReportsOf::ModeratedBy(_), _) => true,
            };
            let found = inner.administration.reports(is_listed, state, before, max);
            let listed = found.into_iter().map(|report| {
                let is_readable = is_readable(&report);
                ListedReport { report, is_readable }
            });
            Ok(listed.collect())
        })
    }

    fn change_report<'a>(
        &'a self,
        id: u64,
        state: ReportState,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            let changed = inner.administration.change_report(id, state, by);
            if changed == Some(true) {
                inner.note(administration::report_changed(&id.to_string(), state, by, now_ms));
            }
            Ok(changed.is_some())
        })
    }

    fn audit(&self, before: Option<u64>, max: usize) -> StoreFuture<'_, Vec<AuditEntry>> {
        Box::pin(async move { Ok(self.lock().administration.audit(before, max)) })
    }
}
