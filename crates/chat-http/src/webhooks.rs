//! Outgoing webhooks: messages of a room are posted to the addresses of programs, signed as
//! [Standard Webhooks](https://www.standardwebhooks.com) says.
//!
//! The queue is in the store, see [`OutgoingRepository`](chat_store::OutgoingRepository). One task
//! claims the webhooks for which there are messages, and delivers to each of them at the same
//! time. A message is read from the log when it is sent: what was deleted before is not sent.

mod event;
mod signature;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chat_core::{Entry, MessagesFrom, PageLimits, Topic};
use chat_shard::{causes, now_ms};
use chat_store::{Delivery, DeliveryDone, DueMessage, Receiver, StoreError};
use futures_util::future::join_all;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use ipnet::IpNet;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::event::Event;
pub(crate) use self::signature::SigningKey;
use crate::HttpOptions;
use crate::app::App;
use crate::outgoing::{Backoff, Outgoing, OutgoingError, PrivateAddresses};
use crate::push::milliseconds;
use crate::store_health::StoreUse;

/// The options of outgoing webhooks.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// The private networks to which messages are delivered, also without TLS.
    pub private_addresses: Vec<IpNet>,
    /// How long a receiver may take for all of a request.
    pub timeout: Duration,
    /// How old a message may get while attempts to deliver it fail; then it is given up. Each is
    /// tried once at least.
    pub retry_max: Duration,
    /// How long a receiver may fail; then its webhook is switched off.
    pub off_after: Duration,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            private_addresses: Vec::new(),
            timeout: Duration::from_secs(10),
            retry_max: Duration::from_secs(24 * 60 * 60),
            off_after: Duration::from_secs(5 * 24 * 60 * 60),
        }
    }
}

/// What this server knows of outgoing webhooks.
pub(crate) struct Webhooks {
    /// Whether there are any, as far as this server knows.
    has_some: AtomicBool,
    changed: Notify,
    outgoing: Outgoing,
}

impl Webhooks {
    pub(crate) fn new(options: &HttpOptions) -> Arc<Self> {
        Arc::new(Self {
            has_some: AtomicBool::new(false),
            changed: Notify::new(),
            outgoing: outgoing(options),
        })
    }

    /// Notes that messages are stored.
    pub(crate) fn note_stored(self: &Arc<Self>) -> impl Fn(&[Arc<Entry>]) + Send + Sync + use<> {
        let webhooks = Arc::clone(self);
        let concerns = |entry: &Arc<Entry>| matches!(entry.topic, Topic::Room(_)) && entry.body.is_message();
        move |entries: &[Arc<Entry>]| {
            if webhooks.has_some.load(Ordering::Relaxed) && entries.iter().any(concerns) {
                webhooks.changed.notify_one();
            }
        }
    }

    /// There is a webhook from now on.
    pub(crate) fn made(&self) {
        self.has_some.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }
}

/// What sends requests to the receivers of webhooks.
pub(crate) fn outgoing(options: &HttpOptions) -> Outgoing {
    let networks = options.webhooks.private_addresses.clone();
    let private = PrivateAddresses { all: options.outgoing_private, networks };
    Outgoing::new(private, options.webhooks.timeout)
}

/// Delivers messages until the server stops. What is being delivered then is delivered again by
/// the next server.
pub(crate) async fn keep_delivering(app: Arc<App>, stopping: CancellationToken) {
    let mut running = JoinSet::new();
    tokio::select! {
        () = stopping.cancelled() => {}
        () = deliver_all(&app, &mut running) => {}
    }
    running.shutdown().await;
}

/// Claims messages, and delivers those of each claim in a task of its own: one that has the only writer of
/// the store has to go on while this one waits for the writer.
async fn deliver_all(app: &Arc<App>, running: &mut JoinSet<()>) {
    let webhooks = &app.webhooks;
    let claim_ms = milliseconds(app.options.webhooks.timeout + CLAIM_MARGIN);
    let mut sweep_due = Instant::now();
    let mut next = Instant::now();
    loop {
        if sweep_due <= Instant::now() {
            sweep_due = Instant::now() + count(app).await;
        }
        let free = RECEIVERS_AT_ONCE.saturating_sub(running.len());
        let may_claim = free > 0 && webhooks.has_some.load(Ordering::Relaxed);
        if may_claim && next <= Instant::now() {
            next = Instant::now() + POLL;
            let now = now_ms();
            match app.parts.stores.outgoing.claim_deliveries(now, now + claim_ms, free).await {
                Ok(due) => {
                    app.store_health.answered(StoreUse::Webhooks, Instant::now());
                    if due.len() == free {
                        next = Instant::now();
                    }
                    for delivery in due {
                        running.spawn(deliver(Arc::clone(app), delivery));
                    }
                }
                Err(error) => app.store_health.failed(StoreUse::Webhooks, &error, Instant::now()),
            }
        }
        let wake = if may_claim { next.min(sweep_due) } else { sweep_due };
        tokio::select! {
            // There may be more for the same receiver.
            Some(_) = running.join_next() => next = Instant::now(),
            () = webhooks.changed.notified() => next = next.min(Instant::now() + COLLECT),
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

/// Counts the webhooks, and returns when to count them again.
async fn count(app: &App) -> Duration {
    match app.parts.stores.outgoing.count_outgoing().await {
        Ok(count) => {
            app.store_health.answered(StoreUse::Webhooks, Instant::now());
            app.webhooks.has_some.store(count.on > 0, Ordering::Relaxed);
            app.metrics.outgoing_webhooks(count);
            SWEEP_EVERY
        }
        Err(error) => {
            app.store_health.failed(StoreUse::Webhooks, &error, Instant::now());
            RETRY_PAUSE
        }
    }
}

/// Delivers the messages of one claim, and says so to the store. If that fails, they are delivered
/// again once the claim has ended.
async fn deliver(app: Arc<App>, delivery: Delivery) {
    let result = match attempt(&app, &delivery).await {
        Ok(done) => {
            log_changes(&delivery, &done.receiver);
            app.parts.stores.outgoing.finish_delivery(&delivery, &done).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        app.store_health.failed(StoreUse::Webhooks, &error, Instant::now());
    }
}

async fn attempt(app: &App, delivery: &Delivery) -> Result<DeliveryDone, StoreError> {
    let mut finished: Vec<u64> = delivery.messages.iter().map(|message| message.seq).collect();
    // Read now: the bot may have been removed from the room, and messages may be deleted.
    let access = app.parts.stores.log.access(&delivery.bot, &delivery.room).await?;
    let entries = if access.may_read(&delivery.room) {
        let from = MessagesFrom::Numbers(finished.clone());
        let limits = PageLimits { entries: finished.len(), bytes: usize::MAX };
        app.parts.stores.log.messages(&Topic::Room(delivery.room.clone()), &from, limits).await?.entries
    } else {
        Vec::new()
    };
    let sent = delivery.messages.iter().filter_map(|message| {
        let entry = entries.iter().find(|entry| entry.seq == message.seq && !entry.body.is_deleted())?;
        Some(async { (*message, send(app, delivery, entry).await) })
    });
    let sent: Vec<(DueMessage, Sent)> = join_all(sent).await;
    (sent.len()..delivery.messages.len()).for_each(|_| app.metrics.delivered("unwanted"));

    let now = now_ms();
    let options = &app.options.webhooks;
    let mut failed = Vec::new();
    for (message, sent) in &sent {
        let outcome = match sent {
            Sent::Taken(_) => "sent",
            Sent::Gone(_) => "gone",
            Sent::Failed { .. } if now.saturating_sub(message.at_ms) >= milliseconds(options.retry_max) => {
                "given_up"
            }
            Sent::Failed { pause, .. } => {
                finished.retain(|seq| *seq != message.seq);
                let pause = pause.unwrap_or_else(|| BACKOFF.pause(message.attempts));
                failed.push((message.seq, now + milliseconds(pause)));
                "failed"
            }
        };
        app.metrics.delivered(outcome);
    }
    let receiver = receiver(delivery, &sent, now, milliseconds(options.off_after));
    Ok(DeliveryDone { now_ms: now, finished, failed, receiver })
}

/// What the answers to a delivery say of the receiver.
fn receiver(delivery: &Delivery, sent: &[(DueMessage, Sent)], now: u64, off_after_ms: u64) -> Receiver {
    let results = || sent.iter().map(|(_, sent)| sent);
    if let Some(result) =
        results().find_map(|sent| if let Sent::Gone(result) = sent { Some(result) } else { None })
    {
        return Receiver::Off { result: result.clone() };
    }
    if let Some(result) =
        results().find_map(|sent| if let Sent::Taken(result) = sent { Some(result) } else { None })
    {
        return Receiver::Works { result: result.clone() };
    }
    let Some(Sent::Failed { result, pause }) = results().next() else { return Receiver::NotAsked };
    if delivery.failing_since_ms.is_some_and(|since| now.saturating_sub(since) >= off_after_ms) {
        return Receiver::Off { result: result.clone() };
    }
    let pause = pause.unwrap_or_else(|| BACKOFF.pause(delivery.failures));
    Receiver::Fails { result: result.clone(), retry_ms: now + milliseconds(pause) }
}

/// The result of sending one message.
enum Sent {
    /// The receiver has taken it.
    Taken(String),
    /// The receiver wants no messages any more.
    Gone(String),
    /// It is sent again, after this pause if the receiver asks for one.
    Failed { result: String, pause: Option<Duration> },
}

async fn send(app: &App, delivery: &Delivery, entry: &Entry) -> Sent {
    let failed = |result: &str, pause| Sent::Failed { result: result.to_owned(), pause };
    let Ok(target) = app.webhooks.outgoing.target(&delivery.url) else {
        return failed(&OutgoingError::Address.to_string(), None);
    };
    let Some(key) = SigningKey::parse(&delivery.secret) else { return failed("the secret is damaged", None) };
    let body = Event::new(delivery, entry).json();
    // The id of a message repeats with each attempt, so that a receiver can tell.
    let id = format!("{}-{}", delivery.webhook, entry.seq);
    let Some(headers) = headers(&key, &id, now_ms() / 1000, &body) else {
        return failed("the id is damaged", None);
    };
    match app.webhooks.outgoing.post(&target, headers, Bytes::from(body)).await {
        Ok(answer) => {
            let result = format!("status {}", answer.status.as_u16());
            match answer.status {
                status if status.is_success() => Sent::Taken(result),
                StatusCode::GONE => Sent::Gone(result),
                _ => Sent::Failed { result, pause: BACKOFF.asked_for(&answer.headers) },
            }
        }
        Err(error) => {
            tracing::debug!(error = %causes(&error), webhook = delivery.webhook, "a webhook does not answer");
            failed(&error.to_string(), None)
        }
    }
}

fn headers(key: &SigningKey, id: &str, seconds: u64, body: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("webhook-id", HeaderValue::try_from(id).ok()?);
    headers.insert("webhook-timestamp", seconds.into());
    headers.insert("webhook-signature", HeaderValue::try_from(key.sign(id, seconds, body)).ok()?);
    Some(headers)
}

fn log_changes(delivery: &Delivery, receiver: &Receiver) {
    let (webhook, bot) = (delivery.webhook.as_str(), delivery.bot.as_str());
    match receiver {
        Receiver::Off { result } => tracing::warn!(webhook, bot, result, "an outgoing webhook is off"),
        Receiver::Fails { result, .. } if delivery.failures == 0 => {
            tracing::warn!(webhook, bot, result, "an outgoing webhook fails");
        }
        Receiver::Works { .. } if delivery.failures > 0 => {
            tracing::info!(webhook, bot, failures = delivery.failures, "an outgoing webhook works again");
        }
        _ => {}
    }
}

/// Receivers that get messages at one time.
const RECEIVERS_AT_ONCE: usize = 32;
/// How long commits are collected.
const COLLECT: Duration = Duration::from_millis(100);
/// How often the store is asked for what is due.
const POLL: Duration = Duration::from_secs(1);
/// How often the webhooks are counted.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// The pause after the store did not answer.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// For how much longer than a request may take messages are claimed: the store may be slow, too.
const CLAIM_MARGIN: Duration = Duration::from_secs(5);
/// The pauses after failures, of a message and of its receiver.
const BACKOFF: Backoff = Backoff { min: Duration::from_secs(2), max: Duration::from_secs(10 * 60) };

#[cfg(test)]
mod tests {
    use chat_core::{RoomName, Username};

    use super::*;

    fn delivery(failing_since_ms: Option<u64>) -> Delivery {
        Delivery {
            webhook: "h".to_owned(),
            bot: Username::known("robot").unwrap(),
            room: RoomName::parse("kitchen").unwrap(),
            url: String::new(),
            secret: String::new(),
            failures: 3,
            failing_since_ms,
            claimed_until_ms: 0,
            messages: Vec::new(),
        }
    }

    #[test]
    fn a_receiver_is_judged_by_all_answers() {
        let of = |since, sent: Vec<Sent>| {
            let message = DueMessage { seq: 1, at_ms: 1, attempts: 0 };
            let sent: Vec<_> = sent.into_iter().map(|sent| (message, sent)).collect();
            receiver(&delivery(since), &sent, 1_000, 500)
        };
        let taken = || Sent::Taken("status 204".to_owned());
        let failed = |pause| Sent::Failed { result: "status 500".to_owned(), pause };
        let gone = || Sent::Gone("status 410".to_owned());
        assert_eq!(of(None, Vec::new()), Receiver::NotAsked);
        assert_eq!(of(Some(1), vec![failed(None), taken()]), Receiver::Works { result: "status 204".into() });
        assert_eq!(of(None, vec![taken(), gone()]), Receiver::Off { result: "status 410".into() });
        let pause = Some(Duration::from_millis(7));
        let result = "status 500".to_owned();
        assert_eq!(
            of(Some(501), vec![failed(pause)]),
            Receiver::Fails { result: result.clone(), retry_ms: 1_007 }
        );
        assert_eq!(of(Some(500), vec![failed(pause)]), Receiver::Off { result });
    }
}
