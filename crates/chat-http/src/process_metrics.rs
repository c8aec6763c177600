//! The metrics of the process, under the names that all programs use for them.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// Memory, file descriptors, processor time and start of this process, read from `/proc` when
/// they are asked for. What a system without `/proc` does not tell is left out.
#[derive(Debug)]
pub(crate) struct ProcessMetrics {
    started_at_seconds: f64,
}

impl ProcessMetrics {
    /// The metrics of a process that starts now.
    pub(crate) fn starting_now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started_at_seconds: now.as_secs_f64() }
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name, help, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let start = Some(self.started_at_seconds);
        gauge("process_start_time_seconds", "When the server started, in Unix time", start)?;
        gauge("process_resident_memory_bytes", "Memory in use", resident_bytes())?;
        gauge("process_open_fds", "Open file descriptors", open_descriptors())?;
        gauge("process_max_fds", "How many may be open", descriptors_max())?;
        if let Some(seconds) = processor_seconds() {
            let counter = ConstCounter::new(seconds);
            let help = "Processor time, of the program and of the system for it";
            let name = "process_cpu_seconds";
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

/// See proc(5), `statm`.
fn resident_bytes() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_size() as f64)
}

fn open_descriptors() -> Option<f64> {
    // The one for this folder is among them.
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(open.saturating_sub(1) as f64)
}

fn descriptors_max() -> Option<f64> {
    getrlimit(Resource::Nofile).current.map(|max| max as f64)
}

/// See proc(5), `stat`: fields 14 and 15, behind the name in parentheses, which is field 2.
fn processor_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    let ticks = ticks.next()?.ok()? + ticks.next()?.ok()?;
    Some(ticks / clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        assert!(resident_bytes().unwrap() > 1e6);
        // Other tests close descriptors at the same time.
        let is_counted = (0..100).any(|_| {
            let before = open_descriptors().unwrap();
            let _files: Vec<_> = (0..10).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
            open_descriptors().unwrap() >= before + 10.0
        });
        assert!(is_counted && descriptors_max().unwrap() > open_descriptors().unwrap());
        let started = std::time::Instant::now();
        let before = processor_seconds().unwrap();
        while processor_seconds().unwrap() < before + 0.05 {
            assert!(started.elapsed().as_secs() < 60, "no time passes");
        }
    }
}
