//! Chance from a seed: the same seed, the same choices.

/// SplitMix64 (Steele, Lea, Flood 2014). It gives each 64-bit number once in
/// its period, so that no two nonces of a session are alike.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A nonce: the time, so that a database finds its neighbours together, and
    /// ten bytes of chance; 16 bytes as 32 hexadecimal digits.
    pub(crate) fn nonce(&mut self, now_ms: u64) -> String {
        let time = now_ms & 0xFFFF_FFFF_FFFF;
        format!("{time:012x}{:04x}{:016x}", self.next() >> 48, self.next())
    }

    /// How long to wait after this many failures in a row: full jitter between
    /// `min_ms` and a cap that doubles from there to `max_ms`.
    pub(crate) fn backoff(&mut self, failures: u32, min_ms: u64, max_ms: u64) -> u64 {
        let cap = min_ms.saturating_mul(1 << (failures + 1).min(20)).min(max_ms).max(min_ms);
        min_ms + self.next() % (cap - min_ms + 1)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_ordered_by_time_and_never_alike() {
        let mut chance = Chance::new(7);
        let first = chance.nonce(1_000);
        let second = chance.nonce(1_000);
        let third = chance.nonce(1_001);
        assert_eq!(first.len(), 32);
        assert!(first != second && first < third && second < third);
        assert_eq!(Chance::new(7).nonce(1_000), first);
    }

    #[test]
    fn backoff_grows_to_its_cap() {
        let mut chance = Chance::new(1);
        for failures in 0..100 {
            let cap = (500_u64 << (failures + 1).min(10)).min(30_000);
            for _ in 0..100 {
                assert!((500..=cap).contains(&chance.backoff(failures, 500, 30_000)));
            }
        }
    }
}
