//! Pages of a topic.

use chat_core::{Page, PageFrom, PageLimits, Topic};

use crate::common::{ALL, TestStore, draft, pair, room, seqs};

every_store! {
    pages_go_in_both_directions,
    a_page_ends_at_its_limits,
    an_unknown_topic_is_an_empty_one,
}

async fn pages_go_in_both_directions(store: TestStore) {
    let kitchen = ten_in_the_kitchen(&store).await;
    let limits = PageLimits { entries: 3, bytes: usize::MAX };
    for (from, expected) in [
        (PageFrom::Latest, vec![8, 9, 10]),
        (PageFrom::After(0), vec![1, 2, 3]),
        (PageFrom::After(1), vec![2, 3, 4]),
        (PageFrom::After(8), vec![9, 10]),
        (PageFrom::After(10), vec![]),
        (PageFrom::After(11), vec![]),
        (PageFrom::After(u64::MAX), vec![]),
        (PageFrom::Before(11), vec![8, 9, 10]),
        (PageFrom::Before(5), vec![2, 3, 4]),
        (PageFrom::Before(3), vec![1, 2]),
        (PageFrom::Before(1), vec![]),
        (PageFrom::Before(0), vec![]),
        (PageFrom::Before(u64::MAX), vec![8, 9, 10]),
    ] {
        let page = store.log.page(&kitchen, from, limits).await.unwrap();
        assert_eq!(seqs(&page), expected, "{from:?}");
        assert_eq!((page.first, page.last), (1, 10), "{from:?}");
    }
    assert_eq!(seqs(&store.all(&kitchen).await), (1..=10).collect::<Vec<_>>());
}

async fn a_page_ends_at_its_limits(store: TestStore) {
    let kitchen = ten_in_the_kitchen(&store).await;
    for (entries, bytes, latest, after, before) in [
        (5, 12, vec![8, 9, 10], vec![3, 4, 5], vec![4, 5, 6]),
        (5, 15, vec![8, 9, 10], vec![3, 4, 5], vec![4, 5, 6]),
        (2, 12, vec![9, 10], vec![3, 4], vec![5, 6]),
        // A page has at least one entry, however small the limits.
        (5, 3, vec![10], vec![3], vec![6]),
        (5, 0, vec![10], vec![3], vec![6]),
        (0, 100, vec![10], vec![3], vec![6]),
        (usize::MAX, 8, vec![9, 10], vec![3, 4], vec![5, 6]),
    ] {
        let limits = PageLimits { entries, bytes };
        for (from, expected) in
            [(PageFrom::Latest, latest), (PageFrom::After(2), after), (PageFrom::Before(7), before)]
        {
            let page = store.log.page(&kitchen, from, limits).await.unwrap();
            assert_eq!(seqs(&page), expected, "{from:?} {limits:?}");
        }
    }
}

async fn an_unknown_topic_is_an_empty_one(store: TestStore) {
    for topic in [room("cellar"), pair("nobody", "noone")] {
        for from in [PageFrom::Latest, PageFrom::After(0), PageFrom::Before(9)] {
            let page = store.log.page(&topic, from, ALL).await.unwrap();
            assert_eq!(page, Page { first: 1, ..Page::default() });
        }
    }
}

async fn ten_in_the_kitchen(store: &TestStore) -> Topic {
    let kitchen = room("kitchen");
    for batch in [1..=3_u32, 4..=4, 5..=10] {
        // Entries of another topic in between show that each topic has numbers of its own.
        store.append(&[draft(&room("garden"), "bob", "x")], 1).await;
        let batch: Vec<_> = batch.map(|_| draft(&kitchen, "alice", "four")).collect();
        store.append(&batch, 1).await;
    }
    kitchen
}
