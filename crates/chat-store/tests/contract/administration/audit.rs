//! The audit log.

use super::*;

every_store! {
    calls_at_once_pass_no_limit_and_write_one_entry,
    moderation_of_rooms_is_in_the_audit_log,
    who_deletes_a_message_of_another_user_is_in_the_audit_log,
    what_one_user_does_pushes_out_no_other_entry,
}

async fn calls_at_once_pass_no_limit_and_write_one_entry(store: TestStore) {
    store.accounts("alice bob").await;
    promote(&store, "alice").await;
    store.change(&create("kitchen", Access::Open, "bob", &[])).await.unwrap();
    // Not to a room, whose lock would make them wait for each other.
    for number in 0..INVITES_MAX as u8 - 1 {
        make(&store, invite(number, "alice", None, None, None)).await;
    }
    let kitchen = room("kitchen");
    let first = store.administration.create_report(&report(&kitchen, 1, "bob")).await.unwrap().unwrap();
    for seq in 2..OPEN_REPORTS_MAX as u64 {
        store.administration.create_report(&report(&kitchen, seq, "bob")).await.unwrap().unwrap();
    }
    let entries = audit(&store).await.len();
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(8));
    let tasks: Vec<_> = (0..8u8)
        .map(|number| {
            let (administration, start) = (store.administration.clone(), start.clone());
            let one_more = invite(200 + number, "alice", None, None, None);
            let new = report(&room("kitchen"), 1000 + u64::from(number / 4), "bob");
            tokio::spawn(async move {
                start.wait().await;
                let invited = administration.create_invite(&one_more).await.unwrap().is_ok();
                let reported = administration.create_report(&new).await.unwrap();
                assert!(administration.change_report(first, ReportState::Done, None, 6).await.unwrap());
                let fields = [(ProfileField::Title, Some("Tea"))];
                administration.set_server_profile(&fields, None, 1).await.unwrap();
                (invited, reported)
            })
        })
        .collect();
    let (mut invited, mut reported) = (0, Vec::new());
    for task in tasks {
        let (is_invited, id) = task.await.unwrap();
        invited += usize::from(is_invited);
        reported.extend(id);
    }
    reported.sort_unstable();
    reported.dedup();
    // The first report makes room for one more once it is done.
    assert!((1..=2).contains(&reported.len()), "{reported:?}");
    let reader = name("alice");
    let open = store.administration.reports(
        ReportsOf::Everywhere { reader: &reader },
        Some(ReportState::Open),
        None,
        999,
    );
    assert!(open.await.unwrap().len() <= OPEN_REPORTS_MAX);
    assert_eq!(invited, 1);
    let mut new = audit(&store).await.split_off(entries);
    new.sort();
    assert_eq!(new.len(), 3, "{new:?}");
}

async fn moderation_of_rooms_is_in_the_audit_log(store: TestStore) {
    store.accounts("alice bob carol").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    for _ in 0..2 {
        store.change(&put("kitchen", "alice", "carol", None)).await.unwrap();
        store.change(&put("kitchen", "alice", "bob", Some(Role::Moderator))).await.unwrap();
        store.change(&archive("kitchen", "alice", true)).await.unwrap();
    }
    store.change(&put("kitchen", "bob", "bob", Some(Role::Member))).await.unwrap();
    assert!(store.change(&remove("kitchen", "carol", "bob")).await.is_err());
    for _ in 0..2 {
        store.change(&remove("kitchen", "alice", "bob")).await.unwrap();
    }
    store.change(&leave("kitchen", "carol")).await.unwrap();
    assert_eq!(
        audit(&store).await,
        [
            r#"alice: member.role bob {"role":"moderator","room":"kitchen"}"#,
            r#"alice: room.change kitchen {"archived":true,"changed":["archived"]}"#,
            r#"alice: member.remove bob {"room":"kitchen"}"#,
        ]
    );
    let newest = store.administration.audit(None, 1).await.unwrap();
    assert_eq!(newest[0].target, "bob");
    let rest = store.administration.audit(Some(newest[0].id), 9).await.unwrap();
    assert_eq!(rest.len(), 2);
}

async fn who_deletes_a_message_of_another_user_is_in_the_audit_log(store: TestStore) {
    store.accounts("alice bob carol admin").await;
    promote(&store, "admin").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    let (kitchen, talk) = (room("kitchen"), pair("bob", "carol"));
    store.send("kitchen", "bob", 4, 1000).await;
    store.append(&[private("bob", "carol", "hi")], 1000).await;
    let before = audit(&store).await.len();
    let deletion = |by: &str, seq: u64| delete(&kitchen, by, seq).nonce(&format!("{by} {seq}"));
    // Two of one batch; who is refused, the author, and a message that is deleted write nothing.
    let batch = [deletion("alice", 2), deletion("carol", 3), deletion("admin", 1), deletion("admin", 2)];
    let outcomes = store.append(&batch, 2000).await;
    assert_eq!(outcomes[..3], [stored(5, 2000), Outcome::Forbidden, stored(6, 2000)]);
    // A retry after a lost answer writes no second entry.
    store.append(&batch, 3000).await;
    store.append(&[deletion("bob", 3), delete(&talk, "bob", 1)], 4000).await;
    let anywhere = ChangeRules { deletes_anywhere: true, ..ChangeRules::default() };
    store.append(&[Draft { rules: anywhere, ..deletion("bob", 4) }], 4000).await;
    let entries = store.administration.audit(None, 2).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.at_ms).collect::<Vec<_>>(), [2000, 2000]);
    let mut written = audit(&store).await.split_off(before);
    written.sort();
    assert_eq!(
        written,
        [
            r#"admin: message.delete bob {"room":"kitchen","seq":1}"#,
            r#"alice: message.delete bob {"room":"kitchen","seq":2}"#,
        ]
    );
}

async fn what_one_user_does_pushes_out_no_other_entry(store: TestStore) {
    store.accounts("alice bob carol eve").await;
    promote(&store, "alice").await;
    store.administration.ban(&ban("eve"), Some(&name("alice")), 2).await.unwrap().unwrap();
    store.change(&create("kitchen", Access::Open, "bob", &[])).await.unwrap();
    store.change(&create("garden", Access::Open, "carol", &[])).await.unwrap();
    store.change(&archive("garden", "carol", true)).await.unwrap();
    for number in 0..AUDIT_OF_USER_MAX + 3 {
        store.change(&archive("kitchen", "bob", number % 2 == 0)).await.unwrap();
    }
    let (mut of, mut before) = (std::collections::BTreeMap::<String, u64>::new(), None);
    loop {
        let entries = store.administration.audit(before, 500).await.unwrap();
        let Some(last) = entries.last() else { break };
        before = Some(last.id);
        for entry in &entries {
            *of.entry(entry.by.as_ref().map_or("server", |by| by.as_str()).to_owned()).or_default() += 1;
        }
    }
    let of: Vec<_> = of.iter().map(|(by, count)| (by.as_str(), *count)).collect();
    assert_eq!(of, [("alice", 1), ("bob", AUDIT_OF_USER_MAX), ("carol", 1), ("server", 1)]);
}
