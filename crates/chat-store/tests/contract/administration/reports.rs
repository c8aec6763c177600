//! Reports of messages.

use super::*;

every_store! {
    a_report_is_made_once_and_seen_by_moderators,
    a_report_is_not_opened_beside_another_open_one_of_its_user,
    reports_of_one_user_push_out_no_others_and_no_open_ones,
}

async fn a_report_is_made_once_and_seen_by_moderators(store: TestStore) {
    store.accounts("alice bob carol").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    store.change(&create("garden", Access::Open, "bob", &["alice"])).await.unwrap();
    let report =
        |topic, seq, by: &str| NewReport { topic, seq, reporter: name(by), reason: "rude".into(), at_ms: 5 };
    let make = async |report: NewReport| store.administration.create_report(&report).await.unwrap();
    let first = make(report(room("kitchen"), 1, "bob")).await.unwrap();
    assert_eq!(make(report(room("kitchen"), 1, "bob")).await, Some(first));
    let second = make(report(room("kitchen"), 1, "carol")).await.unwrap();
    let third = make(report(pair("alice", "bob"), 1, "bob")).await.unwrap();
    let fourth = make(report(room("garden"), 7, "carol")).await.unwrap();
    assert!(first < second && second < third && third < fourth);
    let list = async |of: ReportsOf<'_>, state, before, max| -> Vec<u64> {
        let reports = store.administration.reports(of, state, before, max).await.unwrap();
        reports.iter().map(|listed| listed.report.id).collect()
    };
    let (alice, carol) = (name("alice"), name("carol"));
    let all = ReportsOf::Everywhere { reader: &carol };
    // Carol reads open rooms, and no conversation of others.
    let seen = async |reader: &str, id: u64| {
        let of = ReportsOf::Everywhere { reader: &name(reader) };
        let listed = store.administration.reports(of, None, Some(id + 1), 1).await.unwrap();
        assert_eq!(listed[0].report.id, id);
        listed[0].is_readable
    };
    assert!(seen("carol", first).await && !seen("carol", third).await && seen("bob", third).await);
    assert_eq!(list(all, None, None, 9).await, [fourth, third, second, first]);
    assert_eq!(list(all, None, Some(third), 1).await, [second]);
    assert_eq!(list(ReportsOf::ModeratedBy(&alice), None, None, 9).await, [second, first]);
    assert_eq!(list(ReportsOf::ModeratedBy(&name("carol")), None, None, 9).await, [0; 0]);
    let change =
        async |id, state| store.administration.change_report(id, state, Some(&alice), 6).await.unwrap();
    for _ in 0..2 {
        assert!(change(first, ReportState::Done).await);
    }
    assert!(!change(999, ReportState::Done).await);
    assert_eq!(list(all, Some(ReportState::Open), None, 9).await, [fourth, third, second]);
    assert_eq!(list(all, Some(ReportState::Done), None, 9).await, [first]);
    let found = store.administration.report(first).await.unwrap().unwrap();
    assert_eq!((found.topic, found.seq, found.reporter), (room("kitchen"), 1, name("bob")));
    assert_eq!((found.state, found.changed_by), (ReportState::Done, Some(alice.clone())));
    assert_eq!(store.administration.report(999).await.unwrap(), None);
    // A message may be reported again once the report was dealt with.
    assert!(make(report(room("kitchen"), 1, "bob")).await.unwrap() > fourth);
    for seq in 10..8 + OPEN_REPORTS_MAX as u64 {
        assert!(make(report(room("garden"), seq, "bob")).await.is_some());
    }
    assert_eq!(make(report(room("garden"), 999, "bob")).await, None);
    assert_eq!(audit(&store).await, [format!(r#"alice: report.change {first} {{"state":"done"}}"#)]);
}

async fn a_report_is_not_opened_beside_another_open_one_of_its_user(store: TestStore) {
    store.accounts("alice bob").await;
    let kitchen = room("kitchen");
    let make =
        async || store.administration.create_report(&report(&kitchen, 1, "bob")).await.unwrap().unwrap();
    let set = async |id, state| store.administration.change_report(id, state, None, 6).await.unwrap();
    let first = make().await;
    assert!(set(first, ReportState::Done).await);
    let second = make().await;
    assert!(set(first, ReportState::Open).await);
    let state = async |id| store.administration.report(id).await.unwrap().unwrap().state;
    assert_eq!((state(first).await, state(second).await), (ReportState::Done, ReportState::Open));
    assert!(set(second, ReportState::Done).await && set(first, ReportState::Open).await);
    assert_eq!((state(first).await, state(second).await), (ReportState::Open, ReportState::Done));
    assert_eq!(audit(&store).await.len(), 3);
}

async fn reports_of_one_user_push_out_no_others_and_no_open_ones(store: TestStore) {
    store.accounts("alice bob mallory").await;
    let kitchen = room("kitchen");
    let create = async |seq, by: &str| {
        store.administration.create_report(&report(&kitchen, seq, by)).await.unwrap().unwrap()
    };
    let done = async |id| store.administration.change_report(id, ReportState::Done, None, 6).await.unwrap();
    let of_bob = create(1, "bob").await;
    assert!(done(of_bob).await);
    let open = create(1, "mallory").await;
    let first = create(2, "mallory").await;
    assert!(done(first).await);
    for seq in 3..4 + DONE_REPORTS_OF_USER_MAX {
        let id = create(seq, "mallory").await;
        assert!(done(id).await);
    }
    create(2, "mallory").await;
    let find = async |id| store.administration.report(id).await.unwrap().map(|report| report.state);
    assert_eq!(find(of_bob).await, Some(ReportState::Done));
    assert_eq!(find(open).await, Some(ReportState::Open));
    assert_eq!(find(first).await, None);
}
