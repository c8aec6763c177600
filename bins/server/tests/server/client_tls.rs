//! chat-client with TLS on the real server: what works, and what people read if it does not.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::{Authority, PASSWORD, Process};
use chat_client::{
    Api, CertificateProblem, Client, ClientOptions, ConnectError, Credentials, Event, NewFile, ServerUrl,
    SignInError, Topic, Unreachable, server_info, sign_in,
};
use rcgen::{CertificateParams, date_time_ymd};
use rustls::version::TLS13;
use tempfile::TempDir;

/// A server with a certificate of an authority that is not the system's.
struct Secured {
    process: Process,
    authority: Authority,
    address: SocketAddr,
    folder: TempDir,
}

impl Secured {
    async fn start(params: CertificateParams) -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let [certificate, key] = ["chat.pem", "chat.key"].map(|name| folder.path().join(name));
        authority.issue_as(params, &certificate, &key);
        let mut command = Process::command(&folder.path().join("data"));
        command.arg("--tls-certificate").arg(certificate).arg("--tls-key").arg(key);
        let process = Process::spawn(command);
        let address = process.until_listening().await;
        Self { process, authority, address, folder }
    }

    /// The address by this name of the host.
    fn url(&self, host: &str) -> ServerUrl {
        ServerUrl::parse(&format!("https://{host}:{}", self.address.port())).unwrap()
    }

    /// The address for a client that trusts the authority.
    fn trusted(&self, host: &str) -> ServerUrl {
        self.url(host).trusting(self.authority.pem().as_bytes()).unwrap()
    }
}

fn for_localhost() -> CertificateParams {
    CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap()
}

fn alice() -> ClientOptions {
    let (username, password) = ("alice".to_owned(), PASSWORD.to_owned());
    let mut options = ClientOptions::new(Credentials::Password { username, password });
    options.connect_patience = Duration::ZERO;
    options
}

#[tokio::test]
async fn a_program_chats_over_tls() {
    let server = Secured::start(for_localhost()).await;
    server.authority.client(server.address, &[&TLS13]).register("alice").await;
    // By name and by address.
    for host in ["localhost", "127.0.0.1"] {
        let url = server.trusted(host);
        assert_eq!(server_info(&url).await.unwrap().title, "Chat");
        let token = sign_in(&url, "alice", PASSWORD).await.unwrap();
        assert_eq!(Api::new(url.clone(), token).me().await.unwrap().username, "alice");

        let (client, mut events) = Client::connect_to(url, alice()).await.unwrap();
        client.join("default").await.unwrap();
        // Longer than a record of TLS.
        let text = format!("{host} {}", "д".repeat(3_900));
        client.send(Topic::room("default"), &text).await.unwrap();
        loop {
            match events.next().await.unwrap() {
                Event::Message { entry, .. } if entry.text == text => break,
                _ => {}
            }
        }
        let api = client.api().await.unwrap();
        let bytes = vec![7; 200_000];
        let new = NewFile::new("seven.bin");
        let file = api.upload_bytes(new, bytes).await.unwrap();
        assert_eq!(file.size, 200_000);
        assert!(client.unreachable().await.is_none());
        assert_eq!(client.close().await, []);
    }
}

#[tokio::test]
async fn a_program_comes_back_over_tls() {
    let mut server = Secured::start(for_localhost()).await;
    server.authority.client(server.address, &[&TLS13]).register("alice").await;
    let (client, mut events) = Client::connect_to(server.trusted("localhost"), alice()).await.unwrap();
    client.join("default").await.unwrap();
    server.process.kill().await;
    while !matches!(client.unreachable().await, Some(Unreachable::ConnectionRefused { .. })) {
        events.next().await.unwrap();
    }
    let data = server.folder.path().join("data");
    let mut command = Process::command_at(&server.address.to_string(), &data);
    let [certificate, key] = ["chat.pem", "chat.key"].map(|name| server.folder.path().join(name));
    command.arg("--tls-certificate").arg(certificate).arg("--tls-key").arg(key);
    server.process = Process::spawn(command);
    server.process.until_listening().await;
    client.send(Topic::room("default"), "back").await.unwrap();
    assert!(client.unreachable().await.is_none());
}

#[tokio::test]
async fn people_read_what_is_wrong_with_a_certificate() {
    let server = Secured::start(for_localhost()).await;
    let other = ["chat.example.org".to_owned(), "192.0.2.1".to_owned()];
    let other = Secured::start(CertificateParams::new(other).unwrap()).await;
    let with_time = |first, last| {
        let mut params = for_localhost();
        (params.not_before, params.not_after) = (date_time_ymd(first, 1, 1), date_time_ymd(last, 1, 1));
        params
    };
    let expired = Secured::start(with_time(2001, 2002)).await;
    let future = Secured::start(with_time(2400, 2401)).await;
    let names = vec!["chat.example.org".to_owned(), "192.0.2.1".to_owned()];
    for (url, expected, sentence) in [
        (
            server.url("localhost"),
            CertificateProblem::UnknownIssuer,
            "the certificate of localhost is not accepted: no authority that is trusted here has issued it \
             (for an authority of your own, give its certificate)",
        ),
        (
            other.trusted("localhost"),
            CertificateProblem::OtherHost { names },
            "the certificate of localhost is not accepted: it is for another host (chat.example.org, 192.0.2.1)",
        ),
        (
            expired.trusted("localhost"),
            CertificateProblem::Expired,
            "the certificate of localhost is not accepted: it has expired",
        ),
        (
            future.trusted("127.0.0.1"),
            CertificateProblem::NotYetValid,
            "the certificate of 127.0.0.1 is not accepted: it is not valid yet: check the clock of this machine",
        ),
    ] {
        // However patient the client is.
        let patient = ClientOptions { connect_patience: Duration::MAX, ..alice() };
        let error = Client::connect_to(url.clone(), patient).await.unwrap_err();
        assert_eq!(error.to_string(), sentence);
        let error = sign_in(&url, "alice", PASSWORD).await.unwrap_err();
        assert_eq!(error.to_string(), sentence);
        let SignInError::Unreachable(Unreachable::Certificate { problem, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(problem, expected);
    }
}

#[tokio::test]
async fn people_read_that_an_address_has_the_wrong_scheme() {
    let secured = Secured::start(for_localhost()).await;
    let url = ServerUrl::parse(&format!("http://{}", secured.address)).unwrap();
    let error = Client::connect_to(url, alice()).await.unwrap_err();
    assert!(matches!(error, ConnectError::UnsupportedServer { status: 400 }), "{error}");
    assert!(error.to_string().ends_with("(perhaps it has to begin with https://)"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let plain = Process::spawn(Process::command(folder.path()));
    let address = plain.until_listening().await;
    let url = ServerUrl::parse(&format!("https://{address}")).unwrap();
    let error = Client::connect_to(url, alice()).await.unwrap_err();
    let sentence = format!("{address} does not speak TLS: check the port, or give an address with http://");
    assert_eq!(error.to_string(), sentence);
}
