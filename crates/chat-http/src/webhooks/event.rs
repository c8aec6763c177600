//! What a webhook is told of a message.

use chat_core::Entry;
use chat_store::Delivery;
use jiff::Timestamp;
use serde::Serialize;

use crate::routes::ListedMessage;

/// The body of a delivery, in the form that Standard Webhooks recommends.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "WebhookEvent"))]
pub(crate) struct Event {
    /// What has happened: `message.created`. Others may follow.
    #[serde(rename = "type")]
    kind: &'static str,
    /// When the message was stored (RFC 3339).
    timestamp: String,
    data: EventData,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct EventData {
    /// The bot whose webhook it is.
    bot: String,
    /// The name of the room.
    room: String,
    /// The message as it was when this was sent.
    message: ListedMessage,
}

impl Event {
    pub(crate) fn new(delivery: &Delivery, entry: &Entry) -> Self {
        let at = i64::try_from(entry.at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Self {
            kind: "message.created",
            timestamp: at.unwrap_or_default().to_string(),
            data: EventData {
                bot: delivery.bot.as_str().to_owned(),
                room: delivery.room.as_str().to_owned(),
                message: ListedMessage::new(entry),
            },
        }
    }

    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are always JSON")
    }
}
