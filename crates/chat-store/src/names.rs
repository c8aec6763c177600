//! The rules about names that every database has in common.

use chat_core::{Skeleton, Username};

use crate::{StoreError, User, columns};

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
    /// Checks that a new account may have the name. With `again`, the name of a removed
    /// account is allowed.
    pub(crate) fn check(&self, again: bool) -> Result<(), StoreError> {
        match self {
            Self { has_account: true, .. } => Err(StoreError::NameTaken),
            Self { is_known: true, .. } if again => Ok(()),
            Self { is_known: true, .. } => Err(StoreError::NameTaken),
            Self { is_confusable: true, .. } => Err(StoreError::NameConfusable),
            _ => Ok(()),
        }
    }
}

/// The only one of the candidates whose name differs from `name` at most in case;
/// `None` if there are several.
pub(crate) fn only_one_ignoring_case(
    name: &Username,
    candidates: impl IntoIterator<Item = User>,
) -> Option<User> {
    let mut same = candidates.into_iter().filter(|user| user.name.is_same_ignoring_case(name));
    let only = same.next()?;
    same.next().is_none().then_some(only)
}

/// The column `rules`: the version of the rules that make the keys of skeletons.
pub(crate) fn rules() -> i64 {
    columns::column(u64::from(Skeleton::RULES_VERSION))
}
