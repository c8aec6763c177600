//! How much goes wrong in a world, which its seed decides.

use chat_core::{Framing, HubOptions, RateLimit, RecentLimits};

use crate::random::Random;

/// Times in a thousand, unless a unit is given.
pub(crate) struct Rates {
    /// The bus does not carry an entry to a hub …
    pub(crate) lose: u64,
    /// … or twice …
    pub(crate) double: u64,
    /// … or late, so that others overtake it …
    pub(crate) late: u64,
    /// … or says that it did not.
    pub(crate) overflow: u64,
    /// A transaction fails, and with it what is queued behind.
    pub(crate) fail: u64,
    /// A transaction is committed but its answer is lost.
    pub(crate) lost_answer: u64,
    /// A transaction takes seconds.
    pub(crate) slow: u64,
    pub(crate) read_fails: u64,
    /// A read takes seconds.
    pub(crate) read_slow: u64,
    /// Of what people do: they stop reading for a while.
    pub(crate) stall: u64,
    /// Of what people do: they come, go, are signed out.
    pub(crate) come: u64,
    pub(crate) go: u64,
    pub(crate) revoke: u64,
    /// Of the blows of fate, one every second or two.
    pub(crate) clock_jumps: u64,
    pub(crate) drains: u64,
    pub(crate) crashes: u64,
    /// Somebody does something after at most this, in milliseconds.
    pub(crate) pause_ms: u64,
    /// A turn takes at most this, in milliseconds.
    pub(crate) turn_ms: u64,
}

impl Rates {
    pub(crate) fn of(random: &mut Random) -> Self {
        let mut up_to = |max| if random.chance(400) { 0 } else { random.between(1, max) };
        Self {
            lose: up_to(60),
            double: up_to(60),
            late: up_to(100),
            overflow: up_to(50),
            fail: up_to(30),
            lost_answer: up_to(30),
            slow: up_to(10),
            read_fails: up_to(400),
            read_slow: up_to(50),
            stall: up_to(40),
            come: 10 + up_to(120),
            go: up_to(60),
            revoke: up_to(15),
            clock_jumps: up_to(400),
            drains: up_to(200),
            crashes: up_to(150),
            pause_ms: 5 + up_to(80),
            turn_ms: up_to(3),
        }
    }

    /// The end of all faults. What the bus is, it stays: a hub learns what it
    /// missed from the log.
    pub(crate) fn calm(&mut self) {
        *self = Self {
            lose: 0,
            double: 0,
            late: 0,
            overflow: 0,
            fail: 0,
            lost_answer: 0,
            slow: 0,
            read_fails: 0,
            read_slow: 0,
            stall: 0,
            come: 0,
            go: 0,
            revoke: 0,
            clock_jumps: 0,
            drains: 0,
            crashes: 0,
            ..*self
        };
    }

    /// Everything reaches a hub in order, or the hub is told that it does not.
    ///
    /// Otherwise the first private messages of two people may be lost on the
    /// way: a hub that has not heard of the two before takes whatever comes
    /// first as their first. (In a room, the log says where it begins.)
    pub(crate) fn bus_is_reliable(&self) -> bool {
        self.lose == 0 && self.double == 0 && self.late == 0
    }

    /// Committed entries may be news to nobody: hubs must be told how far the
    /// log is.
    pub(crate) fn needs_polls(&self) -> bool {
        self.lose > 0 || self.lost_answer > 0
    }
}

/// Small limits, so that a small world reaches them.
pub(crate) fn options(random: &mut Random) -> HubOptions {
    // Whatever waits when calm comes must be taken within its ten seconds.
    let rate =
        RateLimit { burst: random.between(10, 60) as u32, per_second: random.between(100, 200) as u32 };
    HubOptions {
        framing: Framing::Lines,
        text_max_chars: 300,
        rate: random.chance(500).then_some(rate),
        join_replay_entries: random.size(1, 50),
        client_unanswered_max: random.between(2, 32) as u32,
        hub_unanswered_max: random.size(8, 100),
        hub_unanswered_bytes: random.size(500, 20_000),
        recent: RecentLimits {
            entries: random.size(0, 60),
            bytes: random.size(200, 8_000),
            hub_bytes: random.size(500, 20_000),
        },
        page_entries: random.size(8, 60),
        page_bytes: random.size(1_000, 8_000),
        reads_max: random.size(2, 6),
        room_idle_ms: random.between(0, 5_000),
        conversation_idle_ms: random.between(2_000, 10_000),
        drain_spread_per_client_ms: random.between(0, 200),
        ..HubOptions::default()
    }
}
