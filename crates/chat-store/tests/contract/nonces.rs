//! Retries: a nonce that its author used before.

use crate::common::{TestStore, WithNonce as _, draft, duplicate, pair, private, room, stored, texts};

every_store! {
    a_retry_in_the_same_batch_is_stored_once,
    a_retry_in_a_later_batch_gets_the_first_result_whatever_it_contains,
    a_nonce_belongs_to_its_author,
}

async fn a_retry_in_the_same_batch_is_stored_once(store: TestStore) {
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    let outcomes = store
        .append(
            &[
                draft(&kitchen, "alice", "other"),
                draft(&kitchen, "alice", "first").nonce("n"),
                draft(&garden, "alice", "second").nonce("n"),
                draft(&pair("alice", "nobody"), "alice", "third").nonce("n"),
                draft(&kitchen, "alice", "next").nonce("m"),
            ],
            1000,
        )
        .await;
    let first = duplicate(&kitchen, 2, 1000);
    assert_eq!(outcomes, [stored(1, 1000), stored(2, 1000), first.clone(), first, stored(3, 1000)]);
    assert_eq!(texts(&store.all(&kitchen).await), ["other", "first", "next"]);
    assert_eq!(store.all(&garden).await.last, 0);
}

async fn a_retry_in_a_later_batch_gets_the_first_result_whatever_it_contains(store: TestStore) {
    store.account("bob").await;
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    store.append(&[draft(&kitchen, "alice", "a"), draft(&kitchen, "alice", "b").nonce("n")], 1000).await;
    store.append(&[private("alice", "bob", "c").nonce("p")], 1500).await;
    let outcomes = store
        .append(
            &[
                draft(&kitchen, "alice", "b").nonce("n"),
                draft(&garden, "alice", "b").nonce("n"),
                draft(&pair("alice", "nobody"), "alice", "b").nonce("n"),
                draft(&garden, "alice", "c").nonce("p"),
                draft(&garden, "alice", "new").nonce("q"),
                draft(&garden, "alice", "newer"),
            ],
            2000,
        )
        .await;
    let (b, c) = (duplicate(&kitchen, 2, 1000), duplicate(&pair("alice", "bob"), 1, 1500));
    assert_eq!(outcomes, [b.clone(), b.clone(), b.clone(), c, stored(1, 2000), stored(2, 2000)]);
    // A batch of retries alone writes nothing.
    assert_eq!(store.append(&[draft(&kitchen, "alice", "x").nonce("n")], 3000).await, [b]);
    assert_eq!(texts(&store.all(&kitchen).await), ["a", "b"]);
    assert_eq!(texts(&store.all(&garden).await), ["new", "newer"]);
}

async fn a_nonce_belongs_to_its_author(store: TestStore) {
    let kitchen = room("kitchen");
    let (alices, bobs) = (draft(&kitchen, "alice", "a").nonce("n"), draft(&kitchen, "bob", "b").nonce("n"));
    assert_eq!(store.append(&[alices.clone(), bobs.clone()], 1).await, [stored(1, 1), stored(2, 1)]);
    assert_eq!(
        store.append(&[bobs, alices], 2).await,
        [duplicate(&kitchen, 2, 1), duplicate(&kitchen, 1, 1)]
    );
}
