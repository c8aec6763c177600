//! The first administrator, and the profile of the server.

use super::*;

every_store! {
    only_the_first_account_is_set_up,
    the_profile_is_what_was_changed,
}

async fn only_the_first_account_is_set_up(store: TestStore) {
    store.accounts("alice bob").await;
    let set_up = async |user: &str| store.administration.set_up(&name(user), 5).await.unwrap();
    assert_eq!(set_up("eve").await, Some(RoleChange::NoPassword));
    assert_eq!(store.administration.set_up_round().await.unwrap(), 0);
    for _ in 0..2 {
        assert_eq!(set_up("alice").await, Some(RoleChange::Done));
    }
    assert_eq!(set_up("bob").await, None);
    assert_eq!(store.users.administrators().await.unwrap(), [name("alice")]);
    assert_eq!(audit(&store).await, ["alice: setup alice"]);
    // Each first administrator ends a round, and no other one does.
    store.users.set_administrator(&name("bob"), true, 6).await.unwrap();
    assert_eq!(store.administration.set_up_round().await.unwrap(), 1);
    for user in ["alice", "bob"] {
        store.users.remove_user(&name(user)).await.unwrap();
    }
    store.accounts("carol").await;
    store.users.set_administrator(&name("carol"), true, 7).await.unwrap();
    assert_eq!(store.administration.set_up_round().await.unwrap(), 2);
    store.administration.note_account(AuditAction::UserRemove, &name("bob"), 8).await.unwrap();
    assert_eq!(audit(&store).await.last().unwrap(), "server: user.remove bob");
}

async fn the_profile_is_what_was_changed(store: TestStore) {
    let by = name("admin");
    let read = async || store.administration.server_profile().await.unwrap();
    assert_eq!(read().await, Default::default());
    let set = async |fields: &[(ProfileField, Option<&str>)]| {
        store.administration.set_server_profile(fields, Some(&by), 1).await.unwrap()
    };
    let fields = [(ProfileField::Title, Some("Tea")), (ProfileField::Logo, Some("/uploads/a.webp"))];
    for _ in 0..2 {
        set(&fields).await;
    }
    let before = set(&[(ProfileField::Logo, None), (ProfileField::Accent, Some("teal"))]).await;
    assert_eq!(before.logo.as_deref(), Some("/uploads/a.webp"));
    let now = read().await;
    assert_eq!((now.title.as_deref(), now.logo.as_deref()), (Some("Tea"), None));
    assert_eq!((now.accent.as_deref(), now.welcome.as_deref()), (Some("teal"), None));
    assert_eq!(
        audit(&store).await,
        [
            r#"admin: server.change  {"changed":["title","logo"]}"#,
            r#"admin: server.change  {"changed":["logo","accent"]}"#,
        ]
    );
}
