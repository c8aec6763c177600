//! The seed of hash maps.

use std::hash::BuildHasher;

use siphasher::sip::SipHasher13;

/// The secret seed of hash maps, given by the program: clients cannot choose keys
/// that collide, and a run with the same seed is the same run.
///
/// SipHash 1-3 is what the standard library's maps use.
#[derive(Clone, Copy)]
pub struct Seed(pub u64, pub u64);

impl BuildHasher for Seed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}
