//! The private conversations of a user.

use crate::common::{TestStore, draft, name, private, room};

every_store! {
    conversations_are_listed_newest_first,
}

async fn conversations_are_listed_newest_first(store: TestStore) {
    for person in ["alice", "bob", "Eve", "Яна"] {
        store.account(person).await;
    }
    let of = async |person: &str, limit| {
        let found = store.log.conversations(&name(person), limit).await.unwrap();
        let latest: Vec<_> =
            found.latest.iter().map(|state| (state.with.as_str().to_owned(), state.top)).collect();
        (latest, found.has_more)
    };
    assert_eq!(of("bob", 10).await, (vec![], false));
    let drafts = [private("alice", "bob", "1"), private("bob", "alice", "2"), private("alice", "Eve", "3")];
    for (at_ms, draft) in (1000..).zip(drafts) {
        store.append(&[draft], at_ms).await;
    }
    store.append(&[draft(&room("bob"), "bob", "not private")], 1004).await;
    store.append(&[private("Яна", "bob", "4")], 1005).await;
    store.append(&[private("bob", "bob", "5")], 1006).await;
    let with = |name: &str, seq| (name.to_owned(), seq);
    assert_eq!(of("bob", 10).await, (vec![with("bob", 1), with("Яна", 1), with("alice", 2)], false));
    assert_eq!(of("bob", 2).await, (vec![with("bob", 1), with("Яна", 1)], true));
    assert_eq!(of("alice", 2).await, (vec![with("Eve", 1), with("bob", 2)], false));
    assert_eq!(of("bo", 2).await, (vec![], false));
}
