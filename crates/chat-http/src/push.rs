//! Notifications of browsers that show no page (Web Push).
//!
//! The queue is in the store, see [`PushRepository`](chat_store::PushRepository). One task fills
//! it from the topics in which messages were stored, and from all topics at the start and every
//! minute, for what another server stored, or this one before a crash. Another task sends what is
//! due. A message waits for [`PushOptions::delay`], in which the user may read it on another
//! device.
//!
//! Push services are chosen by users, and may be slow. Each user has a share of the requests at one
//! time, and a service that fails or takes long is asked again after longer and longer pauses, which
//! belong to its address: a subscription that is made again does not end them.

mod encryption;
mod message;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chat_core::{Entry, MessagesFrom, PageLimits, Topic};
use chat_shard::{causes, now_ms};
use chat_store::{DuePush, PushClaim, PushDone, PushService, StoreError};
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::encryption::BrowserKeys;
use self::encryption::{ServerKey, topic_header};
use self::message::PushMessage;
use crate::HttpOptions;
use crate::app::App;
use crate::error::HttpError;
use crate::outgoing::{Answer, Backoff, Outgoing, OutgoingError, PrivateAddresses, Target};
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
    /// The most requests to push services at one time.
    pub requests_max: usize,
    /// The most of them for one user.
    pub user_requests_max: usize,
    /// How long a push service may take for all of a request.
    pub timeout: Duration,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            contact: "https://localhost".to_owned(),
            delay: Duration::from_secs(5),
            max_age: Duration::from_secs(24 * 60 * 60),
            browsers_max: 10,
            requests_max: 64,
            user_requests_max: 2,
            timeout: Duration::from_secs(10),
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
    pub(crate) fn new(options: &HttpOptions) -> Arc<Self> {
        let private = PrivateAddresses { all: options.outgoing_private, networks: Vec::new() };
        Arc::new(Self {
            has_subscriptions: AtomicBool::new(false),
            noted: Mutex::default(),
            changed: Notify::new(),
            key: OnceCell::new(),
            outgoing: Outgoing::new(private, options.push.timeout),
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
        let stored = app.parts.stores.push.push_key(&new).await?;
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
    let mut sending = JoinSet::new();
    tokio::select! {
        () = stopping.cancelled() => {}
        () = fill_queue(&app) => {}
        () = send_queue(&app, &mut sending) => {}
    }
    sending.shutdown().await;
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
    let count = app.parts.stores.push.sweep_push_subscriptions(now_ms()).await?;
    app.metrics.push_subscriptions(count);
    app.pushes.has_subscriptions.store(count.subscriptions > 0, Ordering::Relaxed);
    let mut next = (count.subscriptions > 0).then_some(0);
    while let Some(after) = next {
        let since = since_ms(app);
        let (topics, then) = app.parts.stores.push.topics_to_push(since, after, TOPICS_AT_ONCE).await?;
        queue(app, &topics).await?;
        next = then;
    }
    Ok(())
}

async fn queue(app: &App, topics: &[Topic]) -> Result<(), StoreError> {
    for topics in topics.chunks(TOPICS_AT_ONCE) {
        let due = now_ms() + milliseconds(app.options.push.delay);
        app.parts.stores.push.queue_pushes(topics, since_ms(app), due).await?;
    }
    Ok(())
}

/// Older messages are not sent.
fn since_ms(app: &App) -> u64 {
    now_ms().saturating_sub(milliseconds(app.options.push.max_age))
}

/// Sends what is due, each message in a task of its own: one that has the only writer of the store has to go
/// on while this one waits for the writer.
async fn send_queue(app: &Arc<App>, sending: &mut JoinSet<()>) {
    let options = &app.options.push;
    let mut next = Instant::now();
    loop {
        let free = options.requests_max.saturating_sub(sending.len());
        if free > 0 && next <= Instant::now() {
            next = Instant::now() + POLL;
            if app.pushes.has_subscriptions.load(Ordering::Relaxed) {
                let now = now_ms();
                let claim = PushClaim {
                    now_ms: now,
                    until_ms: now + milliseconds(options.timeout + CLAIM_MARGIN),
                    max: free,
                    user_max: options.user_requests_max,
                };
                match app.parts.stores.push.claim_pushes(claim).await {
                    Ok(due) => {
                        for push in due {
                            sending.spawn(deliver(Arc::clone(app), push));
                        }
                    }
                    Err(error) => app.store_health.failed(StoreUse::Pushes, &error, Instant::now()),
                }
            }
        }
        tokio::select! {
            // There may be more for the same user.
            Some(_) = sending.join_next() => next = next.min(Instant::now() + COLLECT_SENT),
            () = tokio::time::sleep_until(next), if free > 0 => {}
        }
    }
}

/// Sends one message to one browser, and says so to the store. If that fails, the message is sent
/// again once the claim has ended.
async fn deliver(app: Arc<App>, push: DuePush) {
    let result = match send(&app, &push).await {
        Ok(sent) => {
            app.metrics.pushed(sent.outcome());
            app.parts.stores.push.finish_push(&push, sent.done(push.failures, now_ms())).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        app.store_health.failed(StoreUse::Pushes, &error, Instant::now());
    }
}

/// Sends one message to one browser.
async fn send(app: &App, push: &DuePush) -> Result<Sent, StoreError> {
    let now = now_ms();
    let end_ms = push.at_ms + milliseconds(app.options.push.max_age);
    // A page that this browser has open notifies by itself.
    let has_page = !app.shards.open_sessions().only_open(std::slice::from_ref(&push.to.session)).is_empty();
    if !push.is_wanted || has_page || end_ms <= now {
        return Ok(Sent::Unwanted);
    }
    let from = MessagesFrom::Numbers(vec![push.seq]);
    let page = app
        .parts
        .stores
        .log
        .messages(&push.topic, &from, PageLimits { entries: 1, bytes: usize::MAX })
        .await?;
    let Some(entry) = page.entries.first().filter(|entry| !entry.body.is_deleted()) else {
        return Ok(Sent::Unwanted);
    };
    let profile = app.profile().await.ok();
    let chat = profile.as_ref().map_or(&app.options.title, |profile| &profile.title);
    let Some(json) = PushMessage::new(push, entry, chat).json() else { return Ok(Sent::TooLong) };
    let Some(keys) = BrowserKeys::parse(&push.to.p256dh, &push.to.auth) else { return Ok(Sent::Gone) };
    let Ok(target) = app.pushes.target(&push.to.endpoint) else { return Ok(Sent::Gone) };
    let key = server_key(app).await?;
    let headers = headers(app, key, &keys, push, &target, (end_ms - now) / 1000);
    let (Some(headers), Some(body)) = (headers, keys.encrypt(&json)) else { return Ok(Sent::Gone) };
    let started = Instant::now();
    let answer = app.pushes.outgoing.post(&target, headers, Bytes::from(body)).await;
    let is_slow = started.elapsed() >= SLOW;
    log_failure(&answer, &target);
    Ok(Sent::answered(answer, is_slow))
}

fn log_failure(answer: &Result<Answer, OutgoingError>, target: &Target) {
    let service = target.origin();
    match answer {
        Ok(Answer { status, .. }) if status.is_success() || is_gone(*status) => {}
        Ok(Answer { status, .. }) if is_temporary(*status) => {
            tracing::debug!(status = status.as_u16(), service, "a push service asks to wait");
        }
        Ok(Answer { status, .. }) => {
            tracing::warn!(status = status.as_u16(), service, "a push service refuses a message");
        }
        Err(error) => tracing::debug!(error = %causes(error), service, "a push service does not answer"),
    }
}

/// The result of sending one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// It is not to be sent any more.
    Unwanted,
    /// It does not fit into a notification.
    TooLong,
    /// The service has taken it, or refuses it for good.
    Answered { is_taken: bool, is_slow: bool },
    /// It is sent again, after this pause at least if the service asks for one.
    Failed { asked: Option<Duration>, is_slow: bool },
    /// The browser has ended the subscription.
    Gone,
}

impl Sent {
    fn answered(answer: Result<Answer, OutgoingError>, is_slow: bool) -> Self {
        match answer {
            Ok(answer) if is_gone(answer.status) => Self::Gone,
            Ok(answer) if is_temporary(answer.status) => {
                Self::Failed { asked: BACKOFF.asked_for(&answer.headers), is_slow }
            }
            Ok(answer) => Self::Answered { is_taken: answer.status.is_success(), is_slow },
            Err(OutgoingError::Private | OutgoingError::Address) => Self::Gone,
            Err(error) => {
                let is_slow = is_slow || matches!(error, OutgoingError::TimedOut);
                Self::Failed { asked: None, is_slow }
            }
        }
    }

    /// Its name in the metrics.
    fn outcome(self) -> &'static str {
        match self {
            Self::Unwanted => "unwanted",
            Self::TooLong | Self::Answered { is_taken: false, .. } => "refused",
            Self::Answered { is_slow: false, .. } => "sent",
            Self::Answered { is_slow: true, .. } => "slow",
            Self::Failed { .. } => "failed",
            Self::Gone => "gone",
        }
    }

    /// What the store is told, after so many failures in a row. A service that takes long counts as
    /// one that fails, also if it has taken the message: it uses up requests of others.
    fn done(self, failures: u32, now_ms: u64) -> PushDone {
        let after = |pause: Duration| PushService::Fails { retry_ms: now_ms + milliseconds(pause) };
        let (is_finished, service) = match self {
            Self::Unwanted | Self::TooLong => (true, PushService::NotAsked),
            Self::Answered { is_slow: false, .. } => (true, PushService::Works),
            Self::Answered { is_slow: true, .. } => (true, after(SLOW_BACKOFF.pause(failures))),
            Self::Failed { is_slow: true, asked } => {
                (false, after(SLOW_BACKOFF.pause(failures).max(asked.unwrap_or_default())))
            }
            // A service that goes on to ask for short pauses gets the longer ones.
            Self::Failed { is_slow: false, asked: Some(asked) } if failures < ASKED_TIMES => {
                (false, after(asked))
            }
            Self::Failed { is_slow: false, asked } => {
                (false, after(BACKOFF.pause(failures).max(asked.unwrap_or_default())))
            }
            Self::Gone => (true, PushService::Gone),
        };
        PushDone { now_ms, is_finished, service }
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

fn is_gone(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
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
/// How long requests that end are collected before the store is asked for more.
const COLLECT_SENT: Duration = Duration::from_millis(20);
/// For how much longer than a request may take a message is claimed: the store may be slow, too.
const CLAIM_MARGIN: Duration = Duration::from_secs(5);
/// From here on a service is slow: the known ones take some tenths of a second.
const SLOW: Duration = Duration::from_secs(3);
/// The pauses after failures …
const BACKOFF: Backoff = Backoff { min: Duration::from_secs(30), max: Duration::from_secs(60 * 60) };
/// … and after requests that took long.
const SLOW_BACKOFF: Backoff = Backoff { min: Duration::from_secs(60), max: Duration::from_secs(4 * 60 * 60) };
/// How often in a row a service gets the pause that it asks for.
const ASKED_TIMES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// The pause in seconds.
    fn pause(sent: Sent, failures: u32) -> f64 {
        match sent.done(failures, 1_000).service {
            PushService::Fails { retry_ms } => (retry_ms - 1_000) as f64 / 1_000.0,
            other => panic!("{other:?}"),
        }
    }

    fn failed(asked: Option<u64>, is_slow: bool) -> Sent {
        Sent::Failed { asked: asked.map(Duration::from_secs), is_slow }
    }

    #[test]
    fn a_service_that_fails_again_and_again_waits_longer() {
        for (failures, longest) in [(0, 30.0), (1, 60.0), (4, 480.0), (20, 3_600.0)] {
            let pause = pause(failed(None, false), failures);
            assert!((longest / 2.0..=longest).contains(&pause), "{failures}: {pause}");
        }
    }

    #[test]
    fn a_service_that_takes_long_waits_longer_whatever_it_answers() {
        let taken = Sent::Answered { is_taken: true, is_slow: true };
        for (failures, longest) in [(0, 60.0), (1, 120.0), (4, 960.0), (20, 14_400.0)] {
            for sent in [taken, failed(None, true), failed(Some(1), true)] {
                let pause = pause(sent, failures);
                assert!((longest / 2.0..=longest).contains(&pause), "{sent:?} {failures}: {pause}");
            }
        }
        assert!(taken.done(0, 1_000).is_finished);
    }

    #[test]
    fn a_service_may_ask_for_a_short_pause_some_times_only() {
        for failures in 0..ASKED_TIMES {
            assert_eq!(pause(failed(Some(1), false), failures), 1.0);
        }
        assert!(pause(failed(Some(1), false), ASKED_TIMES) >= 120.0);
        assert_eq!(pause(failed(Some(3_600), false), ASKED_TIMES), 3_600.0);
    }

    #[test]
    fn what_was_not_sent_says_nothing_of_the_service() {
        for sent in [Sent::Unwanted, Sent::TooLong] {
            assert_eq!(sent.done(3, 1).service, PushService::NotAsked);
        }
        let refused = Sent::Answered { is_taken: false, is_slow: false };
        assert_eq!((refused.outcome(), refused.done(3, 1).service), ("refused", PushService::Works));
        let timed_out = Sent::answered(Err(OutgoingError::TimedOut), false);
        assert_eq!(timed_out, failed(None, true));
    }
}
