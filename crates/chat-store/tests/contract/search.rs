//! The search of messages: the same results in every store.

use chat_core::{Access, Draft, RoomName, SearchPosition, SearchScope, SearchedWords, Topic, Username};
use chat_store::{Retention, SearchPage, SearchQuery, TrimPosition};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

use crate::common::{
    TestStore, checked, close, create, delete, draft, edit, leave, name, pair, private, put, react, remove,
    room,
};

every_store! {
    words_are_found_as_every_store_finds_them,
    a_search_is_restricted_to_a_place_and_an_author,
    only_what_a_user_may_read_is_found,
    a_message_is_found_as_it_is_now,
    a_message_that_was_taken_back_is_not_found_by_an_index_that_is_behind,
    pages_follow_one_another,
    messages_that_nobody_may_read_leave_no_trace,
    what_retention_removes_is_not_found,
    the_newest_closed_rooms_of_a_user_are_searched,
    any_number_of_rooms_may_be_closed_later,
    phrases_of_common_words_are_found_where_they_are,
    the_index_can_be_made_anew,
    the_index_goes_on_after_a_restart,
    random_searches_find_what_a_store_without_an_index_finds,
}

/// The search of a user, of which tests change parts.
fn query(text: &str) -> SearchQuery {
    SearchQuery {
        words: SearchedWords::parse(text).unwrap(),
        scope: SearchScope::All,
        from: None,
        before: None,
        limit: 50,
    }
}

fn in_room(text: &str, room: &str) -> SearchQuery {
    SearchQuery { scope: SearchScope::Room(RoomName::parse(room).unwrap()), ..query(text) }
}

fn with(text: &str, user: &str) -> SearchQuery {
    SearchQuery { scope: SearchScope::With(name(user)), ..query(text) }
}

fn from(query: SearchQuery, user: &str) -> SearchQuery {
    SearchQuery { from: Some(name(user)), ..query }
}

/// Brings the index up to date.
async fn index(store: &TestStore) {
    while store.search.index_some(7).await.unwrap().has_more {}
}

async fn page(store: &TestStore, reader: &str, query: &SearchQuery) -> SearchPage {
    let page = store.search.search(&name(reader), query).await.unwrap();
    assert!(page.messages.len() <= query.limit.max(1));
    page
}

/// Everything that a search finds, in short (`kitchen/2`, `alice+bob/1`), over all pages.
async fn find(store: &TestStore, reader: &str, query: &SearchQuery) -> String {
    let (mut found, mut query) = (Vec::new(), query.clone());
    loop {
        let page = page(store, reader, &query).await;
        found.extend(page.messages.iter().map(|message| {
            let place = match &message.topic {
                Topic::Room(room) => room.as_str().to_owned(),
                Topic::Pair(pair) => format!("{}+{}", pair.low(), pair.high()),
            };
            format!("{place}/{}", message.seq)
        }));
        match page.next {
            Some(next) => {
                assert!(query.before.is_none_or(|before| next < before), "{next:?}");
                query.before = Some(next);
            }
            None => return found.join(" "),
        }
    }
}

/// Stores each text in the kitchen, a second after the one before, and indexes them.
async fn corpus(store: &TestStore, texts: &[&str]) {
    for (number, text) in (1..).zip(texts) {
        store.append(&[draft(&room("kitchen"), "alice", text)], number * 1000).await;
    }
    index(store).await;
}

async fn words_are_found_as_every_store_finds_them(store: TestStore) {
    corpus(
        &store,
        &[
            /* 1 */ "Съешь ещё этих мягких французских булок, да выпей чаю.",
            /* 2 */ "The quick brown fox jumps over the lazy dog",
            /* 3 */ "Ёлка и йод — ПРИВЕТ, Мир!",
            /* 4 */ "см. https://example.org/путь?x=1 и foo_bar@example.com",
            /* 5 */ "Café naïve Straße ＦＵＬＬ ﬁn",
            /* 6 */ "don't stop: it's O’Neil's \"quoted\" 'text' a:b & (c|d) !e* f\\g",
            /* 7 */ "私は日本語を話す 👍🏽 ok",
            /* 8 */ "кто-то где-нибудь когда-либо",
            /* 9 */ "привет приветствие приветливый при",
            /* 10 */ "NOT fox AND dog OR NEAR(quick, 2)",
            /* 11 */ "… — !!!",
            /* 12 */ &"очень ".repeat(3000),
            /* 13 */ &format!("{} иголка в стоге", "сено ".repeat(2990)),
            /* 14 */ "שָׁלוֹם مَرْحَبًا हिन्दी ไทย",
        ],
    )
    .await;
    for (searched, expected) in [
        ("мягких булок", "1"),
        ("БУЛОК ЕЩЕ съешь ", "1"),
        ("фран", "1"),
        ("фран ", ""),
        ("\"мягких французских\"", "1"),
        ("\"французских мягких\"", ""),
        ("«булок да выпей»", "1"),
        ("булок да вы", "1"),
        ("fox", "10 2"),
        ("dog fox", "10 2"),
        ("fox dog quick", "10 2"),
        ("\"lazy dog\"", "2"),
        ("\"fox and\"", "10"),
        ("NOT", "10"),
        ("NEAR(quick, 2)", "10"),
        ("OR ", "10"),
        ("елка", "3"),
        ("ИОД", ""),
        ("йод", "3"),
        ("привет", "9 3"),
        ("привет ", "9 3"),
        ("приветс", "9"),
        ("привет, мир", "3"),
        ("п", "9 4 3"),
        ("при п", "9"),
        ("example", "4"),
        ("example.org", "4"),
        ("example.com", "4"),
        ("org.example", ""),
        ("foo", "4"),
        ("foo_bar", "4"),
        ("путь x=1", "4"),
        ("cafe NAIVE strasse full fin", "5"),
        ("café", "5"),
        ("ｃａｆé", "5"),
        ("don't", "6"),
        ("don’t", "6"),
        ("t don", "6"),
        ("o'neil", "6"),
        ("'text'", "6"),
        ("a:b c|d !e* f\\g", "6"),
        ("日本", "7"),
        ("本日", ""),
        ("日 語", "7"),
        ("👍", "7"),
        ("👍🏿 ok", "7"),
        ("кто то", "8"),
        ("кто-то", "8"),
        ("то-кто", ""),
        ("нибудь где", "8"),
        ("где-нибудь-когда", "8"),
        ("…", ""),
        ("очень", "12"),
        ("\"очень очень\"", "12"),
        ("\"в стоге\"", "13"),
        ("\"иголка в стоге\" сено", "13"),
        ("\"сено иголка\"", "13"),
        ("\"иголка сено\"", ""),
        ("שלום", "14"),
        ("مرحبا", "14"),
        ("हिन्दी", "14"),
        ("ไทย", "14"),
        ("нет", ""),
    ] {
        let expected: Vec<String> = expected.split_whitespace().map(|seq| format!("kitchen/{seq}")).collect();
        assert_eq!(find(&store, "bob", &query(searched)).await, expected.join(" "), "{searched}");
    }
}

async fn a_search_is_restricted_to_a_place_and_an_author(store: TestStore) {
    store.accounts("alice bob carol").await;
    let long = "Anna-Maria O'Neil \"x\"";
    let mut at_ms = 0;
    for (topic, author) in [
        (room("kitchen"), "alice"),
        (room("Kitchen"), "bob"),
        (room("kitchen"), long),
        (pair("alice", "bob"), "alice"),
        (pair("alice", "bob"), "bob"),
        (pair("alice", "alice"), "alice"),
        (pair("carol", "alice"), "carol"),
        (room("кухня 'α'"), long),
    ] {
        at_ms += 1000;
        store.append(&[draft(&topic, author, "apple pie")], at_ms).await;
    }
    index(&store).await;
    for (reader, query, expected) in [
        (
            "alice",
            query("apple"),
            "кухня 'α'/1 alice+carol/1 alice+alice/1 alice+bob/2 alice+bob/1 kitchen/2 Kitchen/1 kitchen/1",
        ),
        ("bob", query("apple"), "кухня 'α'/1 alice+bob/2 alice+bob/1 kitchen/2 Kitchen/1 kitchen/1"),
        ("dave", query("apple"), "кухня 'α'/1 kitchen/2 Kitchen/1 kitchen/1"),
        ("alice", in_room("apple", "kitchen"), "kitchen/2 kitchen/1"),
        ("alice", in_room("pie", "Kitchen"), "Kitchen/1"),
        ("alice", in_room("pie", "кухня 'α'"), "кухня 'α'/1"),
        ("alice", in_room("pie", "nowhere"), ""),
        ("alice", with("apple", "bob"), "alice+bob/2 alice+bob/1"),
        ("bob", with("apple", "alice"), "alice+bob/2 alice+bob/1"),
        ("alice", with("apple", "alice"), "alice+alice/1"),
        ("bob", with("apple", "carol"), ""),
        ("alice", from(query("apple"), "alice"), "alice+alice/1 alice+bob/1 kitchen/1"),
        ("bob", from(query("apple"), "alice"), "alice+bob/1 kitchen/1"),
        ("bob", from(query("pi"), long), "кухня 'α'/1 kitchen/2"),
        ("alice", from(in_room("apple", "kitchen"), "alice"), "kitchen/1"),
        ("alice", from(with("apple", "bob"), "bob"), "alice+bob/2"),
        ("alice", from(query("apple"), "Alice"), ""),
    ] {
        assert_eq!(find(&store, reader, &query).await, expected, "{reader}: {query:?}");
    }
}

async fn only_what_a_user_may_read_is_found(store: TestStore) {
    store.accounts("alice bob carol admin").await;
    store.users.set_administrator(&name("admin"), true, 1).await.unwrap();
    store.change(&create("~cellar", Access::Closed, "alice", &["bob"])).await.unwrap();
    store.append(&[draft(&room("~cellar"), "alice", "wine")], 1000).await;
    store.append(&[checked(draft(&room("kitchen"), "alice", "wine"))], 2000).await;
    index(&store).await;
    let wine = query("wine");
    assert_eq!(find(&store, "alice", &wine).await, "kitchen/1 ~cellar/1");
    assert_eq!(find(&store, "bob", &wine).await, "kitchen/1 ~cellar/1");
    for stranger in ["carol", "admin", "guest"] {
        assert_eq!(find(&store, stranger, &wine).await, "kitchen/1", "{stranger}");
        assert_eq!(find(&store, stranger, &in_room("wine", "~cellar")).await, "");
    }
    // Also what was written before they came; at once, whatever the index knows.
    store.change(&put("~cellar", "alice", "carol", None)).await.unwrap();
    store.change(&remove("~cellar", "alice", "bob")).await.unwrap();
    assert_eq!(find(&store, "carol", &wine).await, "kitchen/1 ~cellar/1");
    assert_eq!(find(&store, "bob", &wine).await, "kitchen/1");
    assert_eq!(find(&store, "bob", &in_room("wine", "~cellar")).await, "");
    // An open room that is closed keeps its messages from those who are no members.
    store.append(&[checked(draft(&room("kitchen"), "bob", "more wine"))], 3000).await;
    store.change(&leave("kitchen", "bob")).await.unwrap();
    store.change(&close("kitchen", "admin")).await.unwrap();
    for is_indexed in [false, true] {
        if is_indexed {
            index(&store).await;
        }
        assert_eq!(find(&store, "bob", &wine).await, "", "{is_indexed}");
        assert_eq!(find(&store, "admin", &in_room("wine", "kitchen")).await, "");
    }
    assert_eq!(find(&store, "alice", &wine).await, "kitchen/2 kitchen/1 ~cellar/1");
    store.append(&[draft(&room("kitchen"), "alice", "the wine is out")], 4000).await;
    index(&store).await;
    assert_eq!(find(&store, "bob", &wine).await, "");
    assert_eq!(find(&store, "alice", &wine).await, "kitchen/3 kitchen/2 kitchen/1 ~cellar/1");
}

async fn a_message_is_found_as_it_is_now(store: TestStore) {
    let kitchen = room("kitchen");
    corpus(&store, &["old soup", "old bread", "old cake"]).await;
    let changes = [
        edit(&kitchen, "alice", 1, "new soup"),
        delete(&kitchen, "alice", 2),
        react(&kitchen, "bob", 3, "👍"),
        draft(&kitchen, "bob", "new tea"),
    ];
    store.append(&changes, 9000).await;
    index(&store).await;
    // A change moves no message.
    for (searched, expected) in [
        ("old", "kitchen/3"),
        ("new", "kitchen/7 kitchen/1"),
        ("soup", "kitchen/1"),
        ("bread", ""),
        ("👍", ""),
    ] {
        assert_eq!(find(&store, "bob", &query(searched)).await, expected, "{searched}");
    }
    let page = page(&store, "bob", &query("soup")).await;
    assert_eq!((page.messages[0].body.text(), page.messages[0].at_ms), ("new soup", 1000));
    // Several changes of one message in one batch, and one of a new message.
    let changes = [
        edit(&kitchen, "alice", 1, "newer soup"),
        edit(&kitchen, "alice", 1, "newest soup"),
        edit(&kitchen, "bob", 7, "newest tea"),
        delete(&kitchen, "bob", 7),
    ];
    store.append(&changes, 10_000).await;
    index(&store).await;
    assert_eq!(find(&store, "bob", &query("new ")).await, "");
    assert_eq!(find(&store, "bob", &query("newer ")).await, "");
    assert_eq!(find(&store, "bob", &query("newest")).await, "kitchen/1");
}

async fn a_message_that_was_taken_back_is_not_found_by_an_index_that_is_behind(store: TestStore) {
    let kitchen = room("kitchen");
    corpus(&store, &["old soup", "old bread", "old cake"]).await;
    store.append(&[edit(&kitchen, "alice", 1, "new soup"), delete(&kitchen, "alice", 2)], 9000).await;
    assert_eq!(find(&store, "bob", &query("old")).await, "kitchen/3");
    assert_eq!(find(&store, "bob", &query("bread")).await, "");
}

async fn pages_follow_one_another(store: TestStore) {
    let rooms: Vec<Topic> = (0..3).map(|number| room(&format!("room{number}"))).collect();
    // Many messages of one millisecond.
    for at_ms in [1000, 1000, 1000, 2000, 1500, 3000] {
        let drafts: Vec<Draft> =
            (0..30).map(|number| draft(&rooms[number % 3], "alice", "same words")).collect();
        store.append(&drafts, at_ms).await;
    }
    index(&store).await;
    let all = find(&store, "bob", &query("words")).await;
    let mut sorted: Vec<&str> = all.split(' ').collect();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!((all.split(' ').count(), sorted.len()), (180, 180));
    for limit in [1, 7, 30, 49, 50] {
        let query = SearchQuery { limit, ..query("words") };
        assert_eq!(find(&store, "bob", &query).await, all, "{limit}");
    }
    // In a topic, the numbers fall.
    for number in 0..3 {
        let falling: Vec<String> = (1..=60).rev().map(|seq| format!("room{number}/{seq}")).collect();
        let here = SearchQuery { limit: 11, ..in_room("same", &format!("room{number}")) };
        assert_eq!(find(&store, "bob", &here).await, falling.join(" "));
        let in_all: Vec<&str> =
            all.split(' ').filter(|found| found.starts_with(&format!("room{number}/"))).collect();
        assert_eq!(in_all, falling);
    }
    // The last page says so at once.
    let full = SearchQuery { limit: 50, ..in_room("same", "room0") };
    let first = page(&store, "bob", &full).await;
    let last = page(&store, "bob", &SearchQuery { before: first.next, limit: 10, ..full }).await;
    assert_eq!((first.messages.len(), last.messages.len(), last.next), (50, 10, None));
    let beyond = SearchQuery { before: Some(SearchPosition { at_ms: 0, place: 0 }), ..query("words") };
    assert_eq!(page(&store, "bob", &beyond).await, SearchPage::default());
}

/// Whether a page has a `next` does not depend on messages that the user may not read.
async fn messages_that_nobody_may_read_leave_no_trace(store: TestStore) {
    store.accounts("alice bob carol admin").await;
    store.users.set_administrator(&name("admin"), true, 1).await.unwrap();
    store.change(&create("~cellar", Access::Closed, "alice", &[])).await.unwrap();
    store.append(&[checked(draft(&room("attic"), "alice", "the secret"))], 500).await;
    store.append(&[draft(&room("kitchen"), "alice", "no secret")], 500).await;
    for at_ms in 0..40 {
        let drafts: Vec<Draft> = (0..50)
            .map(|number| match number % 3 {
                0 => draft(&room("~cellar"), "alice", "a secret"),
                1 => draft(&room("attic"), "alice", "a secret"),
                _ => private("alice", "bob", "a secret"),
            })
            .collect();
        store.append(&drafts, 1000 + at_ms).await;
    }
    store.change(&close("attic", "admin")).await.unwrap();
    index(&store).await;
    let found = page(&store, "carol", &query("secret")).await;
    assert_eq!((found.messages.len(), found.next), (1, None));
    for nothing in [query("\"the secret\""), from(query("a"), "bob"), in_room("secret", "attic")] {
        assert_eq!(page(&store, "carol", &nothing).await, SearchPage::default());
    }
    assert_eq!(find(&store, "bob", &query("secret")).await.split(' ').count(), 641);
}

async fn what_retention_removes_is_not_found(store: TestStore) {
    let kitchen = room("kitchen");
    let day = 86_400_000;
    for (number, text) in [(1, "old soup"), (2, "old bread"), (20, "fresh soup")] {
        store.append(&[draft(&kitchen, "alice", text)], number * day).await;
    }
    index(&store).await;
    let retention = Retention { entries: None, age_ms: Some(10 * day) };
    let trimmed = store.log.trim(&retention, TrimPosition::default(), 21 * day, 10).await.unwrap();
    assert_eq!(trimmed.entries, 2);
    for is_indexed in [false, true] {
        if is_indexed {
            index(&store).await;
        }
        assert_eq!(find(&store, "bob", &query("soup")).await, "kitchen/3", "{is_indexed}");
        assert_eq!(find(&store, "bob", &query("old")).await, "", "{is_indexed}");
    }
}

async fn the_newest_closed_rooms_of_a_user_are_searched(store: TestStore) {
    const SEARCHED: usize = 1_000;
    store.accounts("alice bob").await;
    let rooms: Vec<Topic> = (0..SEARCHED + 10).map(|number| room(&format!("~cellar{number}"))).collect();
    for number in 0..rooms.len() {
        let cellar = create(&format!("~cellar{number}"), Access::Closed, "alice", &[]);
        store.change(&cellar).await.unwrap();
    }
    let drafts: Vec<Draft> = rooms.iter().map(|room| draft(room, "alice", "wine")).collect();
    store.append(&drafts[..10], 1000).await;
    store.append(&drafts[10..], 2000).await;
    while store.search.index_some(500).await.unwrap().has_more {}
    let found = find(&store, "alice", &query("wine")).await;
    // A store without an index looks in all of them.
    let expected = if store.is_kept() { SEARCHED } else { rooms.len() };
    assert_eq!(found.split(' ').count(), expected);
    assert_eq!(found.split(' ').any(|found| found == "~cellar3/1"), !store.is_kept());
    assert_eq!(find(&store, "alice", &in_room("wine", "~cellar3")).await, "~cellar3/1");
    store.append(&drafts[3..4], 3000).await;
    index(&store).await;
    let newest = page(&store, "alice", &query("wine")).await;
    assert_eq!((&newest.messages[0].topic, newest.messages[0].seq), (&rooms[3], 2));
    assert_eq!(find(&store, "bob", &query("wine")).await, "");
}

/// The index leaves some of them out of a search, and what it finds in the others is not shown.
async fn any_number_of_rooms_may_be_closed_later(store: TestStore) {
    store.accounts("alice bob admin").await;
    store.users.set_administrator(&name("admin"), true, 1).await.unwrap();
    store.append(&[checked(draft(&room("kitchen"), "alice", "a secret"))], 1000).await;
    let rooms: Vec<String> = (0..310).map(|number| format!("attic{number:03}")).collect();
    let drafts: Vec<Draft> =
        rooms.iter().map(|name| checked(draft(&room(name), "alice", "a secret"))).collect();
    store.append(&drafts, 2000).await;
    // Those with the last names have more messages than an index is asked for at once.
    for at_ms in 3000..3060 {
        store.append(&drafts[300..], at_ms).await;
    }
    for room in &rooms {
        store.change(&close(room, "admin")).await.unwrap();
    }
    while store.search.index_some(500).await.unwrap().has_more {}
    for limit in [1, 50] {
        let query = SearchQuery { limit, ..query("secret") };
        assert_eq!(find(&store, "bob", &query).await, "kitchen/1", "{limit}");
        assert_eq!(find(&store, "bob", &from(query, "alice")).await, "kitchen/1", "{limit}");
    }
    assert_eq!(find(&store, "bob", &query("\"a secret\"")).await, "kitchen/1");
    let all = find(&store, "alice", &query("secret")).await;
    assert_eq!(all.split(' ').count(), 1 + 310 + 60 * 10);
}

async fn phrases_of_common_words_are_found_where_they_are(store: TestStore) {
    let texts: Vec<String> = (0..200)
        .map(|number| match number {
            50 => "было это было давно".to_owned(),
            60 => "это был дом".to_owned(),
            70 => "кто-то где-то".to_owned(),
            _ if number % 3 == 0 => "было давно а это нет кто где то".to_owned(),
            _ => "это не было давно".to_owned(),
        })
        .collect();
    corpus(&store, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for (searched, expected) in [
        ("\"это было\"", "kitchen/51"),
        ("\"было это было\"", "kitchen/51"),
        ("\"это было давно\"", "kitchen/51"),
        ("\"это было это\"", ""),
        ("\"это бы", "kitchen/61 kitchen/51"),
        ("\"это был\"", "kitchen/61"),
        ("\"это был", "kitchen/61 kitchen/51"),
        ("кто-т", "kitchen/71"),
        ("кто-то", "kitchen/71"),
        ("кто-то где-то ", "kitchen/71"),
        ("\"то где\"", "kitchen/71"),
    ] {
        assert_eq!(find(&store, "bob", &query(searched)).await, expected, "{searched}");
    }
}

async fn the_index_can_be_made_anew(store: TestStore) {
    corpus(&store, &["soup", "soup", "soup"]).await;
    store.append(&[delete(&room("kitchen"), "alice", 2)], 9000).await;
    store.search.reindex().await.unwrap();
    index(&store).await;
    assert_eq!(find(&store, "bob", &query("soup")).await, "kitchen/3 kitchen/1");
    store.append(&[draft(&room("kitchen"), "alice", "soup")], 10_000).await;
    index(&store).await;
    assert_eq!(find(&store, "bob", &query("soup")).await, "kitchen/5 kitchen/3 kitchen/1");
}

async fn the_index_goes_on_after_a_restart(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    corpus(&store, &["soup one", "soup two", "soup three"]).await;
    // Not indexed before the restart: a message, a deletion, an edit, and another room.
    let drafts = [
        draft(&room("kitchen"), "alice", "soup four"),
        delete(&room("kitchen"), "alice", 1),
        edit(&room("kitchen"), "alice", 2, "stew two"),
        draft(&room("garden"), "alice", "soup"),
    ];
    store.append(&drafts, 9000).await;
    let store = store.reopened().await;
    index(&store).await;
    assert_eq!(find(&store, "bob", &in_room("soup", "kitchen")).await, "kitchen/4 kitchen/3");
    assert_eq!(find(&store, "bob", &in_room("soup", "garden")).await, "garden/1");
    assert_eq!(find(&store, "bob", &query("stew")).await, "kitchen/2");
    assert_eq!(find(&store, "bob", &query("one")).await, "");
}

async fn random_searches_find_what_a_store_without_an_index_finds(store: TestStore) {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut rng = SplitMix64::seed_from_u64(seed);
    let mut below = |end: usize| usize::try_from(rng.next_u64() % end as u64).unwrap();
    let model = TestStore::memory().await;
    let words = [
        "а",
        "аб",
        "абв",
        "Ёж",
        "еж",
        "йод",
        "foo",
        "Foobar",
        "fo",
        "x.y",
        "日本",
        "👍",
        "don't",
        "кто-то",
        "b",
        "ba",
        "bar",
        "12",
        "1",
        "été",
    ];
    let users = ["alice", "bob", "carol"];
    for store in [&store, &model] {
        store.accounts("alice bob carol").await;
        store.change(&create("~cellar", Access::Closed, "alice", &["bob"])).await.unwrap();
    }
    let topics = [
        room("kitchen"),
        room("garden"),
        room("~cellar"),
        pair("alice", "bob"),
        pair("carol", "carol"),
        pair("alice", "carol"),
    ];
    let (mut counts, mut authors) = ([0_u64; 6], Vec::new());
    for step in 0..60_u64 {
        let mut drafts: Vec<Draft> = Vec::new();
        for _ in 0..=below(12) {
            let here = below(topics.len());
            let author = match &topics[here] {
                Topic::Pair(pair) if below(2) == 0 => pair.low().clone(),
                Topic::Pair(pair) => pair.high().clone(),
                Topic::Room(room) => name(users[below(if room.is_made_by_server() { 2 } else { 3 })]),
            };
            let text: Vec<&str> = (0..=below(6)).map(|_| words[below(words.len())]).collect();
            let known: Vec<&(usize, u64, Username)> =
                authors.iter().filter(|(topic, _, _)| *topic == here).collect();
            let draft = match below(6) {
                kind @ 0..=1 if !known.is_empty() => {
                    let (_, seq, author) = known[below(known.len())];
                    if kind == 0 {
                        edit(&topics[here], author.as_str(), *seq, &text.join(" "))
                    } else {
                        delete(&topics[here], author.as_str(), *seq)
                    }
                }
                _ => draft(&topics[here], author.as_str(), &text.join(" ")),
            };
            drafts.push(draft);
        }
        let outcomes = store.append(&drafts, 1000 + step * 5).await;
        assert_eq!(model.append(&drafts, 1000 + step * 5).await, outcomes);
        for (draft, outcome) in drafts.iter().zip(outcomes) {
            let here = topics.iter().position(|topic| *topic == draft.topic).unwrap();
            if let chat_core::Outcome::Stored { seq, .. } = outcome {
                counts[here] = seq;
                if draft.body.is_message() {
                    authors.push((here, seq, draft.from.clone()));
                }
            }
        }
        if below(3) == 0 {
            store.search.index_some(1 + below(40)).await.unwrap();
        }
        if step == 30 {
            store.search.reindex().await.unwrap();
        }
    }
    index(&store).await;
    for _ in 0..300 {
        let mut text: Vec<String> = (0..=below(3)).map(|_| words[below(words.len())].to_owned()).collect();
        if below(3) == 0 {
            text = vec![format!("\"{}\"", text.join(" "))];
        }
        let text = text.join(" ") + ["", " "][below(2)];
        let mut query = query(&text);
        query.limit = [3, 50][below(2)];
        query.scope = match below(4) {
            0 => SearchScope::Room(RoomName::parse(["kitchen", "~cellar"][below(2)]).unwrap()),
            1 => SearchScope::With(name(users[below(3)])),
            _ => SearchScope::All,
        };
        query.from = (below(3) == 0).then(|| name(users[below(3)]));
        let reader = users[below(3)];
        // Messages of one millisecond have another order in another store.
        let sorted = |found: String| {
            let mut found: Vec<String> = found.split(' ').map(str::to_owned).collect();
            found.sort_unstable();
            found
        };
        let (found, expected) = (find(&store, reader, &query).await, find(&model, reader, &query).await);
        assert_eq!(sorted(found), sorted(expected), "seed {seed}: {reader} {query:?}");
    }
}
