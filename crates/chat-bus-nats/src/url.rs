//! The addresses of NATS, from a setting.

use std::fmt;

use async_nats::ServerAddr;

/// One or more addresses of one NATS cluster: `nats://host:4222,nats://other:4222`. A password in
/// them is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsUrl(Vec<ServerAddr>);

/// Why a text is no [`NatsUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NatsUrlError {
    /// It has another form.
    #[error("must be nats://HOST:PORT or tls://HOST:PORT, or several of them with commas")]
    Form,
}

impl NatsUrl {
    /// Reads addresses, with commas between them.
    ///
    /// # Errors
    ///
    /// [`NatsUrlError`].
    pub fn parse(text: &str) -> Result<Self, NatsUrlError> {
        let address = |text: &str| -> Option<ServerAddr> {
            let text = text.trim();
            // The client takes further schemes, and texts without one.
            let rest = ["nats://", "tls://"].iter().find_map(|scheme| text.strip_prefix(scheme))?;
            let address: ServerAddr = text.parse().ok()?;
            (!rest.is_empty() && !address.host().is_empty()).then_some(address)
        };
        let addresses = text.split(',').map(address).collect::<Option<Vec<_>>>();
        addresses.map(Self).ok_or(NatsUrlError::Form)
    }

    pub(crate) fn addresses(&self) -> &[ServerAddr] {
        &self.0
    }
}

impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let scheme = if address.tls_required() { "tls" } else { "nats" };
            write!(f, "{comma}{scheme}://{}:{}", address.host(), address.port())?;
        }
        Ok(())
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_passwords_are_not_shown() {
        let url = NatsUrl::parse("nats://chat:secret@a.example:4333, tls://b.example").unwrap();
        assert_eq!(url.to_string(), "nats://a.example:4333,tls://b.example:4222");
        assert!(!format!("{url:?}").contains("secret"));
        assert_eq!(url.addresses()[0].password(), Some("secret"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "nats://", "a.example", "http://a.example", "ws://a", "nats://a,", "nats://a:b"] {
            assert_eq!(NatsUrl::parse(text), Err(NatsUrlError::Form), "{text}");
        }
    }
}
