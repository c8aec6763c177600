//! The server under load.

use std::error::Error;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::address::{Address, certify};
use crate::bench::on_first_core;
use crate::host;
use crate::process::Process;

/// The program that is started, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The server without TLS.
    Plain,
    /// The same, with the limits that it has without settings.
    Limited,
    /// Without TLS and those limits, on the first core only.
    OnOneCore,
    /// The server with TLS.
    Tls,
    /// A host that mounts the chat, with the store in memory.
    Mounted,
}

/// A server process, which ends when this value is dropped.
pub(crate) struct Server {
    pub(crate) address: Address,
    kind: Kind,
    process: Child,
    _folder: TempDir,
}

impl Server {
    /// Starts the server binary in this program's folder, with a certificate of its own if it is to
    /// have TLS; or this program as a host.
    pub(crate) async fn start(store: &str, shards: usize, kind: Kind) -> Result<Self, Box<dyn Error>> {
        let this = std::env::current_exe()?;
        let binary = if kind == Kind::Mounted { this } else { this.with_file_name("server") };
        let folder = tempfile::tempdir()?;
        let mut command = match kind {
            Kind::OnOneCore => on_first_core(&binary),
            _ => Command::new(&binary),
        };
        command
            // No setting of this program's environment changes what is measured.
            .env_clear()
            .args(["--shards", &shards.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut tls = None;
        if kind == Kind::Mounted {
            command.arg("host").arg(folder.path());
        } else {
            set_up(&mut command, store, folder.path())?;
            if kind != Kind::Limited {
                lift_limits(&mut command);
            }
        }
        if kind == Kind::Tls {
            let [certificate, key] = ["chat.pem", "chat.key"].map(|name| folder.path().join(name));
            tls = Some(certify(&certificate, &key)?);
            command.arg("--tls-certificate").arg(certificate).arg("--tls-key").arg(key);
        }
        let mut process = command.spawn().map_err(|error| {
            format!("{}: {error} (build it first, with the same profile)", binary.display())
        })?;
        let output = process.stdout.take().ok_or("no standard output")?;
        let line = BufReader::new(output).lines().next_line().await?.ok_or("the server did not start")?;
        let port: u16 = line.rsplit(':').next().unwrap_or_default().parse()?;
        let path = if kind == Kind::Mounted { host::PATH } else { "" };
        let address = Address { socket: ([127, 0, 0, 1], port).into(), path, tls };
        Ok(Self { address, kind, process, _folder: folder })
    }

    /// Registers accounts and signs them in, where they are not those of a host; returns their
    /// cookies.
    pub(crate) async fn users(&self, count: usize) -> Result<Vec<String>, Box<dyn Error>> {
        if self.kind == Kind::Mounted {
            return Ok((0..count).map(|number| format!("user=user{number}")).collect());
        }
        let mut cookies = Vec::with_capacity(count);
        for number in 0..count {
            expect_ok(self.call("POST", "/api/register", FORM, &form(&format!("user{number}"))).await?)?;
            let answer = expect_ok(self.sign_in(number).await?)?;
            let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "));
            let cookie = cookie.and_then(|cookie| cookie.split(';').next()).ok_or("no cookie")?;
            cookies.push(cookie.to_owned());
        }
        Ok(cookies)
    }

    /// Signs in one of the [`users`](Self::users); returns the whole answer.
    pub(crate) async fn sign_in(&self, user: usize) -> io::Result<String> {
        sign_in(&self.address, Ipv4Addr::LOCALHOST, user).await
    }

    /// Sends a request with these header lines; returns the whole answer.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> io::Result<String> {
        call(&self.address, method, path, headers, body).await
    }

    /// Waits until the server has done what it does after a start, such as compressing the page
    /// for a path of a host.
    pub(crate) async fn becomes_idle(&self) -> Result<(), Box<dyn Error>> {
        for _ in 0..60 {
            let before = self.process()?.cpu()?;
            tokio::time::sleep(Duration::from_millis(500)).await;
            if self.process()?.cpu()? - before <= Duration::from_millis(20) {
                return Ok(());
            }
        }
        Err("the server does not become idle".into())
    }

    pub(crate) fn process(&self) -> io::Result<Process> {
        self.process.id().map(Process).ok_or_else(|| io::Error::other("the server has ended"))
    }
}

/// Settings of a server whose limits no load meets.
fn lift_limits(command: &mut Command) {
    command
        .args(["--message-rate", "off", "--join-rate", "off", "--history-rate", "off"])
        .args(["--lists-per-minute", "1000000", "--socket-opens-per-minute", "1000000"])
        .args(["--user-clients-max", "1000000"])
        // All users come from one address.
        .args(["--registrations-per-address", "1000000", "--registrations-per-hour", "1000000"])
        .args(["--network-sign-ins-max", "1000000", "--network-failures-max", "1000000"])
        .args(["--connections-per-address", "1000000"]);
}

/// Settings that each server needs.
fn set_up(command: &mut Command, store: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    command
        .args(["--listen", "127.0.0.1:0", "--log", "warn", "--common-passwords", "allowed"])
        .args(["--room-changes-per-minute", "1000000"])
        .arg("--data-dir")
        .arg(folder.join("data"))
        .arg("--uploads-dir")
        .arg(folder.join("uploads"));
    match store {
        "sqlite" => Ok(()),
        "memory" => {
            command.args(["--database-url", "memory:"]);
            Ok(())
        }
        postgres if postgres.starts_with("postgres://") => {
            command.args(["--database-url", postgres]);
            Ok(())
        }
        _ => Err("--store is sqlite, memory, or the address of a Postgres database".into()),
    }
}

/// Signs in one of the [`users`](Server::users), from an address of this machine; returns the
/// whole answer.
pub(crate) async fn sign_in(server: &Address, from: Ipv4Addr, user: usize) -> io::Result<String> {
    let login = format!("{{\"username\":\"user{user}\",\"password\":\"password\"}}");
    call_from(from, server, "POST", "/api/login", "Content-Type: application/json\r\n", &login).await
}

/// The header line of a [`form`].
pub(crate) const FORM: &str = "Content-Type: multipart/form-data; boundary=b\r\n";

/// The form of a registration.
pub(crate) fn form(name: &str) -> String {
    format!(
        "--b\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\n{name}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\npassword\r\n--b--\r\n"
    )
}

/// Sends a request with these header lines; returns the whole answer.
pub(crate) async fn call(
    server: &Address,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> io::Result<String> {
    call_from(Ipv4Addr::LOCALHOST, server, method, path, headers, body).await
}

/// [`call`] from an address of this machine (127.x.x.x).
pub(crate) async fn call_from(
    from: Ipv4Addr,
    server: &Address,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> io::Result<String> {
    let mut stream = server.open_from(from).await?;
    let head = format!(
        "{method} {}{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\
         Content-Length: {}\r\n\r\n",
        server.path,
        server.socket,
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

pub(crate) fn expect_ok(answer: String) -> Result<String, Box<dyn Error>> {
    if answer.starts_with("HTTP/1.1 200") {
        Ok(answer)
    } else {
        Err(answer.lines().next().unwrap_or("no answer").into())
    }
}

/// Raises the limit of file descriptors: each socket needs one.
pub(crate) fn raise_descriptors() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
