//! Who writes commits: one lane of one start of a server.

use std::fmt;

/// The number of one start of a server, which the database gives: no two starts share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(u32);

/// The highest number of a start, so that hub ids fit into 32 bits: a restart each second for two
/// years.
pub const INCARNATION_MAX: u32 = u32::MAX / SHARDS_MAX - 1;

/// The most shards of a server.
pub const SHARDS_MAX: u32 = 64;

impl Incarnation {
    /// A start with this number; `None` of 0 and above [`INCARNATION_MAX`].
    pub fn new(number: u32) -> Option<Self> {
        (1..=INCARNATION_MAX).contains(&number).then_some(Self(number))
    }

    /// The number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The id of a hub of this start, which no hub of another start has: `None` unless the shard
    /// is below [`SHARDS_MAX`].
    pub fn hub_id(self, shard: u32) -> Option<u32> {
        (shard < SHARDS_MAX).then(|| self.0 * SHARDS_MAX + shard)
    }

    /// Whether a hub is one of this start.
    pub fn has_hub(self, hub: u32) -> bool {
        hub / SHARDS_MAX == self.0
    }
}

/// A lane of a server's log, by its number. A topic is in the same lane on all servers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u16);

impl Lane {
    /// The writer of what is no batch of drafts: sessions that end, rooms that change.
    pub const CONTROL: Self = Self(u16::MAX);
}

/// One lane of one start of a server. It commits one transaction at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer {
    /// The start of the server.
    pub incarnation: Incarnation,
    /// Its lane.
    pub lane: Lane,
}

/// One commit: the `n`th of its writer, from 1, without a gap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// The writer.
    pub writer: Writer,
    /// Its number among the writer's commits.
    pub n: u64,
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "start {}", self.0)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::CONTROL { f.write_str("control") } else { write!(f, "lane {}", self.0) }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}", self.lane, self.incarnation)
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "commit {} in {:?}", self.n, self.writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hubs_of_two_starts_never_share_an_id() {
        let start = |number| Incarnation::new(number).unwrap();
        assert_eq!(Incarnation::new(0), None);
        assert_eq!(Incarnation::new(INCARNATION_MAX + 1), None);
        assert_eq!(start(INCARNATION_MAX).hub_id(63), Some((INCARNATION_MAX + 1) * 64 - 1));
        assert_eq!(start(1).hub_id(64), None);
        let last = start(1).hub_id(63).unwrap();
        assert_eq!(last + 1, start(2).hub_id(0).unwrap());
        assert!(start(1).has_hub(last) && !start(2).has_hub(last));
    }
}
