//! The OpenID provider that signs users in, over HTTP.

use std::time::Duration;

use chat_auth::{OidcAnswer, OidcAnswering, OidcOptions, OidcProvider, OidcRequest};
use chat_http::OidcSignIn;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};

use crate::answer_text;

/// What the settings say of the provider.
#[derive(Debug, Clone)]
pub(crate) struct OidcSettings {
    /// How the page calls it.
    pub(crate) name: String,
    pub(crate) options: OidcOptions,
}

impl OidcSettings {
    /// The provider. It is asked when the first user signs in, so that the server starts without it.
    ///
    /// # Errors
    ///
    /// No requests can be sent.
    pub(crate) fn sign_in(&self) -> Result<OidcSignIn, reqwest::Error> {
        let client = client()?;
        let send = move |request| -> OidcAnswering { Box::pin(answer(client.clone(), request)) };
        Ok(OidcSignIn::new(self.name.clone(), OidcProvider::new(self.options.clone(), send)))
    }
}

fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .build()
}

/// How long a connection to the provider may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take in all: a user waits for it.
const TIMEOUT: Duration = Duration::from_secs(10);

async fn answer(
    client: reqwest::Client,
    OidcRequest { url, authorization, form }: OidcRequest,
) -> Result<OidcAnswer, Box<dyn std::error::Error + Send + Sync>> {
    let mut request = match form {
        Some(form) => client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form),
        None => client.get(url),
    };
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let response = request.header(ACCEPT, "application/json").send().await?;
    Ok(OidcAnswer { status: response.status().as_u16(), body: answer_text::read(response).await? })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_lost_answer_is_an_error_in_time_and_the_code_is_sent_once() {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id_token\":";
        for (what, sent) in [("silence", None), ("the end", Some("")), ("half an answer", Some(half))] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/token", listener.local_addr().unwrap());
            let asked = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&asked);
            let provider = tokio::spawn(async move {
                let mut kept = Vec::new();
                loop {
                    let (mut socket, _) = listener.accept().await.unwrap();
                    let (mut request, mut byte) = (Vec::new(), [0]);
                    while !request.ends_with(b"code=one") {
                        socket.read_exact(&mut byte).await.unwrap();
                        request.extend(byte);
                    }
                    counted.fetch_add(1, Ordering::Relaxed);
                    match sent {
                        Some(sent) => socket.write_all(sent.as_bytes()).await.unwrap(),
                        None => kept.push(socket),
                    }
                }
            });
            let request = OidcRequest { url, authorization: None, form: Some("code=one".to_owned()) };
            let answered = tokio::spawn(answer(client().unwrap(), request));
            while asked.load(Ordering::Relaxed) == 0 && !answered.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // From now on, time passes as soon as nobody has anything to do but to wait for it.
            tokio::time::pause();
            let answered = tokio::time::timeout(Duration::from_secs(60), answered).await;
            tokio::time::resume();
            assert!(answered.expect("in time").unwrap().is_err(), "{what}");
            assert_eq!(asked.load(Ordering::Relaxed), 1, "{what}");
            provider.abort();
        }
    }
}
