//! What several servers of one database share. A file has one server, and no such thing.

use std::sync::Arc;

use chat_store::{
    AttemptKey, DatabaseUrl, MemoryStore, MissingPicture, NewAttempt, NewUser, PastAttempt, SharedRepository,
    SharedSecret, Stores, UserRepository,
};

use crate::common::{TestStore, name, open};

/// Two servers on one database.
struct Two {
    users: Arc<dyn UserRepository>,
    servers: [Arc<dyn SharedRepository>; 2],
    /// The database, if it is no memory.
    store: Option<TestStore>,
}

impl Two {
    /// For each kind of database that can have them.
    async fn of_each_kind() -> Vec<Self> {
        let memory = Arc::new(MemoryStore::default());
        let shared: Arc<dyn SharedRepository> = memory.clone();
        let mut all = vec![Self { users: memory, servers: [Arc::clone(&shared), shared], store: None }];
        if let Some(store) = TestStore::postgres().await {
            let other = open(store.url()).await.unwrap();
            let servers = [store.shared.clone().unwrap(), other.shared.unwrap()];
            all.push(Self { users: store.users.clone(), servers, store: Some(store) });
        }
        all
    }

    async fn account(&self, user: &str, avatar: &str) {
        let avatar = Some(avatar.to_owned());
        let user = NewUser { name: name(user), password_hash: "!".into(), avatar, created_at_ms: 0 };
        self.users.create_user(&user).await.unwrap();
    }
}

#[tokio::test]
async fn only_a_database_that_several_servers_may_have_is_shared() {
    assert!(Stores::open(&DatabaseUrl::Memory).await.unwrap().shared.is_none());
    assert!(TestStore::sqlite().await.shared.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_at_once_get_the_same_secret() {
    for two in Two::of_each_kind().await {
        let [one, other] = two.servers;
        let (first, second) = tokio::join!(
            one.shared_secret(SharedSecret::Signing, b"one"),
            other.shared_secret(SharedSecret::Signing, b"other"),
        );
        let secret = first.unwrap();
        assert_eq!(secret, second.unwrap());
        assert!(secret == b"one" || secret == b"other");
        for server in [&one, &other] {
            assert_eq!(server.shared_secret(SharedSecret::Signing, b"later").await.unwrap(), secret);
            // Any bytes: what a file had.
            let bytes = [0, 255, b'\n'];
            assert_eq!(server.shared_secret(SharedSecret::Bus, &bytes).await.unwrap(), bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_is_found_once_an_account_has_it() {
    for two in Two::of_each_kind().await {
        let [one, other] = &two.servers;
        let (cat, dog) = ("/uploads/cat.webp".to_owned(), "/uploads/dog.webp".to_owned());
        let addresses = [cat.clone(), dog.clone()];
        one.put_picture(&cat, &[0, 1, 255]).await.unwrap();
        assert_eq!(other.picture(&cat).await.unwrap(), None, "no account has it");
        two.account("alice", &cat).await;
        two.account("bob", &dog).await;
        assert_eq!(other.picture(&cat).await.unwrap(), Some(vec![0, 1, 255]));
        assert_eq!(other.picture(&dog).await.unwrap(), None);
        let missing = other.missing_pictures(&addresses).await.unwrap();
        assert_eq!(missing, [MissingPicture { address: dog.clone(), is_used: true }]);
        two.users.remove_user(&name("bob")).await.unwrap();
        let missing = other.missing_pictures(&addresses).await.unwrap();
        assert_eq!(missing, [MissingPicture { address: dog, is_used: false }]);
        other.put_picture(&cat, &[0, 1, 255]).await.unwrap();
        assert_eq!(one.picture(&cat).await.unwrap(), Some(vec![0, 1, 255]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_that_no_account_has_is_dropped_ten_minutes_later() {
    for two in Two::of_each_kind().await {
        let [one, _] = &two.servers;
        let [cat, dog, new] = ["cat", "dog", "new"].map(|name| format!("/uploads/{name}.webp"));
        for address in [&cat, &dog, &new] {
            one.put_picture(address, b"picture").await.unwrap();
        }
        two.account("alice", &dog).await;
        let missing = async || {
            let missing = one.missing_pictures(&[cat.clone(), dog.clone(), new.clone()]).await.unwrap();
            missing.into_iter().map(|missing| missing.address).collect::<Vec<_>>()
        };
        for which in [Some(std::slice::from_ref(&cat)), None] {
            one.drop_unused_pictures(which).await.unwrap();
            assert_eq!(missing().await, [""; 0], "their accounts may be on their way");
        }
        let Some(store) = &two.store else { continue };
        let age =
            "UPDATE pictures SET added_at = added_at - interval '601 seconds' WHERE address NOT LIKE '%new%'";
        store.run_sql(age).await;
        one.drop_unused_pictures(Some(std::slice::from_ref(&dog))).await.unwrap();
        assert_eq!(missing().await, [""; 0]);
        one.drop_unused_pictures(Some(std::slice::from_ref(&cat))).await.unwrap();
        assert_eq!(missing().await, [&*cat]);
        two.users.remove_user(&name("alice")).await.unwrap();
        one.drop_unused_pictures(None).await.unwrap();
        assert_eq!(missing().await, [&*cat, &*dog]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_count_on_all_servers_until_they_are_taken_back() {
    for two in Two::of_each_kind().await {
        let [one, other] = &two.servers;
        let key = |hash, max| AttemptKey { hash, window_seconds: 900, max };
        // The highest bit is the sign in the database.
        let (account, network) = (key(u64::MAX, 3), key(7, 2));
        let attempt = |id, account_of| NewAttempt { id, keys: vec![account, network], account: account_of };
        let accounts = |counted: Vec<Vec<PastAttempt>>| -> Vec<Vec<Option<u32>>> {
            let of_key = |past: Vec<PastAttempt>| {
                assert!(past.iter().all(|past| past.age_seconds < 60), "{past:?}");
                past.into_iter().map(|past| past.account).collect()
            };
            counted.into_iter().map(of_key).collect()
        };
        let first = attempt(u64::MAX - 1, Some(u32::MAX));
        assert_eq!(accounts(one.count_attempt(&first).await.unwrap()), [[], []]);
        let second = attempt(2, None);
        let counted = accounts(other.count_attempt(&second).await.unwrap());
        assert_eq!(counted, [[Some(u32::MAX)], [Some(u32::MAX)]]);
        // Once more, after a lost answer; and the account that was found since.
        assert_eq!(accounts(other.count_attempt(&second).await.unwrap()), counted);
        let found = NewAttempt { account: Some(9), ..second.clone() };
        assert_eq!(accounts(other.count_attempt(&found).await.unwrap()), counted);
        let elsewhere = NewAttempt { id: 3, keys: vec![account], account: Some(1) };
        assert_eq!(accounts(one.count_attempt(&elsewhere).await.unwrap()), [[Some(9), Some(u32::MAX)]]);
        let fourth = attempt(4, None);
        let counted = accounts(other.count_attempt(&fourth).await.unwrap());
        assert_eq!(counted[0], [Some(1), Some(9), Some(u32::MAX)], "the newest first");
        assert_eq!(counted[1], [Some(9), Some(u32::MAX)]);
        let fifth = attempt(5, None);
        let counted = accounts(other.count_attempt(&fifth).await.unwrap());
        assert_eq!(
            counted,
            [vec![None, Some(1), Some(9)], vec![None, Some(9)]],
            "no more than was asked for"
        );

        for taken in [&second, &fourth] {
            one.take_attempt_back(taken, None).await.unwrap();
        }
        other.take_attempt_back(&fifth, Some((7, u32::MAX))).await.unwrap();
        let counted = accounts(one.count_attempt(&attempt(6, None)).await.unwrap());
        assert_eq!(counted, [vec![Some(1), Some(u32::MAX)], vec![]], "of that key only");

        let Some(store) = &two.store else { continue };
        store.run_sql("UPDATE counted_attempts SET at = at - interval '880 seconds' WHERE account = 1").await;
        store.run_sql("UPDATE counted_attempts SET at = at - interval '900 seconds' WHERE account > 1").await;
        let counted = one.count_attempt(&attempt(8, None)).await.unwrap();
        let ages: Vec<_> = counted[0].iter().map(|past| (past.account, past.age_seconds / 880)).collect();
        assert_eq!(ages, [(None, 0), (Some(1), 1)]);
        one.drop_attempts(870).await.unwrap();
        let counted = accounts(one.count_attempt(&attempt(9, None)).await.unwrap());
        assert_eq!(counted[0], [None, None]);
    }
}
