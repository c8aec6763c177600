//! Certificates that the server gets itself, from Pebble, the certificate authority for tests.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::common::{Authority, Https, Process, Request, free_address, tool};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::TLS13;
use serde_json::json;
use tokio::process::{Child, Command};

/// Starts Pebble, which looks for the challenges of `localhost` on the port of `http`.
async fn start_pebble(
    pebble: std::process::Command,
    folder: &Path,
    directory: SocketAddr,
    management: SocketAddr,
    http: SocketAddr,
) -> Child {
    let config = json!({ "pebble": {
        "listenAddress": directory.to_string(),
        "managementListenAddress": management.to_string(),
        "certificate": folder.join("pebble.pem"),
        "privateKey": folder.join("pebble.key"),
        "httpPort": http.port(),
        "tlsPort": 1,
        "certificateValidityPeriod": VALID_SECONDS,
    } });
    std::fs::write(folder.join("pebble.json"), config.to_string()).unwrap();
    let log = std::fs::File::create(folder.join("pebble.log")).unwrap();
    let mut command = Command::from(pebble);
    command.arg("-config").arg(folder.join("pebble.json")).env("PEBBLE_VA_NOSLEEP", "1");
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
    let pebble = command.spawn().unwrap();
    let is_up = async || {
        let [management, directory] = [management, directory].map(tokio::net::TcpStream::connect);
        management.await.is_ok() && directory.await.is_ok()
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !is_up().await {
        assert!(tokio::time::Instant::now() < deadline, "Pebble does not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    pebble
}

/// A third of it is left when the certificate is renewed.
const VALID_SECONDS: u64 = 60;

fn spawn(folder: &Path, directory: SocketAddr) -> Process {
    let mut command = Process::command(&folder.join("data"));
    command.args(["--http-listen", "127.0.0.1:0", "--acme-domains", "localhost"]);
    command.args(["--acme-email", "someone@example.org"]);
    command.args(["--acme-directory", &format!("https://localhost:{}/dir", directory.port())]);
    command.arg("--acme-root").arg(folder.join("root.pem"));
    Process::spawn(command)
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn the_server_gets_a_certificate_renews_it_and_keeps_it() {
    let Some(pebble) = tool("pebble", "pebble") else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new();
    authority.issue(&folder.join("pebble.pem"), &folder.join("pebble.key"));
    std::fs::write(folder.join("root.pem"), authority.pem()).unwrap();
    let (directory, management) = (free_address(), free_address());

    // The start waits for no authority; without a certificate, handshakes are refused.
    let mut server = spawn(folder, directory);
    let address = server.until_ready().await;
    server.until_logged("the certificate authority has issued no certificate").await;
    assert!(authority.client(address, &[&TLS13]).connect().await.is_err());

    // A signal ends the pause behind the failure.
    let http = server.logged_address("redirecting HTTP to HTTPS").await;
    let mut pebble = start_pebble(pebble, folder, directory, management, http).await;
    server.signal("-HUP").await;
    server.until_logged("new connections get this certificate").await;

    let root = authority.client(management, &[&TLS13]).send(Request::get("/roots/0")).await.expect_ok();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&root.body).unwrap()).unwrap();
    let client = Https::new(address, roots.clone(), &[&TLS13]);
    let first = client.certificate().await;
    let mut alice = client.enter(&client.register("alice").await.0, "room").await;
    let kept = files(&folder.join("data/acme"));
    assert_eq!(kept.len(), 2, "{kept:?}");
    for file in &kept {
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }

    // Renewed while sockets stay, and before it ends.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(VALID_SECONDS);
    while client.certificate().await == first {
        assert!(tokio::time::Instant::now() < deadline, "not renewed");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let second = client.certificate().await;
    alice.post("room", "still here", "n").await;
    while alice.next().await["text"] != "still here" {}

    // A start needs no authority.
    pebble.kill().await.unwrap();
    server.terminate().await;
    assert!(server.ended().await.success());
    let mut server = spawn(folder, directory);
    let address = server.until_ready().await;
    assert_eq!(Https::new(address, roots, &[&TLS13]).certificate().await, second);
}
