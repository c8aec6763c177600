//! What changes have made of messages: in the store, and in what applications show.

use super::Check;
use crate::ledger::{AppLog, Kind, Shows, What};

impl Check<'_> {
    /// Checks that every message is stored and shown as its changes make it, and that no
    /// text that was taken back remains.
    pub(super) fn states(&mut self) {
        let ledger = self.ledger;
        for stored in &ledger.stored {
            let What::Message(state) = &stored.what else { continue };
            let (text, expected) = self.logs[&stored.topic].version(stored, u64::MAX);
            if (&*stored.text, state) != (text, &expected) {
                let what = format!("{} is stored as {state:?}, not {text:?}, {expected:?}", stored.name());
                self.report(Kind::WrongState, what);
            }
        }
        for (number, app) in ledger.apps.iter().enumerate() {
            self.shows(number, app);
        }
        for what in &ledger.differing_reads {
            self.report(Kind::WrongState, what.clone());
        }
        for what in &ledger.remains {
            self.report(Kind::Remains, what.clone());
        }
    }

    /// Checks the messages that an application showed at the end.
    fn shows(&mut self, number: usize, app: &AppLog) {
        for Shows { topic, seq, text, state } in &app.shows {
            self.counts.shown += 1;
            let Some(stored) = self.at(topic, *seq) else { continue };
            let (expected_text, expected) = self.logs[&**topic].version(stored, u64::MAX);
            if (&**text, state) != (expected_text, &expected) {
                let user = &app.user;
                let what = format!(
                    "{} is {text:?}, {state:?} for the application of client {number} of {user}, \
                     not {expected_text:?}, {expected:?}",
                    stored.name()
                );
                self.report(Kind::WrongState, what);
            }
        }
    }
}
