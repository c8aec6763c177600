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
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()?;
        let send = move |request| -> OidcAnswering { Box::pin(answer(client.clone(), request)) };
        Ok(OidcSignIn::new(self.name.clone(), OidcProvider::new(self.options.clone(), send)))
    }
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
