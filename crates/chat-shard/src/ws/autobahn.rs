//! The cases of Autobahn's test suite for RFC 6455, run by kosoku on an echo: the reader and the
//! control frames are the product's, everything else is here.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::Value;

use super::*;

/// 12 and 13 are about compression, which the server does not negotiate.
const LEFT_OUT: [&str; 2] = ["12.*", "13.*"];
/// The suite has 301 other cases; a few more or less are another version of it.
const CASES_MIN: usize = 290;
/// The longest messages of the cases have 16 MiB, and the shortest fragments of 4 MiB have 64 bytes.
const LIMITS: ReaderLimits = ReaderLimits { message_max_bytes: 17 << 20, fragments_max: 100_000 };

#[test]
fn the_cases_of_autobahn_pass() {
    let Some(kosoku) = kosoku() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || echo(stream.unwrap()));
        }
    });
    let report = std::env::temp_dir().join(format!("chat-autobahn-{}", std::process::id()));
    let mut command = Command::new(kosoku);
    for case in LEFT_OUT {
        command.args(["--exclude", case]);
    }
    let done = command.arg("--outdir").arg(&report).arg(&server).output().unwrap();
    let index = std::fs::read(report.join("index.json"));
    // Only the outcomes are of interest.
    let _ = std::fs::remove_dir_all(&report);
    let printed = String::from_utf8_lossy(&done.stderr);
    let agents: Value = serde_json::from_slice(&index.unwrap_or_else(|_| panic!("{printed}"))).unwrap();
    let mut cases = 0;
    let mut failed = Vec::new();
    for (case, outcome) in agents.as_object().unwrap().values().flat_map(|cases| cases.as_object().unwrap()) {
        cases += 1;
        let is_good = |field: &str| {
            let outcome = outcome[field].as_str().unwrap_or_default();
            ["OK", "NON-STRICT", "INFORMATIONAL"].contains(&outcome)
        };
        if !is_good("behavior") || !is_good("behaviorClose") {
            failed.push(format!("{case}: {}, close: {}", outcome["behavior"], outcome["behaviorClose"]));
        }
    }
    assert!(failed.is_empty() && done.status.success(), "{}\n{printed}", failed.join("\n"));
    assert!(cases >= CASES_MIN, "only {cases} cases: {printed}");
}

/// The program: in `$PATH`, or where `cargo xtask test` installs it. `None`, and a loud line, if it is
/// missing; an error where `CI=true`.
fn kosoku() -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/kosoku/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain([installed]);
    let found = folders.find_map(|folder| Some(folder.join("kosoku")).filter(|program| program.is_file()));
    if found.is_none() {
        // Not captured by the harness of tests.
        writeln!(io::stderr().lock(), "NOT RUN: kosoku is missing: pip install kosoku==0.1.0").unwrap();
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "kosoku is missing");
    }
    found
}

/// Answers the upgrade, and then each message with itself.
fn echo(mut stream: TcpStream) {
    // A client that goes in the middle is the subject of some cases.
    let _ = upgrade(&mut stream).and_then(|rest| Echo::default().run(&mut stream, rest));
    let _ = stream.shutdown(Shutdown::Write);
    let _ = io::copy(&mut stream, &mut io::sink());
}

/// Returns what came behind the request.
fn upgrade(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let end = loop {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes)?;
        request.extend_from_slice(&bytes[..read]);
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&request[..end]).into_owned();
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
    });
    let accept = tungstenite::handshake::derive_accept_key(key.unwrap_or_default().as_bytes());
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    Ok(request.split_off(end))
}

/// The reader gives no payload of binary messages, as the chat has none: the bytes that came are kept
/// here, too, frame by frame.
#[derive(Default)]
struct Echo {
    /// What has come of frames that were not yet reported.
    raw: Vec<u8>,
    /// The unmasked payload of the message whose frames come.
    message: Vec<u8>,
}

impl Echo {
    fn run(mut self, stream: &mut TcpStream, mut input: Vec<u8>) -> io::Result<()> {
        let mut reader = Reader::new(LIMITS);
        loop {
            self.raw.extend_from_slice(&input);
            let (mut at, mut out, mut start) = (0, Vec::new(), 0);
            let is_over = loop {
                match reader.next(&mut input, &mut at) {
                    Ok(None) => break false,
                    Ok(Some(event)) => {
                        start += self.take_frame(start);
                        match event {
                            Event::Text(text) => {
                                write_data(&mut out, Data::Text, text.as_bytes());
                                self.message.clear();
                            }
                            Event::Binary => {
                                write_data(&mut out, Data::Binary, &self.message);
                                self.message.clear();
                            }
                            Event::Ping(payload) => write_pong(&mut out, payload),
                            Event::Fragment | Event::Pong => {}
                            Event::Close(code) => {
                                write_close(&mut out, code.unwrap_or(1000), "");
                                break true;
                            }
                        }
                    }
                    Err(violation) => {
                        write_close(&mut out, violation.close_code(), violation.reason());
                        break true;
                    }
                }
            };
            self.raw.drain(..start);
            stream.write_all(&out)?;
            if is_over {
                return Ok(());
            }
            input.resize(64 * 1024, 0);
            let read = stream.read(&mut input)?;
            input.truncate(read);
            if read == 0 {
                return Ok(());
            }
        }
    }

    /// Adds the payload of the frame at `start` to its message, and returns the length of the frame.
    fn take_frame(&mut self, start: usize) -> usize {
        let mut cursor = Cursor::new(&self.raw[start..]);
        let (header, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
        let (begin, length) = (cursor.position() as usize, length as usize);
        if matches!(header.opcode, OpCode::Data(_)) {
            let from = self.message.len();
            self.message.extend_from_slice(&self.raw[start + begin..start + begin + length]);
            unmask(&mut self.message[from..], header.mask.unwrap());
        }
        begin + length
    }
}

fn write_data(out: &mut Vec<u8>, kind: Data, payload: &[u8]) {
    let header = FrameHeader { opcode: OpCode::Data(kind), ..FrameHeader::default() };
    header.format(payload.len() as u64, out).unwrap();
    out.extend_from_slice(payload);
}
