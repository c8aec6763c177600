//! The rules about names that every database has in common.

use chat_core::{Skeleton, Username};

use crate::{StoreError, User, columns};

/// Whether a new account may have the name of a removed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RemovedNames {
    /// The names of removed accounts stay taken.
    StayTaken,
    /// The name of a removed account may be used again.
    MayReturn,
}

/// What a database knows of the name of a new account.
pub(crate) struct KnownName {
    /// There is an account of this name.
    pub(crate) has_account: bool,
    /// There is or was an account of this name.
    pub(crate) is_known: bool,
    /// There is or was an account of this name or of one that is confusable with it.
    pub(crate) is_confusable: bool,
}

impl KnownName {
    /// Checks that a new account may have the name.
    pub(crate) fn check(&self, removed: RemovedNames) -> Result<(), StoreError> {
        match self {
            Self { has_account: true, .. } => Err(StoreError::NameTaken),
            Self { is_known: true, .. } if removed == RemovedNames::MayReturn => Ok(()),
            Self { is_known: true, .. } => Err(StoreError::NameTaken),
            Self { is_confusable: true, .. } => Err(StoreError::NameConfusable),
            _ => Ok(()),
        }
    }
}

/// Of accounts whose names are `typed`, `name`, or look like it, the one that
/// [`find_user_ignoring_case`](crate::UserRepository::find_user_ignoring_case) finds. An
/// account may be among them twice, if its name is one of the two.
pub(crate) fn pick_ignoring_case(
    typed: &Username,
    name: &Username,
    mut candidates: Vec<User>,
) -> Option<User> {
    for exact in [typed, name] {
        if let Some(index) = candidates.iter().position(|user| user.name == *exact) {
            return Some(candidates.swap_remove(index));
        }
    }
    let mut same = candidates.into_iter().filter(|user| user.name.is_same_ignoring_case(name));
    let only = same.next()?;
    same.next().is_none().then_some(only)
}

/// The column `rules`: the version of the rules that make the keys of skeletons.
pub(crate) fn rules() -> i64 {
    columns::column(u64::from(Skeleton::RULES_VERSION))
}
