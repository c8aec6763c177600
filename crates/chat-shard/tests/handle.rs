//! What a program does in the chat without a socket.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_core::{
    Entry, HubOptions, MENTIONS_MAX, MessageText, Nonce, PageFrom, Pair, RateLimit, Role, RoomName,
    TextError, Topic, Username,
};
use chat_shard::{
    Author, ChatHandle, Followed, HandleParts, HookFuture, HookSet, Hooks, Post, PostError, Proposed,
    ShardOptions, Shards, StoredHook, Verdict,
};
use chat_store::{MemoryStore, NewUser, RoomRepository as _, UserRepository as _};

fn name(name: &str) -> Username {
    Username::known(name).unwrap()
}

fn room() -> RoomName {
    RoomName::parse("kitchen").unwrap()
}

fn post(from: &str, text: &str) -> Post {
    Post::new(Topic::Room(room()), Author::User(name(from)), text)
}

struct Chat {
    shards: Arc<Shards>,
    handle: ChatHandle,
}

impl Chat {
    async fn start(options: ShardOptions) -> Self {
        let store = Arc::new(MemoryStore::default());
        store.add_rooms(&[(room(), "Kitchen".to_owned())], 1).await.unwrap();
        for user in ["alice", "bob"] {
            let user =
                NewUser { name: name(user), password_hash: String::new(), avatar: None, created_at_ms: 1 };
            store.create_user(&user).await.unwrap();
        }
        let options = ShardOptions { shards: NonZeroUsize::new(2).unwrap(), ..options };
        let shards = Arc::new(Shards::start(options, store.clone()).unwrap());
        let parts = HandleParts { log: store.clone(), rooms: store.clone(), sessions: store };
        Self { handle: ChatHandle::new(Arc::clone(&shards), parts), shards }
    }

    async fn texts(&self) -> Vec<String> {
        let page = self.handle.page(&Topic::Room(room()), PageFrom::Latest, 50).await.unwrap();
        page.entries.iter().map(|entry| entry.body.text().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_post_is_stored_once_for_each_nonce() {
    let chat = Chat::start(ShardOptions::default()).await;
    let mut entries = chat.handle.entries(Topic::Room(room()), 1 << 20);
    let nonce = Nonce::parse("one");
    let first = Post { nonce: nonce.clone(), ..post("alice", "  hi @bob! ") };
    let first = chat.handle.post(first).await.unwrap();
    assert_eq!((first.seq, first.duplicate), (1, false));
    let again = chat.handle.post(Post { nonce, ..post("alice", "other") }).await.unwrap();
    assert_eq!((again.seq, again.at_ms, again.duplicate), (1, first.at_ms, true));
    assert_eq!(chat.texts().await, ["hi @bob!"]);
    let Some(Followed::Entry(entry)) = entries.next().await else { panic!("no entry") };
    assert_eq!(entry.body.mentions().unwrap().names, [name("bob")]);
    assert_eq!(chat.handle.members(&room(), None, 10).await.unwrap().len(), 1);

    let private = |to: &str| {
        let topic = Topic::Pair(Pair::new(name("alice"), name(to)));
        chat.handle.post(Post { topic, ..post("alice", "psst") })
    };
    assert_eq!(private("bob").await.unwrap().seq, 1);
    assert_eq!(private("nobody").await, Err(PostError::NoRecipient));
    chat.shards.stop().await;
    assert_eq!(entries.next().await, None);
    assert_eq!(chat.handle.post(post("alice", "late")).await, Err(PostError::Unavailable));
}

#[tokio::test]
async fn the_rules_of_sockets_hold() {
    let rate = Some(RateLimit { burst: 2, per_second: 1 });
    let hub = HubOptions { rate, text_max_chars: 10, ..HubOptions::default() };
    let chat = Chat::start(ShardOptions { hub, ..ShardOptions::default() }).await;
    let refused = |text: &str| chat.handle.post(post("bob", text));
    assert_eq!(refused(" ").await, Err(TextError::Blank.into()));
    assert_eq!(refused("eleven chars").await, Err(TextError::TooLong { max: 10 }.into()));
    let topic = Topic::Room(RoomName::parse("nowhere").unwrap());
    assert_eq!(chat.handle.post(Post { topic, ..post("bob", "hi") }).await, Err(PostError::NoRoom));
    // The third of three posts within a second is one too many.
    let mut posted = 0;
    let too_fast = loop {
        match chat.handle.post(post("alice", "hi")).await {
            Ok(_) if posted < 1_000 => posted += 1,
            other => break other,
        }
    };
    assert!(matches!(too_fast, Err(PostError::TooFast { retry_after_ms: 1..=1_000 })), "{too_fast:?}");
    assert!(posted >= 2);
    // The program itself has no limit, needs no account, and becomes no member.
    for _ in 0..3 {
        let author = Author::Server(name("Deploys"));
        chat.handle.post(Post { author, ..post("alice", "done") }).await.unwrap();
    }
    assert_eq!(chat.handle.members(&room(), None, 10).await.unwrap(), [(name("alice"), Role::Member)]);
    chat.shards.stop().await;
}

/// Refuses "no", replaces "old", never answers to "wait".
struct Strict;

impl Hooks for Strict {
    fn before_append<'a>(&'a self, proposed: Proposed<'a>) -> HookFuture<'a, Verdict> {
        Box::pin(async move {
            match proposed.text {
                "no" => Verdict::Refuse("not here, please".to_owned()),
                "old" => Verdict::Replace(MessageText::stored("new")),
                "wait" => std::future::pending().await,
                _ => Verdict::Accept,
            }
        })
    }
}

#[tokio::test]
async fn hooks_refuse_and_replace_and_a_hook_that_hangs_lets_nothing_through() {
    let noted = [(); 2].map(|()| Arc::new(Mutex::new(Vec::new())));
    let note = |texts: &Arc<Mutex<Vec<String>>>| {
        let texts = Arc::clone(texts);
        move |entries: &[Arc<Entry>]| {
            let stored = entries.iter().map(|entry| entry.body.text().to_owned());
            texts.lock().unwrap().extend(stored);
        }
    };
    let options = ShardOptions {
        hooks: HookSet::new(Arc::new(Strict)),
        stored: StoredHook::new(note(&noted[0])).and(note(&noted[1])),
        hook_timeout: Duration::from_millis(500),
        ..ShardOptions::default()
    };
    let chat = Chat::start(options).await;
    let send = |text: &str, nonce: &str| {
        chat.handle.post(Post { nonce: Nonce::parse(nonce), ..post("alice", text) })
    };
    assert_eq!(send("no", "1").await, Err(PostError::Refused("not here, please".into())));
    assert_eq!(send("old", "2").await.unwrap().seq, 1);
    assert_eq!(send("wait", "3").await, Err(PostError::Unavailable));
    // The nonce stands for what was stored first, whatever the hook would say now.
    assert!(send("no", "2").await.unwrap().duplicate);
    assert_eq!(send("yes", "1").await.unwrap().seq, 2);
    assert_eq!(chat.texts().await, ["new", "yes"]);
    for texts in noted {
        assert_eq!(*texts.lock().unwrap(), ["new", "yes"]);
    }
    chat.shards.stop().await;
}

#[tokio::test]
async fn mentions_are_for_rooms_and_bounded_and_so_are_pages() {
    let hub = HubOptions { history_max: 2, rate: None, ..HubOptions::default() };
    let chat = Chat::start(ShardOptions { hub, ..ShardOptions::default() }).await;
    let naming = |count: usize| Post {
        mentions: Some((0..count).map(|number| name(&format!("user{number}"))).collect()),
        ..post("alice", "hi")
    };
    assert_eq!(chat.handle.post(naming(MENTIONS_MAX + 1)).await, Err(PostError::TooManyMentions));
    for _ in 0..3 {
        chat.handle.post(naming(MENTIONS_MAX)).await.unwrap();
    }
    let page = async |limit| {
        let page = chat.handle.page(&Topic::Room(room()), PageFrom::Latest, limit).await.unwrap();
        page.entries.len()
    };
    assert_eq!([page(0).await, page(2).await, page(50).await], [1, 2, 2]);

    let topic = Topic::Pair(Pair::new(name("alice"), name("bob")));
    let private = Post { topic: topic.clone(), ..post("alice", "hi @bob") };
    chat.handle.post(private).await.unwrap();
    let page = chat.handle.page(&topic, PageFrom::Latest, 1).await.unwrap();
    assert!(page.entries[0].body.mentions().is_none());
    chat.shards.stop().await;
}
