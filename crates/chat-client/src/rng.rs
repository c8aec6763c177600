//! The seeded random number generator of sessions, simulator and `prove`.

use std::ops::Range;
use std::time::Duration;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

/// A random number generator that gives the same numbers for the same seed, in
/// every version and on every machine.
///
/// It is SplitMix64 (Steele, Lea, Flood 2014), which gives each 64-bit number
/// once in its period. The functions below are written out rather than taken
/// from `rand`, whose distributions may change between versions: a recorded seed
/// of the simulator must name the same schedule for ever. A number below a bound
/// is the remainder of a division, so small numbers are more frequent by less
/// than `bound / 2^64`.
///
/// It is not for secrets. [`Session`](crate::Session) makes nonces with it, which
/// must differ but need not be unpredictable.
#[derive(Debug, Clone)]
pub struct Rng(SplitMix64);

impl Rng {
    /// A generator for this seed.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// A generator for one part of a run, such as a client: parts with different
    /// numbers have unrelated streams.
    pub fn for_part(seed: u64, part: u64) -> Self {
        let mut rng = Self::new(seed ^ part.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        rng.next_u64();
        rng
    }

    /// Any 64-bit number.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from `low` to `high`, both included.
    ///
    /// # Panics
    ///
    /// If `high` is below `low`, in builds with overflow checks.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next_u64() % (high - low + 1)
    }

    /// [`between`](Self::between) for sizes.
    pub fn size(&mut self, low: u64, high: u64) -> usize {
        self.between(low, high) as usize
    }

    /// An index into `len` items; 0 if there are none.
    pub fn index(&mut self, len: usize) -> usize {
        (self.next_u64() % len.max(1) as u64) as usize
    }

    /// True in `per_mille` of 1,000 calls, on average.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.next_u64() % 1000 < per_mille
    }

    /// True with a probability from 0 to 1.
    pub fn random_bool(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// A number from 0 (included) to 1 (excluded), with 53 random bits.
    pub fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A duration of so many milliseconds; the start of the range if it is empty.
    pub fn milliseconds(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.next_u64() % range.end.saturating_sub(range.start).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published test values of the algorithm. Recorded seeds depend on them.
    #[test]
    fn the_stream_is_that_of_splitmix64() {
        let mut rng = Rng::new(1_234_567);
        let numbers: [u64; 5] = std::array::from_fn(|_| rng.next_u64());
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    /// Recorded seeds also depend on how numbers are derived from the stream.
    #[test]
    fn derived_numbers_do_not_change() {
        let mut rng = Rng::new(7);
        let numbers = [rng.between(10, 20), rng.size(1, 6) as u64, rng.index(100) as u64];
        assert_eq!(numbers, [12, 1, 46]);
        assert_eq!([(); 8].map(|()| rng.chance(500)), [true, false, true, false, true, false, true, true]);
        assert_eq!(rng.milliseconds(5..50), Duration::from_millis(21));
        assert!((0.0..1.0).contains(&rng.fraction()));
        assert!(!rng.random_bool(0.0) && rng.random_bool(1.0));
        assert_eq!((rng.index(0), rng.milliseconds(3..3)), (0, Duration::from_millis(3)));
        let parts = [0, 1, 2].map(|part| Rng::for_part(7, part).next_u64());
        assert!(parts[0] != parts[1] && parts[1] != parts[2] && parts[0] != parts[2]);
    }
}
