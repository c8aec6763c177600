//! One client of protocol v2 as an application has it: the published driver
//! with its own sockets, of which only the events are seen.

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

use super::device::Notebook;
use super::topics::Topics;
use super::{Phase, Shared};
use crate::ledger::{Event, GivenUp, Send, Told, in_room};

pub(crate) struct Bot {
    pub(crate) client: usize,
    pub(crate) user: Arc<str>,
    pub(crate) cookie: String,
    pub(crate) rooms: Vec<String>,
    pub(crate) rng: Rng,
    pub(crate) options: Options,
    pub(crate) shared: Arc<Shared>,
}

type Tops = Arc<Mutex<HashMap<Topic, u64>>>;

impl Bot {
    pub(crate) async fn live(mut self, mut phases: watch::Receiver<Phase>) -> Notebook {
        let mut notebook = Notebook::default();
        let token = self.cookie.trim_start_matches("auth=").to_owned();
        let options = ClientOptions {
            session: self.options.clone(),
            close_grace: Duration::from_secs(2),
            ..ClientOptions::new(Credentials::Token(token))
        };
        let address = format!("http://{}", self.shared.server);
        let (client, events) = Client::connect(&address, options).await.expect("its token is good");
        let tops = Tops::default();
        let listening =
            tokio::spawn(listen(events, Arc::clone(&self.user), Arc::clone(&self.shared), Arc::clone(&tops)));
        for room in &self.rooms {
            client.join(room).await.expect("there are few rooms");
        }
        let mut said = 0;
        while *phases.borrow() < Phase::LastWords {
            let pause = self.rng.milliseconds(0..200);
            let room = self.rooms[self.rng.index(self.rooms.len())].clone();
            self.say(&client, room, &mut said, &mut notebook).await;
            tokio::time::sleep(pause).await;
        }
        for room in self.rooms.clone() {
            self.say(&client, room, &mut said, &mut notebook).await;
        }
        self.shared.answered.fetch_add(1, Ordering::Relaxed);
        let mut is_settled = false;
        while *phases.borrow_and_update() < Phase::Stop {
            if !is_settled
                && self.shared.answered.load(Ordering::Relaxed) == self.shared.clients
                && self.is_at_the_top(&tops)
            {
                is_settled = true;
                self.shared.settled.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        client.close().await;
        notebook.told = listening.await.expect("it does not panic");
        notebook.told.stayed_in = self.rooms.iter().map(|room| in_room(room)).collect();
        notebook
    }

    /// Waits until it is stored, however long that takes.
    async fn say(&self, client: &Client, room: String, said: &mut usize, notebook: &mut Notebook) {
        let text = format!("{}.{} the bot says {said}", self.user, self.client);
        let nonce = format!("bot-{}-{said}", self.client);
        *said += 1;
        notebook.sends.push(Send {
            client: self.client,
            user: Arc::clone(&self.user),
            topic: in_room(&room),
            text: text.clone(),
            nonce: Some(nonce.clone()),
        });
        match client.send_once(nonce.clone(), ClientTopic::Room(room), text).await {
            // The events say so, too.
            Ok(_) | Err(SendError::Undecided) => {}
            Err(error) => {
                let may_be_stored = matches!(error, SendError::NotSent { may_be_stored: true, .. });
                let user = Arc::clone(&self.user);
                notebook.given_up.push(GivenUp { user, nonce, code: error.to_string(), may_be_stored });
            }
        }
    }

    fn is_at_the_top(&self, tops: &Tops) -> bool {
        let tops = tops.lock().unwrap_or_else(PoisonError::into_inner);
        self.rooms.iter().all(|room| {
            let topic = in_room(room);
            tops.get(&topic).copied().unwrap_or_default() >= self.shared.top(&topic)
        })
    }
}

/// Writes down all events, until the client is closed.
async fn listen(mut events: Events, user: Arc<str>, shared: Arc<Shared>, tops: Tops) -> Told {
    let mut topics = Topics::new(Arc::clone(&user));
    let mut told = Told { user, ..Told::default() };
    while let Some(event) = events.next().await {
        if let ClientEvent::Stored { topic, seq, .. } = &event {
            shared.acked.fetch_add(1, Ordering::Relaxed);
            shared.raise_top(&topics.of(topic), *seq);
        }
        let Some(event) = topics.noted(event) else { continue };
        if let Event::Entry(seen) = &event {
            let mut tops = tops.lock().unwrap_or_else(PoisonError::into_inner);
            tops.insert((*seen.topic).clone(), seen.seq);
        }
        told.events.push((shared.started.elapsed(), event));
    }
    told
}
