//! A minimal HTTP client: one request for each connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The password of every account.
pub(crate) const PASSWORD: &str = "a good password";

/// The status of an answer, and all of its bytes.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON; `null` if it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        let body = self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or_default()
    }
}

pub(crate) async fn get(server: SocketAddr, path: &str) -> io::Result<Answer> {
    send(server, &format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")).await
}

/// The same with the token of a user or bot.
pub(crate) async fn get_as(server: SocketAddr, path: &str, token: &str) -> io::Result<Answer> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n");
    send(server, &format!("{head}Authorization: Bearer {token}\r\n\r\n")).await
}

/// Registers an account and signs it in; returns the cookie.
pub(crate) async fn account(server: SocketAddr, name: &str) -> io::Result<String> {
    let form = format!(
        "--b\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\n{name}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n{PASSWORD}\r\n--b--\r\n"
    );
    let registered = post(server, "/api/register", "multipart/form-data; boundary=b", &form).await?;
    if registered.status != 200 {
        return Err(io::Error::other(format!("{name} was not registered: {}", registered.text)));
    }
    let login = serde_json::json!({ "username": name, "password": PASSWORD }).to_string();
    let answer = post(server, "/api/login", "application/json", &login).await?;
    let lines = answer.text.lines().filter_map(|line| line.split_once(": "));
    let cookie = lines.filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"));
    let cookie = cookie.filter_map(|(_, cookie)| cookie.split(';').next()).next();
    cookie.map(str::to_owned).ok_or_else(|| io::Error::other(format!("no cookie: {}", answer.text)))
}

/// Sends JSON (none if it is `null`) to a call of the API, with the cookie of a session.
pub(crate) async fn call(
    server: SocketAddr,
    method: &str,
    path: &str,
    cookie: &str,
    json: &serde_json::Value,
) -> io::Result<Answer> {
    let body = if json.is_null() { String::new() } else { json.to_string() };
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nCookie: {cookie}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    send(server, &format!("{head}{body}")).await
}

async fn post(server: SocketAddr, path: &str, kind: &str, body: &str) -> io::Result<Answer> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    send(server, &format!("{head}{body}")).await
}

async fn send(server: SocketAddr, request: &str) -> io::Result<Answer> {
    let answer = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no answer"))?;
        Ok(Answer { status, text })
    };
    tokio::time::timeout(TIMEOUT, answer).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

const TIMEOUT: Duration = Duration::from_secs(60);
