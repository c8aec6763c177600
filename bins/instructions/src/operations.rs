//! The operations whose instructions are counted.

mod connect;
mod delivery;
mod post;
mod resume;

use std::error::Error;

/// Something that the chat does often.
pub(crate) struct Operation {
    /// Its name in `bounds.toml`.
    pub(crate) name: &'static str,
    /// The beginning of a sentence about it.
    pub(crate) what: &'static str,
    /// The rounds of the shorter of its two runs: enough that both get to the steady state, and
    /// that what comes in every so many rounds (ticks, checkpoints) is in both.
    pub(crate) rounds: u32,
    /// How often a round performs it.
    pub(crate) in_round: u64,
    /// Performs so many rounds, and returns how often it was performed.
    work: fn(u32) -> Result<u64, Box<dyn Error>>,
}

/// All operations.
#[rustfmt::skip]
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation { name: "delivery-v1", what: "a delivery to v1", rounds: 500, in_round: 100, work: delivery::to_v1 },
    Operation { name: "delivery-v2", what: "a delivery to v2", rounds: 500, in_round: 100, work: delivery::to_v2 },
    Operation { name: "delivery-v2-of-32", what: "a delivery to v2, of 32 in a turn", rounds: 500, in_round: 3_200, work: delivery::to_v2_of_32 },
    // Members elsewhere are sent `activity` every 1,000 turns.
    Operation { name: "delivery-v2-beside-members", what: "a delivery to v2, with 100 members elsewhere", rounds: 1000, in_round: 100, work: delivery::to_v2_beside_members },
    Operation { name: "post-sqlite", what: "a durable post", rounds: 300, in_round: 1, work: post::single },
    Operation { name: "post-sqlite-of-64", what: "a durable post, of 64 in a batch", rounds: 40, in_round: 64, work: post::of_64 },
    Operation { name: "connect", what: "a connect", rounds: 500, in_round: 1, work: connect::connect },
    Operation { name: "resume", what: "a resume from the log", rounds: 500, in_round: 1, work: resume::from_log },
    Operation { name: "resume-recent", what: "a resume from recent frames", rounds: 500, in_round: 1, work: resume::from_recent_frames },
];

impl Operation {
    /// Performs it.
    ///
    /// # Errors
    ///
    /// If it was performed more or less often than it should be: the number would mean nothing.
    pub(crate) fn perform(&self, rounds: u32) -> Result<(), Box<dyn Error>> {
        let (done, wanted) = ((self.work)(rounds)?, u64::from(rounds) * self.in_round);
        match done == wanted {
            true => Ok(()),
            false => Err(format!("{} was done {done} times, and should be {wanted} times", self.what).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_does_what_is_counted() {
        for operation in OPERATIONS {
            operation.perform(3).unwrap_or_else(|error| panic!("{}: {error}", operation.name));
        }
    }
}
