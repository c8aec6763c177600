//! How many accounts may be created.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_auth::Network;
use tokio_util::task::TaskTracker;

use crate::error::HttpError;
use crate::options::RegistrationLimits;
use crate::shared_attempts::{CountedRegistration, RegistrationLimit, SharedRegistrations};
use crate::user_rate::Rate;

/// How many accounts were created lately, from each address and in all.
pub(crate) struct RecentRegistrations {
    of_address: Rate<Network>,
    in_all: Rate<()>,
    /// Where all servers count theirs.
    shared: Option<SharedRegistrations>,
    limits: RegistrationLimits,
}

impl RecentRegistrations {
    pub(crate) fn new(limits: &RegistrationLimits, shared: Option<SharedRegistrations>) -> Self {
        Self {
            of_address: Rate::within(limits.address_period, limits.per_address),
            in_all: Rate::within(HOUR, limits.per_hour),
            shared,
            limits: limits.clone(),
        }
    }

    /// How long a registration counts, at most.
    pub(crate) fn longest_period(&self) -> Duration {
        self.limits.address_period.max(HOUR)
    }

    /// Whether an account may be created from this address; `None` where it is not known.
    ///
    /// # Errors
    ///
    /// [`HttpError::TooManyRegistrations`].
    pub(crate) fn check(&self, address: Option<Network>) -> Result<(), HttpError> {
        let now = Instant::now();
        address.map_or(Ok(()), |address| self.of_address.check(&address, now)).map_err(of_address)?;
        self.in_all.check(&(), now).map_err(in_all)
    }

    /// Counts an account that is about to be created, on all servers.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check), and those of the store.
    pub(crate) async fn count(
        self: &Arc<Self>,
        address: Option<Network>,
        tasks: &TaskTracker,
    ) -> Result<Registering, HttpError> {
        let mut registering = self.count_here(address)?;
        let Some(shared) = &self.shared else { return Ok(registering) };
        let limit = |period: Duration, max| RegistrationLimit {
            window_seconds: u32::try_from(period.as_secs()).unwrap_or(u32::MAX),
            max: usize::try_from(max).unwrap_or(usize::MAX),
        };
        let of_one = limit(self.limits.address_period, self.limits.per_address);
        let all = limit(HOUR, self.limits.per_hour);
        let (counted, waits) = shared.count(all, address.map(|address| (address, of_one))).await?;
        registering.counted = Some((counted, tasks.clone()));
        match waits {
            [_, Some(wait)] => Err(of_address(wait)),
            [Some(wait), None] => Err(in_all(wait)),
            [None, None] => Ok(registering),
        }
    }

    /// Counts it in the memory of this server.
    fn count_here(self: &Arc<Self>, address: Option<Network>) -> Result<Registering, HttpError> {
        let now = Instant::now();
        address.map_or(Ok(()), |address| self.of_address.count(&address, now)).map_err(of_address)?;
        if let Err(wait) = self.in_all.count(&(), now) {
            if let Some(address) = address {
                self.of_address.give_back(&address);
            }
            return Err(in_all(wait));
        }
        Ok(Registering { recent: Arc::clone(self), address, is_kept: false, counted: None })
    }
}

/// An account that is about to be created. Dropping it takes the count back.
#[must_use]
pub(crate) struct Registering {
    recent: Arc<RecentRegistrations>,
    address: Option<Network>,
    is_kept: bool,
    /// As all servers count it, and where it is taken back.
    counted: Option<(CountedRegistration, TaskTracker)>,
}

impl Registering {
    /// The account was created, or may have been.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Registering {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        if let Some(address) = &self.address {
            self.recent.of_address.give_back(address);
        }
        self.recent.in_all.give_back(&());
        if let Some((counted, tasks)) = self.counted.take() {
            tasks.spawn(counted.take_back());
        }
    }
}

fn of_address(retry_after_seconds: u64) -> HttpError {
    HttpError::TooManyRegistrations { limit: "registrations_per_address", retry_after_seconds }
}

fn in_all(retry_after_seconds: u64) -> HttpError {
    HttpError::TooManyRegistrations { limit: "registrations_per_hour", retry_after_seconds }
}

const HOUR: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_does_not_count() {
        let limits = RegistrationLimits { per_address: 2, per_hour: 3, ..RegistrationLimits::default() };
        let recent = Arc::new(RecentRegistrations::new(&limits, None));
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|ip| Some(Network::of(ip.parse().unwrap())));
        let count = |address| recent.count_here(address).map(Registering::keep);
        for _ in 0..10 {
            drop(recent.count_here(one).unwrap());
        }
        assert!(count(one).is_ok() && count(one).is_ok());
        let refused = |result: Result<(), HttpError>| match result {
            Err(HttpError::TooManyRegistrations { limit, .. }) => limit,
            _ => "none",
        };
        assert_eq!(refused(recent.check(one)), "registrations_per_address");
        assert_eq!(refused(count(one)), "registrations_per_address");
        assert!(recent.check(other).is_ok() && count(other).is_ok());
        assert_eq!(refused(count(other)), "registrations_per_hour");
        assert_eq!(refused(count(None)), "registrations_per_hour");
    }
}
