//! The examples of `docs/proxy.md`, with the real proxies.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::common::{Authority, Https, Process, Request, free_address, tool};
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};

/// The first example of this language in the document.
fn example(language: &str) -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/proxy.md");
    let document = std::fs::read_to_string(document).unwrap();
    let (_, example) = document.split_once(&format!("```{language}\n")).unwrap();
    example.split_once("\n```").unwrap().0.to_owned()
}

/// The example with other values in place of what an operator fills in. Each must occur.
fn fill_in(mut example: String, values: &[(&str, &str)]) -> String {
    for (name, value) in values {
        assert!(example.contains(name), "{name} is not in the example");
        example = example.replace(name, value);
    }
    example
}

/// A server behind a proxy, as the document says.
struct Proxied {
    server: Process,
    proxy: Child,
    client: Https,
    http: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Proxied {
    /// `run` writes the proxy's configuration into a folder that has `chat.pem` and `chat.key`,
    /// and returns how to start it. It gets the addresses of http, https and the server.
    async fn start(run: impl FnOnce(&Path, [SocketAddr; 3]) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        authority.issue(&folder.path().join("chat.pem"), &folder.path().join("chat.key"));
        let (http, https) = (free_address(), free_address());
        let mut command = Process::command(&folder.path().join("data"));
        let url = format!("https://localhost:{}", https.port());
        command.args(["--public-url", &url, "--trusted-proxies", "127.0.0.1"]);
        let server = Process::spawn(command);
        let address = server.until_listening().await;
        let mut command = run(folder.path(), [http, https, address]);
        let log = std::fs::File::create(folder.path().join("proxy.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let mut proxy = command.spawn().unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(https).await.is_err() {
            let log = || std::fs::read_to_string(folder.path().join("proxy.log")).unwrap();
            assert!(proxy.try_wait().unwrap().is_none(), "{}", log());
            assert!(tokio::time::Instant::now() < deadline, "{}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let client = authority.client(https, &[&TLS13, &TLS12]);
        Self { server, proxy, client, http, _folder: folder }
    }

    async fn send_from(&self, from: [u8; 4], request: Request) -> u16 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = self.client.secure(socket.connect(self.client.server).await.unwrap()).await.unwrap();
        request.send_on(stream, &self.client.host()).await.status
    }

    /// What people need of a proxy.
    async fn check(mut self) {
        let client = &self.client;
        let (alice, line) = client.register("alice").await;
        assert!(line.ends_with("; Secure"), "{line}");
        let (bob, _) = client.register("bob").await;
        let mut bob = client.enter(&bob, "room").await;
        let mut socket = client.enter(&alice, "room").await;
        socket.post("room", "hi", "n").await;
        while bob.next().await["text"] != "hi" {}

        // A file as large as files may be, which the proxy neither refuses nor stores.
        let bytes = vec![b'x'; 25 * 1024 * 1024];
        let upload = Request::post("/api/files?name=large.txt").header("Cookie", &alice);
        let answer = client.send(upload.header("Content-Type", "text/plain").body(&bytes)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let answer = answer.json();
        let path = format!("/files/{}/large.txt", answer["id"].as_str().unwrap());
        let answer = client.send(Request::get(&path).header("Cookie", &alice)).await.expect_ok();
        assert!(answer.body == bytes);

        // The limits see the addresses of clients.
        let login = json!({ "username": "alice", "password": "a wrong guess" });
        let guess = || Request::post("/api/login").json(&login);
        let mut status = 401;
        for _ in 0..11 {
            status = self.send_from([127, 0, 0, 5], guess()).await;
        }
        assert_eq!(status, 429);
        // A header of the client does not change its address.
        let forged = guess().header("X-Forwarded-For", "198.51.100.7");
        assert_eq!(self.send_from([127, 0, 0, 5], forged).await, 429);
        assert_eq!(self.send_from([127, 0, 0, 6], guess()).await, 401);
        let log = self.server.log();
        assert!(!log.contains("not trusted") && !log.contains("is ignored"), "{log}");

        let stream = TcpStream::connect(self.http).await.unwrap();
        let answer = Request::get("/x?y").send_on(stream, "localhost").await;
        assert!([301, 308].contains(&answer.status), "{answer:?}");
        assert!(answer.header("location").unwrap().ends_with("/x?y"), "{answer:?}");
        assert_eq!(client.send(Request::get("/metrics")).await.status, 404);

        // The server's close frame and the end pass, too.
        self.server.terminate().await;
        assert_eq!(bob.close_code().await, Some(1012));
        let (mut stream, mut rest) = (bob.stream.into_inner(), Vec::new());
        let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut rest)).await;
        // A proxy may leave close_notify away.
        let _ = ended.expect("it ends");
        self.proxy.kill().await.unwrap();
    }
}

#[tokio::test]
async fn the_example_for_nginx_works() {
    let Some(nginx) = tool("nginx", "nginx") else { return };
    let proxied = Proxied::start(|folder, [http, https, server]| {
        let certificate = folder.join("chat.pem");
        let key = folder.join("chat.key");
        let example = fill_in(
            example("nginx"),
            &[
                ("    listen [::]:80;\n", ""),
                ("    listen [::]:443 ssl;\n", ""),
                ("listen 80;", &format!("listen {http};")),
                ("listen 443 ssl;", &format!("listen {https} ssl;")),
                ("chat.example.org;", "localhost;"),
                ("/etc/letsencrypt/live/chat.example.org/fullchain.pem", certificate.to_str().unwrap()),
                ("/etc/letsencrypt/live/chat.example.org/privkey.pem", key.to_str().unwrap()),
                ("127.0.0.1:8080", &server.to_string()),
            ],
        );
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {kind};\n"))
            .concat();
        let config = format!(
            "daemon off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{example}\n}}\n"
        );
        std::fs::write(folder.join("nginx.conf"), config).unwrap();
        let mut command = Command::from(nginx);
        command.arg("-e").arg("stderr").arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
        command
    });
    proxied.await.check().await;
}

#[tokio::test]
async fn the_example_for_caddy_works() {
    let Some(caddy) = tool("caddy", "caddy") else { return };
    let proxied = Proxied::start(|folder, [http, https, server]| {
        let tls =
            format!("tls {} {}\n", folder.join("chat.pem").display(), folder.join("chat.key").display());
        let example = fill_in(
            example("caddy"),
            &[
                ("chat.example.org {\n", &format!("https://localhost:{} {{\n    {tls}", https.port())),
                ("127.0.0.1:8080", &server.to_string()),
            ],
        );
        // Elsewhere than on its usual ports, Caddy must be told where HTTP is.
        let options = format!(
            "{{\n    admin off\n    http_port {}\n    https_port {}\n    default_bind 127.0.0.1\n}}\n",
            http.port(),
            https.port()
        );
        let file = folder.join("Caddyfile");
        std::fs::write(&file, options + &example + "\n").unwrap();
        let mut command = Command::from(caddy);
        command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        command
    });
    proxied.await.check().await;
}
