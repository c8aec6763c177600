//! How fast a user or a client may do something.

/// The state of one rate limit: the generic cell rate algorithm, a token bucket
/// that is one number.
#[derive(Debug, Default)]
pub struct Rate {
    /// When the bucket is full again, in microseconds of the monotonic clock.
    full_at_us: u64,
}

/// A limit on how fast a user or a client may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many may come at once.
    pub burst: u32,
    /// How many a second may follow a burst.
    pub per_second: u32,
}

impl Rate {
    /// Counts one use, whether it is allowed or not.
    pub fn count(&mut self, limit: RateLimit, now_ms: u64) {
        self.full_at_us = self.full_at_us.max(now_ms * 1000) + limit.cost_us();
    }

    /// Whether one more use is allowed now.
    pub fn allows(&self, limit: RateLimit, now_ms: u64) -> bool {
        let burst_us = limit.cost_us() * u64::from(limit.burst.max(1));
        self.full_at_us.max(now_ms * 1000) + limit.cost_us() <= now_ms * 1000 + burst_us
    }

    /// The time after which one more use is allowed, in milliseconds.
    pub fn wait_ms(&self, limit: RateLimit, now_ms: u64) -> u64 {
        let burst_us = limit.cost_us() * u64::from(limit.burst.max(1));
        let full_at_us = self.full_at_us.max(now_ms * 1000) + limit.cost_us();
        full_at_us.saturating_sub(now_ms * 1000 + burst_us).div_ceil(1000)
    }

    /// Whether this is the state of a new limit: it may be dropped.
    pub fn is_full(&self, now_ms: u64) -> bool {
        self.full_at_us <= now_ms * 1000
    }
}

impl RateLimit {
    fn cost_us(self) -> u64 {
        1_000_000 / u64::from(self.per_second.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate() {
        let limit = RateLimit { burst: 60, per_second: 10 };
        let mut rate = Rate::default();
        let mut sent = 0;
        for now_ms in 5_000..8_000 {
            while rate.allows(limit, now_ms) {
                rate.count(limit, now_ms);
                sent += 1;
            }
            match now_ms {
                5_000 => assert_eq!(sent, 60),
                5_099 => assert_eq!((sent, rate.wait_ms(limit, 5_099)), (60, 1)),
                5_100 => assert_eq!(sent, 61),
                _ => {}
            }
        }
        assert_eq!(sent, 60 + 29);
        assert!(!rate.is_full(8_000));
        assert!(rate.is_full(14_000));
    }
}
