//! A server that takes what the chat sends elsewhere.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::oneshot;

/// A server that keeps the requests it gets, and answers 200, or what it is told to.
pub struct Receiver {
    pub address: String,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: UnboundedReceiver<Received>,
}

/// A status, which may have headers behind it, and what it waits for.
type Answer = (String, Option<oneshot::Receiver<()>>);

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its first line in lower case, and the names of its headers.
    pub head: String,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| *known == name).map(|(_, value)| value).next().unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, requests) = mpsc::unbounded_channel();
        let answers: Arc<Mutex<VecDeque<Answer>>> = Arc::default();
        let next = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(received) = read(&mut stream).await else { continue };
                let answer = next.lock().unwrap().pop_front();
                let (status, held) = answer.unwrap_or_else(|| ("200 OK".to_owned(), None));
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                if let Some(held) = held {
                    let _ = sender.send(received);
                    let _ = held.await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                } else {
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = sender.send(received);
                }
            }
        });
        Self { address, answers, requests }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers so many further requests with this status, which may have headers behind it.
    pub fn answer(&self, status: &str, times: usize) {
        let answers = (0..times).map(|_| (status.to_owned(), None));
        self.answers.lock().unwrap().extend(answers);
    }

    /// Answers a further request with this status, once what is returned is dropped.
    pub fn hold(&self, status: &str) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        self.answers.lock().unwrap().push_back((status.to_owned(), Some(held)));
        release
    }

    /// The next request.
    pub async fn next(&mut self) -> Received {
        let request = tokio::time::timeout(Duration::from_secs(60), self.requests.recv()).await;
        request.expect("a request to the receiver").unwrap()
    }
}

async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    loop {
        let read = stream.read(&mut part).await.unwrap_or(0);
        request.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&request);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let head = head.to_owned();
            let small = head.to_lowercase();
            let length = small.split("content-length: ").nth(1)?.lines().next()?.parse::<usize>().ok()?;
            let body = &request[head.len() + 4..];
            if body.len() >= length {
                let lines = head.lines().map(|line| match line.split_once(": ") {
                    Some((name, value)) => format!("{}: {value}", name.to_lowercase()),
                    None => line.to_lowercase(),
                });
                let head = lines.collect::<Vec<_>>().join("\r\n");
                return Some(Received { head, body: body.to_vec() });
            }
        }
        if read == 0 {
            return None;
        }
    }
}
