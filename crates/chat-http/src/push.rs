//! Notifications of browsers that show no page (Web Push).
//!
//! The queue is in the store, see [`PushRepository`](chat_store::PushRepository). One task fills
//! it from the topics in which messages were stored, and from all topics at the start and every
//! minute, for what another server stored, or this one before a crash. Another task sends what is
//! due. A message waits for [`PushOptions::delay`], in which the user may read it on another
//! device.

mod encryption;
mod message;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chat_core::{Entry, MessagesFrom, PageLimits, Topic};
use chat_shard::{causes, now_ms};
use chat_store::{DuePush, PushResult, StoreError};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use tokio::sync::{Notify, OnceCell};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::encryption::BrowserKeys;
use self::encryption::{ServerKey, topic_header};
use self::message::PushMessage;
use crate::app::App;
use crate::error::HttpError;
use crate::outgoing::{Backoff, Outgoing, OutgoingError, PrivateAddresses, Target};
use crate::store_health::StoreUse;

/// The options of notifications.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// Whether users can have notifications while no page is open.
    pub enabled: bool,
    /// The contact that push services are told: a URI with `mailto:` or `https:`.
    pub contact: String,
    /// How long a message waits for the user to read it.
    pub delay: Duration,
    /// How old a message may get before it was sent; then it is not sent any more. Push services
    /// keep it as long for a browser that is off.
    pub max_age: Duration,
    /// The most browsers of a user; one more takes the place of the oldest.
    pub browsers_max: usize,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            contact: "https://localhost".to_owned(),
            delay: Duration::from_secs(5),
            max_age: Duration::from_secs(24 * 60 * 60),
            browsers_max: 10,
        }
    }
}

/// What this server knows of messages to send.
pub(crate) struct Pushes {
    /// Whether anybody has a subscription, as far as this server knows.
    has_subscriptions: AtomicBool,
    noted: Mutex<Noted>,
    changed: Notify,
    key: OnceCell<ServerKey>,
    outgoing: Outgoing,
}

#[derive(Default)]
struct Noted {
    /// Topics in which messages were stored.
    topics: HashSet<Topic>,
    /// Whether there were more.
    is_full: bool,
}

impl Pushes {
    pub(crate) fn new(allow_private: bool) -> Arc<Self> {
        let private = PrivateAddresses { all: allow_private, networks: Vec::new() };
        Arc::new(Self {
            has_subscriptions: AtomicBool::new(false),
            noted: Mutex::default(),
            changed: Notify::new(),
            key: OnceCell::new(),
            outgoing: Outgoing::new(private, SEND_TIMEOUT),
        })
    }

    /// Notes the topics of messages that are stored.
    pub(crate) fn note_stored(self: &Arc<Self>) -> impl Fn(&[Arc<Entry>]) + Send + Sync + use<> {
        let pushes = Arc::clone(self);
        move |entries: &[Arc<Entry>]| {
            if !pushes.has_subscriptions.load(Ordering::Relaxed) {
                return;
            }
            let mut noted = pushes.noted();
            for entry in entries.iter().filter(|entry| entry.body.is_message()) {
                if noted.topics.len() >= NOTED_MAX {
                    noted.is_full = true;
                } else if !noted.topics.contains(&entry.topic) {
                    noted.topics.insert(entry.topic.clone());
                }
            }
            drop(noted);
            pushes.changed.notify_one();
        }
    }

    /// A browser has a subscription from now on.
    pub(crate) fn subscribed(&self) {
        self.has_subscriptions.store(true, Ordering::Relaxed);
    }

    /// The address of a push service.
    ///
    /// # Errors
    ///
    /// [`OutgoingError::Address`].
    pub(crate) fn target(&self, endpoint: &str) -> Result<Target, OutgoingError> {
        self.outgoing.target(endpoint)
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The public key of the servers of this database.
///
/// # Errors
///
/// [`HttpError::Store`].
pub(crate) async fn public_key(app: &App) -> Result<String, HttpError> {
    Ok(server_key(app).await?.public())
}

async fn server_key(app: &App) -> Result<&ServerKey, StoreError> {
    let load = async {
        let new = ServerKey::generate().ok_or(StoreError::Unavailable { source: "no randomness".into() })?;
        let stored = app.parts.push.push_key(&new).await?;
        ServerKey::parse(&stored).ok_or(StoreError::Damaged { what: "the key of notifications" })
    };
    app.pushes.key.get_or_try_init(|| load).await
}

/// Sends messages to browsers until the server stops. A message that is being sent then is sent
/// again by the next server.
pub(crate) async fn keep_pushing(app: Arc<App>, stopping: CancellationToken) {
    if !app.options.push.enabled {
        return;
    }
    tokio::select! {
        () = stopping.cancelled() => {}
        () = fill_queue(&app) => {}
        () = send_queue(&app) => {}
    }
}

/// Fills the queue from the log.
async fn fill_queue(app: &App) {
    let pushes = &app.pushes;
    let mut sweep_due = Instant::now();
    loop {
        let now = Instant::now();
        let noted = std::mem::take(&mut *pushes.noted());
        if noted.is_full {
            sweep_due = now;
        }
        let topics: Vec<Topic> = noted.topics.into_iter().collect();
        let filled = async {
            if now >= sweep_due {
                sweep(app).await?;
                sweep_due = now + SWEEP_EVERY;
            }
            queue(app, &topics).await
        };
        match filled.await {
            Ok(()) => app.store_health.answered(StoreUse::Pushes, Instant::now()),
            Err(error) => {
                app.store_health.failed(StoreUse::Pushes, &error, Instant::now());
                // All topics are looked at then.
                sweep_due = Instant::now() + RETRY_PAUSE;
            }
        }
        tokio::select! {
            () = pushes.changed.notified() => tokio::time::sleep(COLLECT).await,
            () = tokio::time::sleep_until(sweep_due) => {}
        }
    }
}

/// Removes the subscriptions of ended sessions, and looks at all topics.
async fn sweep(app: &App) -> Result<(), StoreError> {
    let subscriptions = app.parts.push.sweep_push_subscriptions(now_ms()).await?;
    app.metrics.push_subscriptions(subscriptions);
    app.pushes.has_subscriptions.store(subscriptions > 0, Ordering::Relaxed);
    let mut next = (subscriptions > 0).then_some(0);
    while let Some(after) = next {
        let since = since_ms(app);
        let (topics, then) = app.parts.push.topics_to_push(since, after, TOPICS_AT_ONCE).await?;
        queue(app, &topics).await?;
        next = then;
    }
    Ok(())
}

async fn queue(app: &App, topics: &[Topic]) -> Result<(), StoreError> {
    for topics in topics.chunks(TOPICS_AT_ONCE) {
        let due = now_ms() + milliseconds(app.options.push.delay);
        app.parts.push.queue_pushes(topics, since_ms(app), due).await?;
    }
    Ok(())
}

/// Older messages are not sent.
fn since_ms(app: &App) -> u64 {
    now_ms().saturating_sub(milliseconds(app.options.push.max_age))
}

/// Sends what is due.
async fn send_queue(app: &App) {
    let mut sending = FuturesUnordered::new();
    let mut next = Instant::now();
    loop {
        let free = SENT_AT_ONCE.saturating_sub(sending.len());
        if free > 0 && next <= Instant::now() {
            next = Instant::now() + POLL;
            if app.pushes.has_subscriptions.load(Ordering::Relaxed) {
                let now = now_ms();
                match app.parts.push.claim_pushes(now, now + milliseconds(CLAIM), free).await {
                    Ok(due) => {
                        if due.len() == free {
                            next = Instant::now();
                        }
                        sending.extend(due.into_iter().map(|push| deliver(app, push)));
                    }
                    Err(error) => app.store_health.failed(StoreUse::Pushes, &error, Instant::now()),
                }
            }
        }
        tokio::select! {
            Some(()) = sending.next() => {}
            () = tokio::time::sleep_until(next), if free > 0 => {}
        }
    }
}

/// Sends one message to one browser, and says so to the store. If that fails, the message is sent
/// again once the claim has ended.
async fn deliver(app: &App, push: DuePush) {
    let result = match send(app, &push).await {
        Ok((outcome, result)) => {
            app.metrics.pushed(outcome);
            app.parts.push.finish_push(&push, result).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        app.store_health.failed(StoreUse::Pushes, &error, Instant::now());
    }
}

/// Sends one message to one browser.
async fn send(app: &App, push: &DuePush) -> Result<(&'static str, PushResult), StoreError> {
    const UNWANTED: (&str, PushResult) = ("unwanted", PushResult::Sent);
    const GONE: (&str, PushResult) = ("gone", PushResult::Gone);
    let now = now_ms();
    let end_ms = push.at_ms + milliseconds(app.options.push.max_age);
    // A page that this browser has open notifies by itself.
    let has_page = !app.shards.open_sessions().only_open(std::slice::from_ref(&push.to.session)).is_empty();
    if !push.is_wanted || has_page || end_ms <= now {
        return Ok(UNWANTED);
    }
    let from = MessagesFrom::Numbers(vec![push.seq]);
    let page =
        app.parts.log.messages(&push.topic, &from, PageLimits { entries: 1, bytes: usize::MAX }).await?;
    let Some(entry) = page.entries.first().filter(|entry| !entry.body.is_deleted()) else {
        return Ok(UNWANTED);
    };
    let profile = app.profile().await.ok();
    let chat = profile.as_ref().map_or(&app.options.title, |profile| &profile.title);
    let Some(json) = PushMessage::new(push, entry, chat).json() else {
        return Ok(("refused", PushResult::Sent));
    };
    let Some(keys) = BrowserKeys::parse(&push.to.p256dh, &push.to.auth) else { return Ok(GONE) };
    let Ok(target) = app.pushes.target(&push.to.endpoint) else { return Ok(GONE) };
    let key = server_key(app).await?;
    let headers = headers(app, key, &keys, push, &target, (end_ms - now) / 1000);
    let (Some(headers), Some(body)) = (headers, keys.encrypt(&json)) else { return Ok(GONE) };
    let retry = |after: Duration| PushResult::Failed { retry_ms: now_ms() + milliseconds(after) };
    match app.pushes.outgoing.post(&target, headers, Bytes::from(body)).await {
        Ok(answer) if answer.status.is_success() => Ok(("sent", PushResult::Sent)),
        Ok(answer) if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) => Ok(GONE),
        Ok(answer) if is_temporary(answer.status) => {
            let pause = BACKOFF.asked_for(&answer.headers).unwrap_or_else(|| BACKOFF.pause(push.failures));
            tracing::debug!(status = answer.status.as_u16(), "a push service asks to wait");
            Ok(("failed", retry(pause)))
        }
        Ok(answer) => {
            let (status, service) = (answer.status.as_u16(), target.origin());
            tracing::warn!(status, service, "a push service refuses a message");
            Ok(("refused", PushResult::Sent))
        }
        Err(OutgoingError::Private | OutgoingError::Address) => Ok(GONE),
        Err(error) => {
            tracing::debug!(error = %causes(&error), service = target.origin(), "a push service does not answer");
            Ok(("failed", retry(BACKOFF.pause(push.failures))))
        }
    }
}

fn headers(
    app: &App,
    key: &ServerKey,
    browser: &BrowserKeys,
    push: &DuePush,
    target: &Target,
    ttl_seconds: u64,
) -> Option<HeaderMap> {
    let topic = match &push.topic {
        Topic::Room(room) => format!("room {room}"),
        Topic::Pair(pair) => format!("pair {} {}", pair.low(), pair.high()),
    };
    let contact = &app.options.push.contact;
    let authorization = key.authorization(&target.origin(), contact, now_ms() / 1000)?;
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::try_from(authorization).ok()?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
    headers.insert("ttl", ttl_seconds.into());
    headers.insert("urgency", HeaderValue::from_static("high"));
    headers.insert("topic", HeaderValue::try_from(topic_header(browser.secret(), &topic)).ok()?);
    Some(headers)
}

/// Whether a later attempt may be answered otherwise.
fn is_temporary(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Topics that are noted; with more, all topics are looked at.
const NOTED_MAX: usize = 10_000;
/// Topics that are looked at in one transaction.
const TOPICS_AT_ONCE: usize = 100;
/// How long commits are collected.
const COLLECT: Duration = Duration::from_millis(500);
/// How often all topics are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// The pause after the store did not answer.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// How often the store is asked for what is due.
const POLL: Duration = Duration::from_secs(1);
/// Messages that are sent at one time, one to each browser.
const SENT_AT_ONCE: usize = 32;
/// How long a push service may take for all of a request …
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// … and how long a message is claimed: the store may be slow, too.
const CLAIM: Duration = Duration::from_secs(60);
/// The pauses after failures.
const BACKOFF: Backoff = Backoff { min: Duration::from_secs(30), max: Duration::from_secs(60 * 60) };
