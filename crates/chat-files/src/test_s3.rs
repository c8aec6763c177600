//! An S3-compatible server, for the tests of this crate and of the crates above.
//!
//! The program s3s-fs is searched in `$S3S_FS` and in `target/tools/bin`, where `cargo xtask
//! test` installs it. Where it is missing, the tests print that they were not run; with
//! `CI=true` this is an error.
//!
//! Functions panic where a program for users would return an error, as tests need no more.

#![expect(clippy::unwrap_used, reason = "this is a part of tests")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::S3Location;

/// A server with an empty bucket. Dropping this value ends it, and removes the bucket.
pub struct TestS3 {
    process: Child,
    folder: TempDir,
    endpoint: String,
}

const BUCKET: &str = "chat";
const KEY_ID: &str = "an-id";
const SECRET_KEY: &str = "a-secret-key";

impl TestS3 {
    /// Starts a server; `None` (and a printed line) if the program is missing.
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            let why = "there is no s3s-fs in $S3S_FS or target/tools/bin";
            // Not captured by the harness of tests.
            let mut stderr = std::io::stderr().lock();
            writeln!(stderr, "NOT RUN on S3: {why}").unwrap();
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{why}");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut process = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0", "--access-key", KEY_ID, "--secret-key", SECRET_KEY])
            .arg(folder.path())
            .env("RUST_LOG", "info")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let endpoint = loop {
            let line = lines.next().expect("the server says where it listens").unwrap();
            if let Some((_, address)) = line.split_once("http://") {
                let address: String =
                    address.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
                break format!("http://{address}");
            }
        };
        // A full pipe would stop the server.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, folder, endpoint })
    }

    /// Where files are in the bucket of this server.
    pub fn location(&self, prefix: &str) -> S3Location {
        S3Location {
            bucket: BUCKET.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: Some(self.endpoint.clone()),
            region: None,
            credentials: Some((KEY_ID.to_owned(), SECRET_KEY.to_owned())),
        }
    }

    /// The flags with which a server of the chat keeps its files in the bucket.
    pub fn flags(&self, prefix: &str) -> Vec<String> {
        let url = format!("s3://{BUCKET}/{prefix}");
        let flags = [
            ("--files-url", url.as_str()),
            ("--files-s3-endpoint", &self.endpoint),
            ("--files-s3-access-key-id", KEY_ID),
            ("--files-s3-secret-access-key", SECRET_KEY),
        ];
        flags.iter().flat_map(|(flag, value)| [*flag, *value]).map(str::to_owned).collect()
    }

    /// Where the bytes of an object are on this machine.
    pub fn path(&self, object: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(object)
    }

    /// The names of all objects in the bucket, in order.
    pub fn objects(&self) -> Vec<String> {
        let bucket = self.path("");
        let mut names = Vec::new();
        let mut folders = vec![bucket.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap().path();
                if entry.is_dir() {
                    folders.push(entry);
                } else {
                    let name = entry.strip_prefix(&bucket).unwrap().to_str().unwrap().to_owned();
                    names.push(name);
                }
            }
        }
        names.sort();
        names
    }
}

impl Drop for TestS3 {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("S3S_FS").map(PathBuf::from);
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin/s3s-fs");
    named.into_iter().chain([installed]).find(|program| program.is_file())
}
