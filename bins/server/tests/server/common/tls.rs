//! Certificates, and clients with TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::http::{Answer, Request};
use super::person::{PASSWORD, Socket};

/// A certificate authority of a test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The authority's own certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes a certificate for `localhost`, with its chain, and its key.
    pub(crate) fn issue(&self, certificate: &Path, key: &Path) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        self.issue_as(CertificateParams::new(names).unwrap(), certificate, key);
    }

    /// Likewise, with what the certificate has to say.
    pub(crate) fn issue_as(&self, params: CertificateParams, certificate: &Path, key: &Path) {
        let pair = KeyPair::generate().unwrap();
        let issued = params.signed_by(&pair, &self.0).unwrap();
        std::fs::write(certificate, issued.pem() + &self.pem()).unwrap();
        std::fs::write(key, pair.serialize_pem()).unwrap();
    }

    /// A client that trusts this authority only.
    pub(crate) fn client(&self, server: SocketAddr, versions: &[&'static SupportedProtocolVersion]) -> Https {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Https::new(server, roots, versions)
    }
}

/// A client of a server with TLS.
#[derive(Clone)]
pub(crate) struct Https {
    pub(crate) server: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Https {
    pub(crate) fn new(
        server: SocketAddr,
        roots: RootCertStore,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { server, config: Arc::new(config) }
    }

    pub(crate) async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        self.secure(TcpStream::connect(self.server).await?).await
    }

    pub(crate) async fn secure(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }

    /// The certificate that a new connection gets.
    pub(crate) async fn certificate(&self) -> Vec<u8> {
        let stream = self.connect().await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    pub(crate) async fn send(&self, request: Request) -> Answer {
        request.send_on(self.connect().await.unwrap(), &self.host()).await
    }

    /// The host in requests to the server.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.server.port())
    }

    /// A new account that is signed in: its cookie, and the line that set it.
    pub(crate) async fn register(&self, name: &str) -> (String, String) {
        let fields = [("username", name), ("password", PASSWORD)];
        self.send(Request::post("/api/register").form(&fields, None)).await.expect_ok();
        let login = json!({ "username": name, "password": PASSWORD });
        let answer = self.send(Request::post("/api/login").json(&login)).await.expect_ok();
        let line = answer.header("set-cookie").unwrap().to_owned();
        (line.split(';').next().unwrap().to_owned(), line)
    }

    /// A socket that speaks v2 and has joined a room.
    pub(crate) async fn enter(&self, cookie: &str, room: &str) -> Socket<TlsStream<TcpStream>> {
        let mut socket = self.open(self.connect().await.unwrap(), cookie).await;
        socket.join(&json!({ "type": "join", "room": room })).await;
        socket
    }

    /// A socket that speaks v2, on a connection.
    pub(crate) async fn open(
        &self,
        stream: TlsStream<TcpStream>,
        cookie: &str,
    ) -> Socket<TlsStream<TcpStream>> {
        let mut request = format!("wss://{}/ws", self.host()).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", "chat.v2".parse().unwrap());
        headers.insert("Cookie", cookie.parse().unwrap());
        headers.insert("Origin", format!("https://{}", self.host()).parse().unwrap());
        let (stream, _) = client_async(request, stream).await.unwrap();
        let mut socket = Socket { stream, replay: Vec::new() };
        assert_eq!(socket.next().await["type"], "hello");
        socket
    }
}
