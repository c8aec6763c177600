//! Administration in memory.

use std::collections::{BTreeMap, BTreeSet};

use chat_core::{RoomName, SecretHash, Username};

use super::audit::Part;
use super::{
    AUDIT_MAX, AuditEntry, Ban, DONE_REPORTS_MAX, DONE_REPORTS_OF_USER_MAX, Deletion, INVITES_MAX, Invite,
    InvitePosition, InviteRefused, LogPosition, NewAudit, NewBan, NewInvite, NewPasswordLink, NewReport,
    OPEN_REPORTS_MAX, ProfileField, Report, ReportState, ServerProfile,
};

/// What a store in memory keeps of administration. It knows no accounts, sessions or rooms.
#[derive(Default)]
pub(crate) struct Administration {
    profile: ServerProfile,
    /// By their secrets.
    invites: BTreeMap<SecretHash, Invite>,
    bans: BTreeMap<Username, Ban>,
    deletions: BTreeMap<Username, LogPosition>,
    /// By their secrets: the account, and when the link ends.
    links: BTreeMap<SecretHash, Link>,
    reports: BTreeMap<u64, Report>,
    last_report: u64,
    audit: BTreeMap<u64, (Part, AuditEntry)>,
    last_audit: u64,
    /// Members whom somebody else has removed from a room.
    removed: BTreeSet<(RoomName, Username)>,
}

/// A link that sets the password of an account.
#[derive(Debug)]
struct Link {
    user: Username,
    /// The administrator who has made it; `None` for the operator.
    by: Option<Username>,
    end_ms: u64,
}

impl Administration {
    /// Writes an entry of the audit log. It looks at the whole log, which is small.
    pub(crate) fn note(&mut self, part: Part, new: NewAudit<'_>) {
        self.last_audit += 1;
        let id = self.last_audit;
        let NewAudit { by, at_ms, action, target, details } = new;
        let entry = AuditEntry { id, at_ms, by: by.cloned(), action, target: target.to_owned(), details };
        self.audit.insert(id, (part, entry));
        if by.is_some() {
            self.forget_audit(part.max_of_user(), |kept, entry| kept == part && entry.by.as_ref() == by);
        }
        self.forget_audit(AUDIT_MAX, |kept, _| kept == part);
    }

    /// Removes the oldest of some entries beyond a number.
    fn forget_audit(&mut self, max: u64, is_counted: impl Fn(Part, &AuditEntry) -> bool) {
        let counted = self.audit.iter().rev().filter(|(_, (part, entry))| is_counted(*part, entry));
        if let Some(id) = counted.map(|(id, _)| *id).nth(max as usize) {
            self.audit.remove(&id);
        }
    }

    pub(crate) fn audit(&self, before: Option<u64>, max: usize) -> Vec<AuditEntry> {
        let before = self.audit.range(..before.unwrap_or(u64::MAX));
        before.rev().take(max).map(|(_, (_, entry))| entry.clone()).collect()
    }

    pub(crate) fn profile(&self) -> ServerProfile {
        self.profile.clone()
    }

    /// Sets fields. Returns the profile before, and the names of the fields that changed.
    pub(crate) fn set_profile(
        &mut self,
        fields: &[(ProfileField, Option<&str>)],
    ) -> (ServerProfile, Vec<&'static str>) {
        let (before, mut changed) = (self.profile.clone(), Vec::new());
        for (field, value) in fields {
            let kept = self.profile.field(*field);
            if kept.as_deref() != *value {
                *kept = value.map(str::to_owned);
                changed.push(field.as_str());
            }
        }
        (before, changed)
    }

    pub(crate) fn has_invite(&self, id: &str) -> bool {
        self.invites.values().any(|known| known.id == id)
    }

    /// Stores a new invitation of a user who may make it.
    pub(crate) fn create_invite(&mut self, invite: &NewInvite) -> Result<(), InviteRefused> {
        let now_ms = invite.created_at_ms;
        self.invites.retain(|_, known| can_be_used(known, now_ms));
        if self.invites.values().filter(|known| known.by == invite.by).count() >= INVITES_MAX {
            return Err(InviteRefused::TooMany { max: INVITES_MAX });
        }
        let NewInvite { id, secret, by, room, uses_max, created_at_ms, expires_at_ms } = invite.clone();
        let kept = Invite { id, by, room, uses_max, used: 0, created_at_ms, expires_at_ms, title: None };
        self.invites.insert(secret, kept);
        Ok(())
    }

    /// Invitations that `is_listed` accepts, the newest first.
    pub(crate) fn invites(
        &self,
        is_listed: impl Fn(&Invite) -> bool,
        after: Option<&InvitePosition>,
        now_ms: u64,
        max: usize,
    ) -> Vec<Invite> {
        let is_listed = |invite: &&Invite| {
            let is_behind = after.is_none_or(|after| invite.position() < *after);
            is_behind && can_be_used(invite, now_ms) && is_listed(invite)
        };
        let mut invites: Vec<Invite> = self.invites.values().filter(is_listed).cloned().collect();
        invites.sort_by_key(|invite| std::cmp::Reverse(invite.position()));
        invites.truncate(max);
        invites
    }

    pub(crate) fn invite(&self, id: &str, now_ms: u64) -> Option<Invite> {
        self.invites.values().find(|invite| invite.id == id && can_be_used(invite, now_ms)).cloned()
    }

    pub(crate) fn find_invite(&self, secret: &SecretHash, now_ms: u64) -> Option<&Invite> {
        self.invites.get(secret).filter(|invite| can_be_used(invite, now_ms))
    }

    /// Uses an invitation that can be used.
    pub(crate) fn use_invite(&mut self, secret: &SecretHash) {
        if let Some(invite) = self.invites.get_mut(secret) {
            invite.used += 1;
            if invite.uses_max.is_some_and(|max| invite.used >= max) {
                self.invites.remove(secret);
            }
        }
    }

    pub(crate) fn delete_invite(&mut self, id: &str) -> bool {
        let before = self.invites.len();
        self.invites.retain(|_, invite| invite.id != id);
        self.invites.len() < before
    }

    /// Withdraws the invitations that `is_withdrawn` accepts.
    pub(crate) fn withdraw_invites(&mut self, is_withdrawn: impl Fn(&Invite) -> bool) {
        self.invites.retain(|_, invite| !is_withdrawn(invite));
    }

    pub(crate) fn remember_removal(&mut self, room: &RoomName, user: &Username) {
        self.removed.insert((room.clone(), user.clone()));
    }

    pub(crate) fn forget_removal(&mut self, room: &RoomName, user: &Username) {
        self.removed.remove(&(room.clone(), user.clone()));
    }

    pub(crate) fn was_removed(&self, room: &RoomName, user: &Username) -> bool {
        self.removed.contains(&(room.clone(), user.clone()))
    }

    /// Ends what a removed account has made and was given that would let somebody in.
    pub(crate) fn forget_user(&mut self, user: &Username) {
        self.invites.retain(|_, invite| invite.by != *user);
        self.drop_links_by(user);
        self.drop_links_of(user);
        if !self.deletions.contains_key(user) {
            self.bans.remove(user);
        }
        self.removed.retain(|(_, removed)| removed != user);
    }

    /// Bans a user who may be banned. Returns whether anything changed.
    pub(crate) fn ban(&mut self, new: &NewBan, by: Option<&Username>, now_ms: u64) -> bool {
        let user = &new.user;
        let starts = new.delete_messages && !self.deletions.contains_key(user);
        let known = self.bans.get(user).is_some_and(|ban| ban.reason == new.reason);
        if known && !starts {
            return false;
        }
        if starts {
            self.deletions.insert(user.clone(), LogPosition::default());
        }
        self.drop_links_of(user);
        let ban = self.bans.entry(user.clone()).or_insert_with(|| Ban {
            user: user.clone(),
            by: by.cloned(),
            at_ms: now_ms,
            reason: String::new(),
            is_deleting: false,
        });
        ban.reason.clone_from(&new.reason);
        self.invites.retain(|_, invite| invite.by != *user);
        true
    }

    pub(crate) fn unban(&mut self, user: &Username) -> bool {
        self.deletions.remove(user);
        self.bans.remove(user).is_some()
    }

    pub(crate) fn is_banned(&self, user: &Username) -> bool {
        self.bans.contains_key(user)
    }

    pub(crate) fn find_ban(&self, user: &Username) -> Option<Ban> {
        let ban = self.bans.get(user)?;
        Some(Ban { is_deleting: self.deletions.contains_key(user), ..ban.clone() })
    }

    pub(crate) fn bans(&self, after: Option<&Username>, max: usize) -> Vec<Ban> {
        let names = self.bans.keys().filter(|name| after.is_none_or(|after| *name > after));
        names.take(max).filter_map(|name| self.find_ban(name)).collect()
    }

    pub(crate) fn deletions(&self, max: usize) -> Vec<Deletion> {
        let deletion = |(user, upto): (&Username, &LogPosition)| {
            let banned_at_ms = self.bans.get(user)?.at_ms;
            Some(Deletion { user: user.clone(), banned_at_ms, upto: *upto })
        };
        self.deletions.iter().filter_map(deletion).take(max).collect()
    }

    pub(crate) fn note_deletion(&mut self, user: &Username, upto: Option<LogPosition>) {
        match upto {
            Some(upto) => {
                if let Some(kept) = self.deletions.get_mut(user) {
                    *kept = upto;
                }
            }
            None => drop(self.deletions.remove(user)),
        }
    }

    /// Stores a link of an account that there is. Returns whether it is new.
    pub(crate) fn create_password_link(
        &mut self,
        link: &NewPasswordLink,
        by: Option<&Username>,
        now_ms: u64,
    ) -> bool {
        if self.find_password_link(&link.secret, now_ms).is_some() {
            return false;
        }
        self.links.retain(|_, kept| kept.user != link.user && now_ms < kept.end_ms);
        let new = Link { user: link.user.clone(), by: by.cloned(), end_ms: link.expires_at_ms };
        self.links.insert(link.secret, new);
        true
    }

    pub(crate) fn find_password_link(&self, secret: &SecretHash, now_ms: u64) -> Option<Username> {
        self.links.get(secret).filter(|link| now_ms < link.end_ms).map(|link| link.user.clone())
    }

    /// Ends the links that a user has made, who is no administrator any more.
    pub(crate) fn drop_links_by(&mut self, by: &Username) {
        self.links.retain(|_, link| link.by.as_ref() != Some(by));
    }

    /// Ends the link that sets the password of an account.
    pub(crate) fn drop_links_of(&mut self, user: &Username) {
        self.links.retain(|_, link| link.user != *user);
    }

    pub(crate) fn take_password_link(&mut self, secret: &SecretHash) {
        self.links.remove(secret);
    }

    pub(crate) fn create_report(&mut self, new: &NewReport) -> Option<u64> {
        let open = || {
            let open = self.reports.values().filter(|report| report.state == ReportState::Open);
            open.filter(|report| report.reporter == new.reporter)
        };
        if let Some(report) = open().find(|report| report.topic == new.topic && report.seq == new.seq) {
            return Some(report.id);
        }
        if open().count() >= OPEN_REPORTS_MAX {
            return None;
        }
        self.last_report += 1;
        let id = self.last_report;
        let NewReport { topic, seq, reporter, reason, at_ms } = new.clone();
        let state = ReportState::Open;
        let report = Report { id, topic, seq, reporter, reason, at_ms, state, changed_by: None };
        self.reports.insert(id, report);
        self.forget_done(DONE_REPORTS_OF_USER_MAX, |report| report.reporter == new.reporter);
        self.forget_done(DONE_REPORTS_MAX, |_| true);
        Some(id)
    }

    /// Removes the oldest of some reports that are done, beyond a number.
    fn forget_done(&mut self, max: u64, is_counted: impl Fn(&Report) -> bool) {
        let done = self.reports.values().rev().filter(|report| report.state == ReportState::Done);
        let beyond: Vec<u64> =
            done.filter(|report| is_counted(report)).skip(max as usize).map(|report| report.id).collect();
        for id in beyond {
            self.reports.remove(&id);
        }
    }

    pub(crate) fn report(&self, id: u64) -> Option<Report> {
        self.reports.get(&id).cloned()
    }

    /// Reports that `is_listed` accepts, the newest first.
    pub(crate) fn reports(
        &self,
        is_listed: impl Fn(&Report) -> bool,
        state: Option<ReportState>,
        before: Option<u64>,
        max: usize,
    ) -> Vec<Report> {
        let before = self.reports.range(..before.unwrap_or(u64::MAX)).rev();
        let listed = before.map(|(_, report)| report).filter(|report| is_listed(report));
        listed.filter(|report| state.is_none_or(|state| report.state == state)).take(max).cloned().collect()
    }

    /// Changes the state of a report. Returns whether it changed; `None` if there is none.
    pub(crate) fn change_report(
        &mut self,
        id: u64,
        state: ReportState,
        by: Option<&Username>,
    ) -> Option<bool> {
        let report = self.reports.get(&id)?;
        let has_another = self.reports.values().any(|other| {
            let is_same = other.reporter == report.reporter && other.topic == report.topic;
            is_same && other.seq == report.seq && other.state == ReportState::Open
        });
        let is_changed = report.state != state && (state == ReportState::Done || !has_another);
        if is_changed && let Some(report) = self.reports.get_mut(&id) {
            report.state = state;
            report.changed_by = by.cloned();
        }
        Some(is_changed)
    }
}

/// One that is used up is removed.
fn can_be_used(invite: &Invite, now_ms: u64) -> bool {
    invite.expires_at_ms.is_none_or(|end_ms| now_ms < end_ms)
}
