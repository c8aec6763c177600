//! A client of protocol v2 that is the published driver, with its own sockets: only
//! its events are recorded.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chat_client::{
    Client, ClientOptions, Credentials, Event as ClientEvent, Events, Options, Rng, SendError,
    Topic as ClientTopic,
};
use chat_core::Topic;
use tokio::sync::watch;

use super::notebook::Notebook;
use super::topics::Topics;
use super::{Phase, Shared};
use crate::ledger::{AppLog, Event, GivenUp, Send, Wanted, in_room};

pub(super) struct Bot {
    pub(super) client: usize,
    pub(super) user: Arc<str>,
    pub(super) cookie: String,
    pub(super) rooms: Vec<String>,
    pub(super) rng: Rng,
    pub(super) options: Options,
    pub(super) shared: Arc<Shared>,
}

type LastSeqs = Arc<Mutex<HashMap<Topic, u64>>>;

impl Bot {
    /// Runs until [`Phase::Stop`].
    pub(super) async fn run(mut self, mut phases: watch::Receiver<Phase>) -> Notebook {
        let mut notebook = Notebook::new(Arc::clone(&self.user));
        let token = self.cookie.trim_start_matches("auth=").to_owned();
        let options = ClientOptions {
            session: self.options.clone(),
            close_grace: Duration::from_secs(2),
            ..ClientOptions::new(Credentials::Token(token))
        };
        let address = format!("http://{}", self.shared.server);
        let (client, events) = Client::connect(&address, options).await.expect("its token is valid");
        let last_seqs = LastSeqs::default();
        let listening = tokio::spawn(listen(
            events,
            Arc::clone(&self.user),
            Arc::clone(&self.shared),
            Arc::clone(&last_seqs),
        ));
        for room in &self.rooms {
            client.join(room).await.expect("there are few rooms");
        }
        let mut sent = 0;
        while *phases.borrow() < Phase::FinalMessages {
            let pause = self.rng.milliseconds(0..200);
            let room = self.rooms[self.rng.index(self.rooms.len())].clone();
            self.send(&client, room, &mut sent, &mut notebook).await;
            tokio::time::sleep(pause).await;
        }
        for room in self.rooms.clone() {
            self.send(&client, room, &mut sent, &mut notebook).await;
        }
        self.shared.answered.fetch_add(1, Ordering::Relaxed);
        let mut is_caught_up = false;
        while *phases.borrow_and_update() < Phase::Stop {
            if !is_caught_up
                && self.shared.answered.load(Ordering::Relaxed) == self.shared.clients
                && self.has_seen_everything(&last_seqs)
            {
                is_caught_up = true;
                self.shared.caught_up.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        client.close().await;
        notebook.app = listening.await.expect("it does not panic");
        notebook.app.stayed_in = self.rooms.iter().map(|room| in_room(room)).collect();
        notebook
    }

    /// Sends a message and waits until it is committed, however long that takes.
    async fn send(&self, client: &Client, room: String, sent: &mut usize, notebook: &mut Notebook) {
        let text = format!("{}.{} the bot says {sent}", self.user, self.client);
        let nonce = format!("bot-{}-{sent}", self.client);
        *sent += 1;
        notebook.sends.push(Send {
            client: self.client,
            user: Arc::clone(&self.user),
            topic: in_room(&room),
            text: text.clone(),
            what: Wanted::Message,
            nonce: Some(nonce.clone()),
        });
        match client.send_once(nonce.clone(), ClientTopic::Room(room), text).await {
            // The outcome is among the events, too.
            Ok(_) | Err(SendError::Undecided) => {}
            Err(error) => {
                let may_be_stored = matches!(error, SendError::NotSent { may_be_stored: true, .. });
                let user = Arc::clone(&self.user);
                notebook.given_up.push(GivenUp { user, nonce, code: error.to_string(), may_be_stored });
            }
        }
    }

    fn has_seen_everything(&self, last_seqs: &LastSeqs) -> bool {
        let last_seqs = last_seqs.lock().unwrap_or_else(PoisonError::into_inner);
        self.rooms.iter().all(|room| {
            let topic = in_room(room);
            last_seqs.get(&topic).copied().unwrap_or_default() >= self.shared.last_seq(&topic)
        })
    }
}

/// Records all events until the client is closed.
async fn listen(mut events: Events, user: Arc<str>, shared: Arc<Shared>, last_seqs: LastSeqs) -> AppLog {
    let mut topics = Topics::new(Arc::clone(&user));
    let mut app = AppLog { user, ..AppLog::default() };
    while let Some(event) = events.next().await {
        if let ClientEvent::Stored { topic, seq, .. } = &event {
            shared.acked.fetch_add(1, Ordering::Relaxed);
            shared.raise_last_seq(&topics.of(topic), *seq);
        }
        let Some(event) = topics.event(event) else { continue };
        if let Event::Entry(seen) = &event {
            let mut last_seqs = last_seqs.lock().unwrap_or_else(PoisonError::into_inner);
            last_seqs.insert((*seen.topic).clone(), seen.seq);
        }
        app.events.push((shared.elapsed(), event));
    }
    app
}
