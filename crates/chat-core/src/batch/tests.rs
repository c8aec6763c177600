//! Tests of the rule for drafts.

use super::*;
use crate::{ChangeRules, DraftId, MessageText, Pair};

mod changes;

/// What a log knows: alice moderates the kitchen and the closed cellar, bob is a member
/// of both, the attic is archived. Everybody has an account but "nobody" and "guest".
struct TestLog {
    people: Vec<Username>,
    rooms: Vec<(RoomName, RoomFacts)>,
    roles: Vec<(RoomName, Username, Role)>,
    first_results: Vec<(Username, Nonce, FirstResult)>,
    administrators: Vec<Username>,
    /// The messages of the kitchen, the cellar and the attic.
    messages: Vec<(u64, TargetFacts)>,
    /// Their reactions, in the order of their numbers.
    reactions: Vec<(u64, Emoji, Username, Stamp)>,
}

impl TestLog {
    fn new() -> Self {
        let rooms = ["kitchen", "~cellar", "attic"].map(|room| {
            let mut info = RoomInfo::opened(&room_name(room));
            info.archived = room == "attic";
            info.access = if room == "~cellar" { Access::Closed } else { Access::Open };
            (room_name(room), RoomFacts { info: Arc::new(info), members: 2 })
        });
        let roles = ["kitchen", "~cellar", "attic"].map(|room| {
            [("alice", Role::Moderator), ("bob", Role::Member)]
                .map(|(user, role)| (room_name(room), name(user), role))
        });
        Self {
            people: ["alice", "bob", "carol", "dave"].map(name).into(),
            rooms: rooms.into(),
            roles: roles.into_iter().flatten().collect(),
            first_results: Vec::new(),
            administrators: Vec::new(),
            messages: Vec::new(),
            reactions: Vec::new(),
        }
    }

    /// Sets the number of members of the kitchen.
    fn members(mut self, members: u64) -> Self {
        self.rooms[0].1.members = members;
        self
    }

    /// Answers the questions about a batch, as a log does, then decides and numbers it. Each
    /// topic had 10 entries.
    fn append(&self, drafts: &[Draft], checked: Checked) -> Commit {
        let questions = Questions::about(drafts, checked);
        let mut facts = Facts::default();
        for key @ (user, nonce) in questions.nonces {
            let known = self.first_results.iter().find(|known| known.0 == *user && known.1 == *nonce);
            facts.first_results.extend(known.map(|known| (key, known.2.clone())));
        }
        facts.accounts.extend(questions.accounts.into_iter().filter(|name| self.people.contains(name)));
        for room in questions.rooms {
            let known = self.rooms.iter().find(|known| known.0 == *room);
            facts.rooms.extend(known.map(|known| (room, known.1.clone())));
        }
        for key @ (room, user) in questions.roles {
            let known = self.roles.iter().find(|known| known.0 == *room && known.1 == *user);
            facts.roles.extend(known.map(|known| (key, known.2)));
        }
        let is_asked = |name: &&Username| self.administrators.contains(name);
        facts.administrators.extend(questions.administrators.into_iter().filter(is_asked));
        for key @ (_, seq) in questions.targets {
            let known = self.messages.iter().find(|known| known.0 == seq);
            facts.targets.extend(known.map(|known| (key, known.1.clone())));
        }
        for (topic, target, emoji, user) in questions.reactions {
            let known = self.reactions.iter().find(|of| (of.0, &of.1, &of.2) == (target, emoji, user));
            if let (Some(known), Some(facts)) = (known, facts.targets.get_mut(&(topic, target))) {
                facts.reacted.insert((emoji.clone(), user.clone()), known.3);
            }
        }
        for ReactorsQuestion { topic, target, emoji, limit } in questions.reactors {
            let known = self.reactions.iter().filter(|of| (of.0, &of.1) == (target, emoji));
            if let Some(facts) = facts.targets.get_mut(&(topic, target)) {
                let users = known.take(limit).map(|of| of.2.clone()).collect();
                facts.reactors.insert(emoji.clone(), users);
            }
        }
        let batch = Batch::decide(drafts, &facts, checked, 5);
        batch.number(|_, count| Ok::<_, ()>(TopicEnd { last: 10 + count, at_ms: 7 })).unwrap()
    }

    /// Appends a batch whose drafts are checked.
    fn checked(&self, drafts: &[Draft]) -> Commit {
        self.append(&drafts.iter().map(|draft| checked(draft.clone())).collect::<Vec<_>>(), Checked::Hinted)
    }
}

fn name(name: &str) -> Username {
    Username::known(name).unwrap()
}

fn room_name(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn draft(room: &str, from: &str) -> Draft {
    Draft {
        id: DraftId(1),
        topic: Topic::Room(room_name(room)),
        from: name(from),
        room: None,
        body: Body::message(MessageText::stored("hi")),
        files: Vec::new(),
        nonce: None,
        check: false,
        may_administer: true,
        by_server: false,
        refused: None,
        rules: ChangeRules::default(),
    }
}

fn private(from: &str, to: &str) -> Draft {
    Draft { topic: Topic::Pair(Pair::new(name(from), name(to))), ..draft("kitchen", from) }
}

fn checked(draft: Draft) -> Draft {
    Draft { check: true, ..draft }
}

fn nonce(draft: Draft, nonce: &str) -> Draft {
    Draft { nonce: Nonce::parse(nonce), ..draft }
}

/// A draft that mentions these users; "all" stands for all members.
fn mention(draft: Draft, names: &str) -> Draft {
    let text = MessageText::stored("hi");
    let body = Body::Message { text, mentions: mentions(names), reply_to: None, files: None, state: None };
    Draft { body, ..draft }
}

fn mentions(names: &str) -> Option<Box<Mentions>> {
    let (all, names): (Vec<_>, Vec<_>) = names.split_whitespace().partition(|name| *name == "all");
    Some(Box::new(Mentions { names: names.into_iter().map(name).collect(), all: !all.is_empty() }))
}

fn stored(seq: u64) -> Outcome {
    Outcome::Stored { seq, at_ms: 7 }
}

fn outcomes(commit: &Commit) -> Vec<Outcome> {
    commit.receipts.iter().map(|receipt| receipt.outcome.clone()).collect()
}

/// The users who became members, with the numbers of the rooms at that point.
fn joins(commit: &Commit) -> Vec<(&str, &str, u64)> {
    let join = |change| match change {
        &RoomChange::Member { ref room, ref user, role: Role::Member, ref info, top } => {
            assert_eq!(info.title, room.as_str());
            (room.as_str(), user.as_str(), top)
        }
        other => panic!("{other:?}"),
    };
    commit.changes.iter().map(join).collect()
}

/// The mentions of the only entry, and of its receipt the names of no members.
fn mentioned(commit: &Commit) -> (Option<&Mentions>, Vec<&str>) {
    let [entry] = &commit.entries[..] else { panic!("{commit:?}") };
    let [receipt] = &commit.receipts[..] else { panic!("{commit:?}") };
    (entry.body.mentions(), receipt.not_members.iter().map(|name| name.as_str()).collect())
}

#[test]
fn who_writes_to_an_open_room_becomes_a_member_once() {
    let log = TestLog::new();
    let batch = [
        draft("kitchen", "bob"),
        draft("kitchen", "carol"),
        draft("pantry", "carol"),
        draft("kitchen", "carol"),
        draft("kitchen", "dave"),
        draft("pantry", "dave"),
        draft("pantry", "guest"),
        private("dave", "bob"),
    ];
    let commit = log.checked(&batch);
    assert_eq!(outcomes(&commit), [11, 12, 11, 13, 14, 12, 13, 11].map(stored));
    // Each before the author's first entry. Users of a host application are members too.
    let expected = [
        ("kitchen", "carol", 11),
        ("pantry", "carol", 10),
        ("kitchen", "dave", 13),
        ("pantry", "dave", 11),
        ("pantry", "guest", 12),
    ];
    assert_eq!(joins(&commit), expected);
    // The hub knows the members.
    assert_eq!(joins(&log.append(&batch, Checked::Hinted)), []);
    assert_eq!(joins(&log.append(&batch, Checked::All)), expected);
}

#[test]
fn members_only_write_to_closed_rooms_and_nobody_to_archived_ones() {
    let batch =
        ["~cellar", "~nothing", "attic", "kitchen"].map(|room| [draft(room, "alice"), draft(room, "carol")]);
    let batch = batch.into_iter().flatten().collect::<Vec<_>>();
    let commit = TestLog::new().checked(&batch);
    let forbidden = Outcome::Forbidden;
    let [cellar, nothing, attic, kitchen] = [
        [stored(11), forbidden.clone()],
        [(); 2].map(|()| forbidden.clone()),
        [(); 2].map(|()| forbidden.clone()),
        [11, 12].map(stored),
    ];
    assert_eq!(outcomes(&commit), [cellar, nothing, attic, kitchen].concat());
    assert_eq!(joins(&commit), [("kitchen", "carol", 11)]);
    // A log that sees that a room is closed looks at all drafts.
    assert_eq!(TestLog::new().append(&batch, Checked::All), commit);
    // Otherwise an unchecked draft is taken for one of a member of an open room.
    let unchecked = TestLog::new().append(&batch, Checked::Hinted);
    assert!(outcomes(&unchecked).iter().all(|outcome| matches!(outcome, Outcome::Stored { .. })));
    assert_eq!(unchecked.changes, []);
}

#[test]
fn a_nonce_is_looked_up_before_anything_else_and_errors_leave_it_unused() {
    let mut log = TestLog::new();
    let first = FirstResult { topic: Topic::Room(room_name("~cellar")), seq: 3, at_ms: 2 };
    log.first_results.push((name("carol"), Nonce::parse("old").unwrap(), first));
    let old = Outcome::Duplicate { topic: Topic::Room(room_name("~cellar")), seq: 3, at_ms: 2 };
    let new = Outcome::Duplicate { topic: Topic::Room(room_name("kitchen")), seq: 11, at_ms: 7 };
    let batch = [
        // carol was a member of the cellar, and the attic was not archived.
        (nonce(draft("~cellar", "carol"), "old"), old.clone()),
        (nonce(draft("attic", "carol"), "old"), old.clone()),
        (nonce(private("carol", "nobody"), "old"), old.clone()),
        (nonce(mention(draft("kitchen", "carol"), "all bob"), "old"), old),
        // What is refused may be sent again.
        (nonce(draft("~cellar", "carol"), "new"), Outcome::Forbidden),
        (nonce(draft("attic", "carol"), "new"), Outcome::Forbidden),
        (nonce(private("carol", "nobody"), "new"), Outcome::NoRecipient { at_ms: 5 }),
        (nonce(draft("kitchen", "carol"), "new"), stored(11)),
        (nonce(draft("~cellar", "carol"), "new"), new),
        // Another author's nonce.
        (nonce(draft("~cellar", "dave"), "new"), Outcome::Forbidden),
    ];
    let (drafts, expected): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let commit = log.checked(&drafts);
    assert_eq!(outcomes(&commit), expected);
    // A retry makes nobody a member.
    assert_eq!(joins(&commit), [("kitchen", "carol", 10)]);
    assert_eq!(joins(&log.checked(&drafts[..4])), []);
}

#[test]
fn mentions_are_accounts_and_in_closed_rooms_members() {
    let log = TestLog::new();
    let of = |room, from, names| log.append(&[mention(draft(room, from), names)], Checked::Hinted);
    let expected = |names, not_members: &[&'static str]| (mentions(names), not_members.to_vec());
    for (room, from, names, (in_entry, not_members)) in [
        ("kitchen", "alice", "bob carol nobody", expected("bob carol", &["carol"])),
        ("kitchen", "alice", "bob bob carol bob carol", expected("bob carol", &["carol"])),
        ("kitchen", "alice", "dave all", expected("dave all", &["dave"])),
        ("kitchen", "carol", "carol bob", expected("carol bob", &[])),
        ("kitchen", "guest", "guest bob", expected("bob", &[])),
        ("kitchen", "alice", "nobody", (None, vec![])),
        ("kitchen", "alice", "", (None, vec![])),
        ("kitchen", "alice", "all", expected("all", &[])),
        ("pantry", "alice", "alice bob nobody", expected("alice bob", &["bob"])),
        // In a closed room the author does not learn who is no member.
        ("~cellar", "alice", "carol bob nobody alice", expected("bob alice", &[])),
        ("~cellar", "bob", "carol", (None, vec![])),
    ] {
        let commit = of(room, from, names);
        assert_eq!(mentioned(&commit), (in_entry.as_deref(), not_members), "{room}: {from} to {names:?}");
    }
    // A draft with mentions is checked, whatever the hub says.
    assert_eq!(outcomes(&of("~cellar", "carol", "bob")), [Outcome::Forbidden]);
    assert_eq!(joins(&of("kitchen", "carol", "bob")), [("kitchen", "carol", 10)]);
    // Private messages have none.
    let commit = log.append(&[mention(private("alice", "bob"), "bob all")], Checked::All);
    assert_eq!(mentioned(&commit), (None, vec![]));
}

#[test]
fn drafts_see_the_members_that_earlier_ones_of_the_batch_made() {
    let log = TestLog::new();
    let commit = log.append(
        &[
            mention(draft("kitchen", "alice"), "carol"),
            mention(draft("kitchen", "carol"), "dave"),
            mention(draft("kitchen", "alice"), "carol dave"),
            mention(draft("pantry", "dave"), "alice"),
            mention(draft("pantry", "alice"), "dave carol"),
        ],
        Checked::Hinted,
    );
    let not_members: Vec<_> = commit.receipts.iter().map(|receipt| receipt.not_members.clone()).collect();
    assert_eq!(
        not_members,
        [["carol"], ["dave"], ["dave"], ["alice"], ["carol"]].map(|names| names.map(name).to_vec())
    );
    assert_eq!(joins(&commit), [("kitchen", "carol", 11), ("pantry", "dave", 10), ("pantry", "alice", 11)]);
}

#[test]
fn only_moderators_mention_all_of_more_than_100_members() {
    let all = |from| mention(draft("kitchen", from), "all");
    let of = |log: &TestLog, drafts: &[Draft]| outcomes(&log.append(drafts, Checked::Hinted));
    let (few, many) = (TestLog::new().members(100), TestLog::new().members(101));
    assert_eq!(of(&few, &[all("alice"), all("bob")]), [stored(11), stored(12)]);
    assert_eq!(
        of(&many, &[all("alice"), all("bob"), all("carol")]),
        [stored(11), Outcome::Forbidden, Outcome::Forbidden]
    );
    // Names are mentioned in every room.
    assert_eq!(of(&many, &[mention(draft("kitchen", "bob"), "alice")]), [stored(11)]);
    // carol does not count when she mentions all, but afterwards.
    assert_eq!(of(&few, &[all("carol"), all("bob")]), [stored(11), Outcome::Forbidden]);
    // A refused draft makes nobody a member.
    assert_eq!(joins(&many.append(&[all("carol")], Checked::Hinted)), []);
    // A room that is as large as this before it is stored.
    let crowd: Vec<_> = (0..101).map(|person| checked(draft("pantry", &format!("p{person}")))).collect();
    let to_all = mention(draft("pantry", "p0"), "all");
    let commit = TestLog::new().append(&[&crowd[..], &[to_all]].concat(), Checked::Hinted);
    assert_eq!(commit.receipts.last().unwrap().outcome, Outcome::Forbidden);
}

#[test]
fn an_administrator_mentions_all_unless_another_issuer_names_them() {
    let mut log = TestLog::new().members(101);
    log.administrators = vec![name("bob")];
    let all = mention(draft("kitchen", "bob"), "all");
    let by_host = Draft { may_administer: false, ..all.clone() };
    assert!(Questions::about(std::slice::from_ref(&by_host), Checked::All).administrators.is_empty());
    // The log may know the name for another draft of the batch.
    let commit = log.append(&[by_host, all], Checked::Hinted);
    assert_eq!(outcomes(&commit), [Outcome::Forbidden, stored(11)]);
}

#[test]
fn a_batch_asks_for_what_its_checked_drafts_depend_on() {
    let batch = [
        draft("kitchen", "alice"),
        nonce(draft("kitchen", "bob"), "n"),
        private("alice", "dave"),
        mention(private("alice", "bob"), "carol"),
        checked(draft("~cellar", "alice")),
        mention(draft("attic", "bob"), "carol nobody"),
    ];
    let named = |names: &[&Username]| names.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
    let questions = Questions::about(&batch, Checked::Hinted);
    assert_eq!(questions.nonces.len(), 1);
    assert_eq!(named(&questions.accounts), ["bob", "carol", "dave", "nobody"]);
    assert_eq!(questions.rooms, [&room_name("attic"), &room_name("~cellar")]);
    let roles = [("attic", "bob"), ("attic", "carol"), ("attic", "nobody"), ("~cellar", "alice")];
    assert!(
        questions.roles.into_iter().eq(roles
            .map(|(room, user)| (room_name(room), name(user)))
            .iter()
            .map(|(room, user)| (room, user)))
    );
    let questions = Questions::about(&batch, Checked::All);
    assert_eq!((questions.rooms.len(), questions.roles.len()), (3, 6));
    let unchecked = Questions::about(&batch[..2], Checked::Hinted);
    assert!(unchecked.accounts.is_empty() && unchecked.rooms.is_empty() && unchecked.roles.is_empty());
}
