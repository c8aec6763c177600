//! The lines that a test's server logs.

use std::io;
use std::sync::{Arc, Mutex, Once};

use serde_json::Value;
use tracing::subscriber::DefaultGuard;

/// Collects what the tasks of this test log, as the server's JSON format has it. A
/// server's own threads, such as its shards, are not included.
pub struct Logs {
    lines: Lines,
    _guard: DefaultGuard,
}

impl Logs {
    /// Collects from now on, until this value is dropped.
    pub fn collect() -> Self {
        // With only one subscriber, tracing asks the current thread's whether a line is
        // wanted, and keeps the answer: a test without `Logs` would switch lines off.
        static EVERYWHERE: Once = Once::new();
        EVERYWHERE.call_once(|| {
            tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap();
        });
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// The fields of all lines with this message.
    pub fn with_message(&self, message: &str) -> Vec<Value> {
        let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["fields"].clone()).filter(|fields| fields["message"] == message).collect()
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
