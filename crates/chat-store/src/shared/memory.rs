//! What is shared, in memory: for tests of several servers in one process.

use std::collections::HashMap;
use std::time::Instant;

use super::{
    AttemptKey, MissingPicture, NewAttempt, PICTURE_KEPT_MS, PastAttempt, SharedRepository, SharedSecret,
};
use crate::{MemoryStore, StoreFuture};

/// What the servers of a store in memory share.
#[derive(Default)]
pub(crate) struct Shared {
    secrets: HashMap<SharedSecret, Vec<u8>>,
    /// The pictures by address, each with the time when it was put.
    pictures: HashMap<String, (Vec<u8>, Instant)>,
    /// The attempts for each key, the oldest first.
    attempts: HashMap<u64, Vec<Attempt>>,
}

struct Attempt {
    id: u64,
    account: Option<u32>,
    at: Instant,
}

impl SharedRepository for MemoryStore {
    fn shared_secret<'a>(&'a self, which: SharedSecret, new: &'a [u8]) -> StoreFuture<'a, Vec<u8>> {
        Box::pin(async move {
            Ok(self
                .with_shared(|shared, _| shared.secrets.entry(which).or_insert_with(|| new.to_vec()).clone()))
        })
    }

    fn put_picture<'a>(&'a self, address: &'a str, bytes: &'a [u8]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.with_shared(|shared, _| {
                shared.pictures.insert(address.to_owned(), (bytes.to_vec(), Instant::now()));
            });
            Ok(())
        })
    }

    fn picture<'a>(&'a self, address: &'a str) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            Ok(self.with_shared(|shared, is_used| {
                let picture = shared.pictures.get(address).filter(|_| is_used(address));
                picture.map(|(bytes, _)| bytes.clone())
            }))
        })
    }

    fn drop_unused_pictures<'a>(&'a self, addresses: Option<&'a [String]>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.with_shared(|shared, is_used| {
                shared.pictures.retain(|address, (_, put)| {
                    let is_asked = addresses.is_none_or(|addresses| addresses.contains(address));
                    !is_asked || is_used(address) || put.elapsed().as_millis() < PICTURE_KEPT_MS.into()
                });
            });
            Ok(())
        })
    }

    fn missing_pictures<'a>(&'a self, addresses: &'a [String]) -> StoreFuture<'a, Vec<MissingPicture>> {
        Box::pin(async move {
            Ok(self.with_shared(|shared, is_used| {
                let missing = addresses.iter().filter(|address| !shared.pictures.contains_key(*address));
                let missing = missing
                    .map(|address| MissingPicture { address: address.clone(), is_used: is_used(address) });
                missing.collect()
            }))
        })
    }

    fn count_attempt<'a>(&'a self, attempt: &'a NewAttempt) -> StoreFuture<'a, Vec<Vec<PastAttempt>>> {
        Box::pin(async move {
            Ok(self.with_shared(|shared, _| {
                let count = |key: &AttemptKey| {
                    let counted = shared.attempts.entry(key.hash).or_default();
                    let past = counted.iter().rev().filter(|past| past.id != attempt.id);
                    let past = past.map(|past| PastAttempt {
                        age_seconds: past.at.elapsed().as_secs() as u32,
                        account: past.account,
                    });
                    let past = past.take_while(|past| past.age_seconds < key.window_seconds);
                    let past = past.take(key.max).collect();
                    let NewAttempt { id, account, .. } = *attempt;
                    match counted.iter_mut().find(|known| known.id == id) {
                        Some(known) => known.account = account,
                        None => counted.push(Attempt { id, account, at: Instant::now() }),
                    }
                    past
                };
                attempt.keys.iter().map(count).collect()
            }))
        })
    }

    fn take_attempt_back<'a>(
        &'a self,
        attempt: &'a NewAttempt,
        forgotten: Option<(u64, u32)>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.with_shared(|shared, _| {
                for key in &attempt.keys {
                    if let Some(counted) = shared.attempts.get_mut(&key.hash) {
                        counted.retain(|known| known.id != attempt.id);
                    }
                }
                if let Some((hash, account)) = forgotten
                    && let Some(counted) = shared.attempts.get_mut(&hash)
                {
                    counted.retain(|known| known.account != Some(account));
                }
            });
            Ok(())
        })
    }

    fn drop_attempts(&self, older_than_seconds: u32) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.with_shared(|shared, _| {
                shared.attempts.retain(|_, counted| {
                    counted.retain(|known| known.at.elapsed().as_secs() < older_than_seconds.into());
                    !counted.is_empty()
                });
            });
            Ok(())
        })
    }
}
