//! Random calls: every store answers as the store in memory does.
//!
//! A failure names its seed, which can be run alone, as can a range with an exclusive end:
//! `SEED=17 cargo test -p lanechat-store --test contract model`.

use std::collections::VecDeque;
use std::sync::Arc;

use chat_core::{
    Access, Body, ChangeRules, Commit, Draft, Emoji, FileId, FileQuotas, FoundFile, Level, MessagesFrom,
    Outcome, PageFrom, PageLimits, ReservedFile, Role, RoomInfo, RoomName, RoomPatch, Topic, UserMark,
    WantedChange,
};
use chat_store::{MemoryStore, Retention, Stores, TrimPosition};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

use crate::common::{
    TestStore, WithNonce as _, actor, delete, draft, edit, file, file_id, mark, mention, name, newcomer,
    pair, react, reply, room_name, unreact,
};

every_store! {
    every_answer_is_that_of_the_store_in_memory,
}

async fn every_answer_is_that_of_the_store_in_memory(store: TestStore) {
    let seeds = match std::env::var("SEED") {
        Ok(seeds) => {
            let seeds: Vec<u64> = seeds.split("..").map(|seed| seed.parse().unwrap()).collect();
            seeds[0]..seeds.get(1).copied().unwrap_or(seeds[0] + 1)
        }
        Err(_) => 0..SEEDS,
    };
    let (mut changed, mut refused, mut edited, mut attached) = (0, 0, 0, 0);
    for seed in seeds {
        let store = store.another().await;
        let mut run = Run::new(seed, store.stores.clone()).await;
        for step in 0..STEPS {
            run.step = step;
            run.call().await;
            run.compare_some().await;
        }
        run.compare_all().await;
        changed += run.changed;
        edited += run.edited;
        refused += run.refused;
        attached += run.attached;
        store.stores.clone().close().await;
    }
    // A run in which little happens proves little.
    let enough = changed > 50 && refused > 50 && edited > 50 && attached > 10;
    assert!(
        enough || std::env::var("SEED").is_ok(),
        "{changed} changes, {refused} refused, {edited} changes of messages, {attached} with files"
    );
}

const SEEDS: u64 = 3;
const STEPS: usize = 190;
const ONE: PageLimits = PageLimits { entries: 1, bytes: usize::MAX };

const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "admin"];
/// Users without an account.
const GUESTS: [&str; 2] = ["guest", "nobody"];
const ROOMS: [&str; 6] = ["kitchen", "garden", "attic", "Кухня", "~cellar", "~vault"];

/// A store and the one in memory, after the same calls.
struct Run {
    seed: u64,
    step: usize,
    rng: SplitMix64,
    now_ms: u64,
    /// The store under test, and the one in memory.
    both: [Stores; 2],
    /// The newest drafts with a nonce, to be sent again.
    sent: VecDeque<Draft>,
    nonces: u64,
    /// The number of files that were reserved.
    files: u64,
    /// Messages with files that were stored.
    attached: usize,
    changed: usize,
    refused: usize,
    /// Changes of messages that were stored.
    edited: usize,
}

impl Run {
    async fn new(seed: u64, store: Stores) -> Self {
        let memory = Stores::of(Arc::new(MemoryStore::default()));
        let both = [store, memory];
        for store in &both {
            for person in PEOPLE {
                store.users.create_user(&newcomer(person)).await.unwrap();
            }
            store.users.set_administrator(&name("admin"), true, 1).await.unwrap();
        }
        let rng = SplitMix64::seed_from_u64(seed);
        let sent = VecDeque::new();
        Self {
            seed,
            step: 0,
            rng,
            now_ms: 1000,
            both,
            sent,
            nonces: 0,
            files: 0,
            attached: 0,
            changed: 0,
            refused: 0,
            edited: 0,
        }
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.rng.next_u64() % end as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn person(&mut self) -> &'static str {
        if self.one_in(10) { self.pick(&GUESTS) } else { self.pick(&PEOPLE) }
    }

    fn room(&mut self) -> RoomName {
        room_name(self.pick(&ROOMS))
    }

    fn topic(&mut self) -> Topic {
        match self.one_in(3) {
            true => pair(self.pick(&PEOPLE), self.pick(&PEOPLE)),
            false => Topic::Room(self.room()),
        }
    }

    /// A random call to both stores.
    async fn call(&mut self) {
        // Clocks run backwards, too.
        self.now_ms = self.now_ms + self.below(5) as u64 - 1;
        match self.below(24) {
            20..24 => self.file().await,
            0..8 => self.append().await,
            8..15 => self.change().await,
            15..18 => self.keep().await,
            18 => self.trim().await,
            _ => self.rare().await,
        }
    }

    /// A message, or a change of one.
    async fn draft(&mut self) -> Draft {
        let mut draft = self.message().await;
        // A retry stays as it was.
        if self.sent.iter().any(|sent| sent.nonce.is_some() && sent.nonce == draft.nonce) && self.one_in(2) {
            return draft;
        }
        let top = self.both[1].log.page(&draft.topic, PageFrom::Latest, ONE).await.unwrap().last;
        // Mostly one that is there, sometimes one that is gone or not there yet.
        let end = if self.one_in(8) { 60 } else { top.min(20) };
        let target = (top + 1).saturating_sub(self.below(end as usize + 1) as u64);
        let mut from = draft.from.as_str().to_owned();
        let after = PageFrom::After(target.saturating_sub(1));
        let found = self.both[1].log.page(&draft.topic, after, ONE).await.unwrap();
        if let Some(entry) = found.entries.first()
            && self.one_in(2)
        {
            entry.from.as_str().clone_into(&mut from);
        }
        let emoji = self.pick(&["👍", "🎉", "❤️", "😀"]);
        let (topic, id, nonce, check) = (draft.topic.clone(), draft.id, draft.nonce.clone(), draft.check);
        let changed = match self.below(12) {
            0 => edit(&topic, &from, target, if self.one_in(3) { "" } else { self.text() }),
            1 => Draft { body: self.edit_with_mentions(target), ..draft.clone() },
            2 => delete(&topic, &from, target),
            3..7 => react(&topic, &from, target, emoji),
            7..9 => unreact(&topic, &from, target, emoji),
            9 => reply(draft, target),
            _ => draft,
        };
        draft = Draft { id, nonce, check, ..changed };
        draft.rules = ChangeRules {
            edit_ms: self.pick(&[None, Some(20)]),
            reactions_max: 1 + self.below(3),
            ..ChangeRules::default()
        };
        draft
    }

    fn edit_with_mentions(&mut self, target: u64) -> Body {
        let mentions = crate::common::mentions(self.pick(&["alice bob", "all", "carol nobody"]));
        let text = Some(chat_core::MessageText::stored(self.text()));
        Body::Edit { target, text, mentions: Some(Box::new(mentions)) }
    }

    fn text(&mut self) -> &'static str {
        self.pick(&["hi", "a longer text", "Привет", "🙂"])
    }

    async fn message(&mut self) -> Draft {
        if !self.sent.is_empty() && self.one_in(8) {
            let retry = self.below(self.sent.len());
            let mut retry = self.sent[retry].clone();
            if self.one_in(2) {
                retry.topic = Topic::Room(self.room());
            }
            return retry;
        }
        let from = self.person();
        let mut draft = match self.topic() {
            Topic::Pair(_) => draft(&pair(from, self.person()), from, self.text()),
            room @ Topic::Room(_) => draft(&room, from, self.text()),
        };
        draft.check = !self.one_in(3);
        if self.one_in(4) {
            let names: Vec<_> = (0..=self.below(3)).map(|_| self.person()).collect();
            let all = if self.one_in(4) { " all" } else { "" };
            draft = mention(draft, &(names.join(" ") + all));
        }
        if self.one_in(2) {
            let free = self.both[1].files.files_after(None, 1_000).await.unwrap();
            let is_free = |found: &FoundFile| found.attached_to.is_none() && found.owner == draft.from;
            draft.files = free.into_iter().filter(is_free).map(|found| found.file.id).take(2).collect();
            if draft.files.is_empty() || self.one_in(6) {
                draft.files = self.some_files();
            }
        }
        if self.one_in(3) {
            self.nonces += 1;
            draft = draft.nonce(&format!("n{}", self.nonces));
            self.sent.push_back(draft.clone());
            if self.sent.len() > 4 {
                self.sent.pop_front();
            }
        }
        draft
    }

    async fn append(&mut self) {
        let mut drafts = Vec::new();
        for _ in 0..=self.below(6) {
            drafts.push(self.draft().await);
        }
        // A hub clears the check only of members of open rooms that exist.
        let memory = &self.both[1];
        for draft in &mut drafts {
            if let Topic::Room(room) = &draft.topic
                && memory.log.access(&draft.from, room).await.unwrap().role.is_none()
                && memory.rooms.find_room(room).await.unwrap().is_none_or(|room| !room.info.is_special())
            {
                draft.check = true;
            }
        }
        let now_ms = self.now_ms;
        // What a log writes for changed messages is its own business.
        let commits = self.both.each_ref().map(|store| async {
            let commit = store.log.append(&drafts, now_ms).await?;
            let mut commit = Commit { changed: Vec::new(), remembered: Vec::new(), ..commit };
            commit.files_taken_back.sort_unstable();
            Ok(commit)
        });
        let commit = self.same(commits, &drafts).await;
        let is_stored = |outcome: &Outcome| matches!(outcome, Outcome::Stored { .. });
        for (draft, receipt) in drafts.iter().zip(&commit.receipts) {
            self.edited += usize::from(!draft.body.is_message() && is_stored(&receipt.outcome));
            self.attached += usize::from(!draft.files.is_empty() && is_stored(&receipt.outcome));
        }
    }

    /// Some of the newest files, mostly such as may be attached.
    fn some_files(&mut self) -> Vec<FileId> {
        let count = self.below(3);
        (0..count).map(|_| file_id(self.files.saturating_sub(self.below(6) as u64))).collect()
    }

    /// A call about files.
    async fn file(&mut self) {
        let (owner, now_ms, some) = (name(self.person()), self.now_ms, self.some_files());
        let number = self.files.saturating_sub(self.below(4) as u64);
        let stored = file(number, self.pick(&["a", "a long name of a \"picture\".png"]));
        match self.below(8) {
            0..4 => {
                self.files += 1;
                let reserved = ReservedFile {
                    id: file_id(self.files),
                    owner: owner.clone(),
                    bytes: 4_000 + 100 * number,
                };
                let quotas = FileQuotas {
                    user_bytes: self.one_in(4).then_some(13_000),
                    all_bytes: self.one_in(4).then_some(40_000),
                };
                let reservations =
                    self.both.each_ref().map(|store| store.files.reserve_file(&reserved, quotas, now_ms));
                let reservation = self.same(reservations, &(&reserved, quotas)).await;
                if reservation.is_ok() && !self.one_in(4) {
                    let stored = file(self.files, "b");
                    let calls =
                        self.both.each_ref().map(|store| store.files.store_file(&owner, &stored, now_ms));
                    assert!(self.same(calls, &stored).await);
                }
            }
            4 => {
                let calls = self.both.each_ref().map(|store| store.files.store_file(&owner, &stored, now_ms));
                self.same(calls, &(&owner, &stored)).await;
            }
            5 => {
                let calls = self.both.each_ref().map(|store| store.files.drop_file(&stored.id));
                self.same(calls, &stored.id).await;
            }
            6 => {
                let calls = self.both.each_ref().map(|store| store.files.forget_files(&some));
                self.same(calls, &some).await;
            }
            _ => {
                let before_ms = self.now_ms.saturating_sub(self.below(9) as u64);
                let calls = self.both.each_ref().map(|store| async {
                    let mut ids = store.files.files_to_delete(before_ms, 1_000).await?;
                    ids.sort_unstable();
                    Ok(ids)
                });
                let ids = self.same(calls, &before_ms).await;
                let ids = &ids[..self.below(ids.len() + 1)];
                let calls = self.both.each_ref().map(|store| store.files.forget_files(ids));
                self.same(calls, &ids).await;
            }
        }
        let reader = name(self.person());
        let found = self.both.each_ref().map(|store| store.files.readable_file(&stored.id, &reader));
        self.same(found, &(&stored.id, &reader)).await;
        let after = self.both.each_ref().map(|store| store.files.files_after(Some(&stored.id), 3));
        self.same(after, &stored.id).await;
    }

    async fn wanted(&mut self) -> WantedChange {
        let (room, user, mut by) = (self.room(), name(self.person()), actor(self.person()));
        // Most strangers are refused.
        let members = self.both[1].rooms.members_of(&room, None, 99).await.unwrap();
        if !members.is_empty() && !self.one_in(3) {
            by = actor(members[self.below(members.len())].0.as_str());
        }
        match self.below(10) {
            0..2 => {
                let access = if room.is_made_by_server() { Access::Closed } else { Access::Open };
                let info = RoomInfo { access, ..RoomInfo::opened(&room) };
                let members: Vec<_> = (0..self.below(3)).map(|_| name(self.person())).collect();
                WantedChange::Create { room, info, members, by: by.user }
            }
            2..4 => {
                let patch = RoomPatch {
                    title: self.one_in(3).then(|| format!("title {}", self.step)),
                    description: self.one_in(3).then(|| format!("of {}", self.step)),
                    access: match self.below(8) {
                        0 => Some(Access::Closed),
                        1 => Some(Access::Open),
                        _ => None,
                    },
                    archived: if self.one_in(4) { Some(self.one_in(3)) } else { None },
                };
                WantedChange::Change { room, patch, by }
            }
            4..8 => {
                let role = self.pick(&[None, None, Some(Role::Member), Some(Role::Moderator)]);
                let user = if self.one_in(2) { by.user.clone() } else { user };
                WantedChange::Put { room, user, role, by }
            }
            _ => {
                let user = if self.one_in(2) { by.user.clone() } else { user };
                WantedChange::Remove { room, user, by }
            }
        }
    }

    async fn change(&mut self) {
        let wanted = self.wanted().await;
        let now_ms = self.now_ms;
        let again = 1 + usize::from(self.one_in(4));
        for _ in 0..again {
            let changes = self.both.each_ref().map(|store| store.log.change(&wanted, now_ms));
            match self.same(changes, &wanted).await {
                Ok(_) => self.changed += 1,
                Err(_) => self.refused += 1,
            }
        }
    }

    async fn keep(&mut self) {
        let mut marks: Vec<UserMark> = Vec::new();
        for _ in 0..=self.below(4) {
            let user = self.person();
            let topic = match self.topic() {
                Topic::Pair(_) => pair(user, self.person()),
                room @ Topic::Room(_) => room,
            };
            let read = (!self.one_in(4)).then(|| self.below(60) as u64);
            let level = self.pick(&[None, Some(Level::All), Some(Level::Mentions), Some(Level::None)]);
            marks.push(mark(user, &topic, read, level));
        }
        let kept = self.both.each_ref().map(|store| store.log.keep(&marks));
        self.same(kept, &marks).await;
    }

    async fn trim(&mut self) {
        // More than the drafts that are sent again.
        let retention = Retention { entries: Some(30), age_ms: None };
        for store in &self.both {
            let mut from = Some(TrimPosition::default());
            while let Some(position) = from {
                from = store.log.trim(&retention, position, 1_000_000_000, 7).await.unwrap().next;
            }
        }
    }

    async fn rare(&mut self) {
        if self.one_in(2) {
            let rooms = [(self.room(), format!("title {}", self.step))];
            for store in &self.both {
                store.rooms.add_rooms(&rooms, self.now_ms).await.unwrap();
            }
            return;
        }
        let person = name(self.pick(&PEOPLE[..4]));
        for store in &self.both {
            store.users.remove_user(&person).await.unwrap();
            store.users.recreate_user(&newcomer(person.as_str())).await.unwrap();
        }
    }

    /// Waits for the answers of both stores, which must be the same, and returns one.
    async fn same<T, F>(&self, answers: [F; 2], call: &impl std::fmt::Debug) -> T
    where
        T: PartialEq + std::fmt::Debug,
        F: Future<Output = Result<T, chat_store::StoreError>>,
    {
        let [store, memory] = answers;
        let (store, memory) = (store.await.unwrap(), memory.await.unwrap());
        let Self { seed, step, .. } = self;
        assert_eq!(store, memory, "seed {seed}, step {step}: {call:#?}");
        memory
    }

    /// Compares what two random reads answer.
    async fn compare_some(&mut self) {
        let (user, room) = (self.person(), self.room());
        let topic = match self.topic() {
            Topic::Pair(_) => pair(user, self.person()),
            room @ Topic::Room(_) => room,
        };
        self.compare_user(user).await;
        self.compare_room(&room).await;
        let read = self.below(60) as u64;
        let user = name(user);
        let counts = self.both.each_ref().map(|store| store.log.counts(&user, &topic, read));
        self.same(counts, &(&user, &topic, read)).await;
        self.compare_pages(&topic).await;
    }

    async fn compare_pages(&mut self, topic: &Topic) {
        let number = self.below(60) as u64;
        let from = self.pick(&[PageFrom::Latest, PageFrom::After(number), PageFrom::Before(number)]);
        let bytes = if self.one_in(2) { usize::MAX } else { self.below(60) };
        let limits = PageLimits { entries: self.below(20), bytes };
        let pages = self.both.each_ref().map(|store| store.log.page(topic, from, limits));
        let page = self.same(pages, &(topic, from, limits)).await;
        let messages = match self.below(3) {
            0 => MessagesFrom::Page(from),
            1 => MessagesFrom::Around(number),
            _ => MessagesFrom::Numbers((0..self.below(9)).map(|_| self.below(60) as u64).collect()),
        };
        let pages = self.both.each_ref().map(|store| store.log.messages(topic, &messages, limits));
        self.same(pages, &(topic, &messages, limits)).await;
        let seq = page.last.saturating_sub(self.below(12) as u64);
        let user = name(self.pick(&PEOPLE));
        let reactions = self.both.each_ref().map(|store| store.log.reactions(topic, seq, &user));
        let found = self.same(reactions, &(topic, seq, &user)).await.unwrap_or_default();
        let emoji = found.reactions.first().map_or(Emoji::stored("👍"), |first| first.emoji.clone());
        let (after, max) = (self.below(60) as u64, 1 + self.below(4));
        for after in [0, after] {
            let reactors =
                self.both.each_ref().map(|store| store.log.reactors(topic, seq, &emoji, after, max));
            self.same(reactors, &(topic, seq, &emoji, after)).await;
        }
    }

    async fn compare_all(&mut self) {
        let files = self.both.each_ref().map(|store| store.files.files_after(None, 1_000));
        self.same(files, &"all files").await;
        let usages = self.both.each_ref().map(|store| store.files.files_usage());
        self.same(usages, &"usage").await;
        for user in PEOPLE.iter().chain(&GUESTS) {
            self.compare_user(user).await;
        }
        for room in ROOMS.map(room_name) {
            self.compare_room(&room).await;
            self.compare_pages(&Topic::Room(room)).await;
        }
    }

    async fn compare_user(&mut self, user: &str) {
        let (user, limit, counted) = (name(user), self.below(8), self.below(8));
        let memberships = self.both.each_ref().map(|store| store.log.memberships(&user, limit, counted));
        self.same(memberships, &(&user, limit, counted)).await;
        let conversations = self.both.each_ref().map(|store| store.log.conversations(&user, limit));
        self.same(conversations, &(&user, limit)).await;
        let rooms = self.both.each_ref().map(|store| store.rooms.rooms_of(&user, limit));
        self.same(rooms, &(&user, limit)).await;
    }

    async fn compare_room(&mut self, room: &RoomName) {
        let user = name(self.person());
        let found = self.both.each_ref().map(|store| store.rooms.find_room(room));
        let found = self.same(found, room).await;
        let members = self.both.each_ref().map(|store| store.rooms.members_of(room, None, 99));
        let members = self.same(members, room).await;
        assert_eq!(found.map_or(0, |room| room.members), members.len() as u64);
        let page = self.both.each_ref().map(|store| store.rooms.members_of(room, Some(&user), 2));
        self.same(page, &(room, &user)).await;
        let access = self.both.each_ref().map(|store| store.log.access(&user, room));
        self.same(access, &(room, &user)).await;
        let limit = self.below(8);
        let open = self.both.each_ref().map(|store| store.rooms.open_rooms(limit));
        self.same(open, &limit).await;
        let rooms = [room.clone(), self.room()];
        let tops = self.both.each_ref().map(|store| store.log.tops(&rooms));
        self.same(tops, &rooms).await;
    }
}
