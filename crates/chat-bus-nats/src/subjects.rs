//! The subjects of NATS: `chat.<epoch>.f1.c.<lane>`, `.p.<server>` and `.q.<server>`.

use chat_cluster::Channel;

use crate::NatsBusError;

/// The subjects of one epoch of a database: servers of another one are not heard.
#[derive(Clone, Debug)]
pub(crate) struct Subjects {
    /// With a dot at its end.
    prefix: String,
}

impl Subjects {
    pub(crate) fn new(epoch: &str) -> Result<Self, NatsBusError> {
        let is_token = !epoch.is_empty()
            && epoch.len() <= EPOCH_MAX_BYTES
            && epoch.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_token {
            return Err(NatsBusError::Epoch { epoch: epoch.to_owned() });
        }
        Ok(Self { prefix: format!("chat.{epoch}.{ARRANGEMENT}.") })
    }

    pub(crate) fn of(&self, channel: Channel) -> String {
        let prefix = &self.prefix;
        match channel {
            Channel::Commits(lane) => format!("{prefix}c.{}", lane.0),
            Channel::Presence(server) => format!("{prefix}p.{server}"),
            Channel::Questions(server) => format!("{prefix}q.{server}"),
        }
    }

    /// What a server subscribes to: three subjects, however many rooms, lanes and servers there are.
    pub(crate) fn wildcards(&self) -> [String; 3] {
        ["c", "p", "q"].map(|kind| format!("{}{kind}.*", self.prefix))
    }
}

/// Names this arrangement of subjects. The format of a message is in its bytes.
const ARRANGEMENT: &str = "f1";
const EPOCH_MAX_BYTES: usize = 100;

#[cfg(test)]
mod tests {
    use chat_cluster::{Incarnation, Lane};

    use super::*;

    #[test]
    fn each_channel_has_a_subject_below_a_wildcard() {
        let subjects = Subjects::new("0192-ab_C").unwrap();
        let server = Incarnation::new(7).unwrap();
        let channels = [Channel::Commits(Lane(3)), Channel::Presence(server), Channel::Questions(server)];
        let names = ["chat.0192-ab_C.f1.c.3", "chat.0192-ab_C.f1.p.7", "chat.0192-ab_C.f1.q.7"];
        assert_eq!(channels.map(|channel| subjects.of(channel)), names);
        for (wildcard, name) in subjects.wildcards().iter().zip(names) {
            assert!(name.starts_with(wildcard.strip_suffix('*').unwrap()), "{wildcard}");
        }
    }

    #[test]
    fn an_epoch_that_is_no_token_is_refused() {
        for epoch in ["", "a.b", "*", ">", "a b", "é", &"x".repeat(101)] {
            assert!(matches!(Subjects::new(epoch), Err(NatsBusError::Epoch { .. })), "{epoch}");
        }
    }
}
