//! The limits that the system sets to the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on file descriptors to the hard limit: each client needs
/// a descriptor, and the soft limit of most systems, 1024, is meant for programs
/// that use `select`. Returns the new limit, or `None` if there is none.
pub(crate) fn raise_descriptors() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit on file descriptors cannot be raised");
            current
        }
    }
}
