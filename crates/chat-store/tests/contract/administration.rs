//! Administration: what its tests share.

mod audit;
mod bans;
mod invites;
mod password_links;
mod reports;
mod server;

use chat_core::{
    Access, ChangeRefused, ChangeRules, Draft, Outcome, Role, SecretHash, SessionId, WantedChange,
};
use chat_store::{
    AUDIT_OF_USER_MAX, AuditAction, BanRefused, DONE_REPORTS_OF_USER_MAX, INVITES_MAX, Invite, InviteRefused,
    InvitesOf, LogPosition, NewBan, NewInvite, NewPasswordLink, NewReport, NewUser, OPEN_REPORTS_MAX,
    PasswordChange, ProfileField, RegistrationTerms, ReportState, ReportsOf, RoleChange, StoreError,
};

use crate::common::*;

fn session_id(id: &str) -> SessionId {
    SessionId::new(id)
}

fn secret(number: u8) -> SecretHash {
    SecretHash::from_bytes([number; 32])
}

fn invite(number: u8, by: &str, room: Option<&str>, uses: Option<u64>, end_ms: Option<u64>) -> NewInvite {
    NewInvite {
        id: format!("id {number}"),
        secret: secret(number),
        by: name(by),
        room: room.map(room_name),
        uses_max: uses,
        created_at_ms: 10 + u64::from(number),
        expires_at_ms: end_ms,
    }
}

fn accept(room: &str, user: &str, number: u8) -> WantedChange {
    WantedChange::Accept { room: room_name(room), user: name(user), invite: secret(number) }
}

fn new_user(person: &str) -> NewUser {
    let created_at_ms = 50;
    NewUser { name: name(person), password_hash: "$argon2id$x".into(), avatar: None, created_at_ms }
}

/// With an invitation, and without a limit.
fn invited(invite: &SecretHash) -> RegistrationTerms<'_> {
    RegistrationTerms { invite: Some(invite), ..RegistrationTerms::default() }
}

/// The audit log, oldest first: who, what, to whom, details.
async fn audit(store: &TestStore) -> Vec<String> {
    let entries = store.administration.audit(None, 999).await.unwrap();
    let line = |entry: &chat_store::AuditEntry| {
        let by = entry.by.as_ref().map_or("server", |by| by.as_str());
        let details = entry.details.as_ref().map(|details| format!(" {details}")).unwrap_or_default();
        format!("{by}: {} {}{details}", entry.action.as_str(), entry.target)
    };
    entries.iter().rev().map(line).collect()
}

/// Makes an invitation that may be made.
async fn make(store: &TestStore, invite: NewInvite) {
    store.administration.create_invite(&invite).await.unwrap().unwrap();
}

async fn promote(store: &TestStore, user: &str) {
    let set = store.users.set_administrator(&name(user), true, 1).await.unwrap();
    assert_eq!(set, RoleChange::Done);
}

async fn ids(store: &TestStore, of: InvitesOf<'_>) -> Vec<String> {
    let invites = store.administration.invites(of, None, 50, 99).await.unwrap();
    invites.iter().map(|Invite { id, used, .. }| format!("{id} used {used}")).collect()
}

fn ban(user: &str) -> NewBan {
    NewBan { user: name(user), reason: "spam".into(), delete_messages: false, without_account: false }
}

fn report(topic: &chat_core::Topic, seq: u64, by: &str) -> NewReport {
    NewReport { topic: topic.clone(), seq, reporter: name(by), reason: "rude".into(), at_ms: 5 }
}
