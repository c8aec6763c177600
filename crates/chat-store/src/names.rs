//! Which names may be given, as far as it is the same in every database.

use chat_core::{Skeleton, Username};

use crate::{StoreError, User, columns};

/// What a database knows of a name that somebody wants.
pub(crate) struct KnownName {
    /// There is an account of that name.
    pub(crate) has_account: bool,
    /// There is or was one.
    pub(crate) is_known: bool,
    /// There is or was one of a name that looks like it, or of this very one.
    pub(crate) looks_known: bool,
}

impl KnownName {
    /// Whether a new account may have it. With `again`, it may have been that of
    /// an account that was removed.
    pub(crate) fn may_be_given(&self, again: bool) -> Result<(), StoreError> {
        match self {
            Self { has_account: true, .. } => Err(StoreError::NameTaken),
            Self { is_known: true, .. } if again => Ok(()),
            Self { is_known: true, .. } => Err(StoreError::NameTaken),
            Self { looks_known: true, .. } => Err(StoreError::NameLooksTaken),
            _ => Ok(()),
        }
    }
}

/// The one user among the candidates whose name differs from `name` only in case;
/// `None` where several do.
pub(crate) fn only_one_ignoring_case(
    name: &Username,
    candidates: impl IntoIterator<Item = User>,
) -> Option<User> {
    let mut same = candidates.into_iter().filter(|user| user.name.is_same_ignoring_case(name));
    let only = same.next()?;
    same.next().is_none().then_some(only)
}

/// The column `rules`.
pub(crate) fn rules() -> i64 {
    columns::column(u64::from(Skeleton::RULES_VERSION))
}
