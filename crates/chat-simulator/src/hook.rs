//! A hook that refuses some messages: in one world of four, by their texts.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use chat_core::{Body, Draft};
use chat_shard::{Verdict, apply, is_judged};

/// A hook of all servers. It draws no random numbers, so that the schedules of other worlds stay
/// what they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hook {
    refuses: bool,
}

impl Hook {
    pub(crate) fn of(seed: u64) -> Self {
        Self { refuses: seed % 4 == 3 }
    }

    /// Whether it refuses a message or an edit with this body.
    pub(crate) fn refuses(self, body: &Body) -> bool {
        let mut hasher = DefaultHasher::new();
        body.text().hash(&mut hasher);
        self.refuses
            && matches!(body, Body::Message { .. } | Body::Edit { .. })
            && hasher.finish().is_multiple_of(8)
    }

    /// A draft with its verdict, as the log's writer hands it to the log.
    pub(crate) fn judge(self, draft: &Draft) -> Draft {
        let mut draft = draft.clone();
        if is_judged(&draft) && self.refuses(&draft.body) {
            apply(&mut draft, Verdict::Refuse("the hook does not like it".to_owned()));
        }
        draft
    }
}
