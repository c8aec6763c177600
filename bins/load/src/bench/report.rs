//! The results: a table, JSON and a chart.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::peer::Peer;
use super::scenario::{Kind, Scenario};

/// What one round has measured of one server. Zero where a scenario does not measure it.
#[derive(Clone, Default)]
pub(crate) struct Figures {
    /// Deliveries or connections a second.
    pub(crate) per_second: f64,
    /// Processor time of the server for each, in microseconds; of idle sockets for each second.
    pub(crate) cpu_us: f64,
    /// Latency from when a message was due to be sent, in microseconds: p50, p99, p99.9.
    latencies_us: [f64; 3],
    /// Deliveries that a read of a socket has brought.
    pub(crate) per_read: f64,
    /// Memory for each socket.
    pub(crate) bytes: f64,
    /// Messages that were lost, doubled or reordered.
    pub(crate) wrong: u64,
}

impl Figures {
    pub(crate) fn set_latencies(&mut self, mut latencies_us: Vec<u32>) {
        latencies_us.sort_unstable();
        let last = latencies_us.len().saturating_sub(1) as f64;
        let at = |share: f64| latencies_us.get((last * share) as usize).map_or(f64::NAN, |us| f64::from(*us));
        self.latencies_us = [at(0.5), at(0.99), at(0.999)];
    }
}

pub(crate) struct Report {
    results: Vec<(&'static Scenario, Peer, Vec<Figures>)>,
    /// How long this machine takes to make a small write durable.
    fdatasync: Duration,
}

impl Report {
    pub(crate) fn new(fdatasync: Duration) -> Self {
        println!("a write of 4 KiB is durable after {:.2} ms (median)", fdatasync.as_secs_f64() * 1e3);
        Self { results: Vec::new(), fdatasync }
    }

    pub(crate) fn add(&mut self, scenario: &'static Scenario, peer: Peer, figures: Figures) {
        let is_it =
            |(of, by, _): &&mut (&Scenario, Peer, Vec<Figures>)| of.name == scenario.name && *by == peer;
        match self.results.iter_mut().find(is_it) {
            Some((_, _, rounds)) => rounds.push(figures),
            None => self.results.push((scenario, peer, vec![figures])),
        }
    }

    /// Whether nothing was lost, doubled or reordered by the chat.
    pub(crate) fn is_whole(&self) -> bool {
        let is_chat = |peer: Peer| matches!(peer, Peer::Memory | Peer::Sqlite | Peer::Postgres);
        self.results.iter().all(|(_, peer, rounds)| !is_chat(*peer) || rounds.iter().all(|it| it.wrong == 0))
    }

    pub(crate) fn print(&self, scenario: &Scenario) {
        println!("\n{}: {}", scenario.name, scenario.what);
        let unit = match scenario.kind {
            Kind::Talk { .. } => "deliveries/s  µs each  to Bun   p50 ms   p99 ms p99.9 ms  per read  wrong",
            Kind::Connects { .. } => "connections/s  µs each  to Bun",
            Kind::Idle { .. } => "µs a second  to Bun  KiB a socket  to Bun",
        };
        println!("{:14}{unit}", "");
        for (_, peer, rounds) in self.results.iter().filter(|(of, _, _)| of.name == scenario.name) {
            let of = |value: fn(&Figures) -> f64| median(rounds.iter().map(value).collect());
            let ratio = |value: fn(&Figures) -> f64| match self.ratio(scenario, *peer, value) {
                Some(ratio) => format!("{ratio:7.2}"),
                None => "      –".to_owned(),
            };
            let wrong: u64 = rounds.iter().map(|it| it.wrong).sum();
            let name = peer.name();
            match scenario.kind {
                Kind::Talk { .. } => println!(
                    "{name:14}{:12.0} {:8.2} {} {:8.2} {:8.2} {:8.2} {:9.1} {wrong:6}",
                    of(|it| it.per_second),
                    of(|it| it.cpu_us),
                    ratio(|it| it.cpu_us),
                    of(|it| it.latencies_us[0]) / 1e3,
                    of(|it| it.latencies_us[1]) / 1e3,
                    of(|it| it.latencies_us[2]) / 1e3,
                    of(|it| it.per_read),
                ),
                Kind::Connects { .. } => println!(
                    "{name:14}{:13.0} {:8.1} {}",
                    of(|it| it.per_second),
                    of(|it| it.cpu_us),
                    ratio(|it| it.cpu_us)
                ),
                Kind::Idle { .. } => println!(
                    "{name:14}{:11.0} {} {:13.2} {}",
                    of(|it| it.cpu_us),
                    ratio(|it| it.cpu_us),
                    of(|it| it.bytes) / 1024.0,
                    ratio(|it| it.bytes)
                ),
            }
        }
    }

    /// The median of the ratios to Bun in the same round.
    fn ratio(&self, scenario: &Scenario, peer: Peer, value: fn(&Figures) -> f64) -> Option<f64> {
        let rounds = |wanted: Peer| {
            let is_it =
                |(of, by, _): &&(&Scenario, Peer, Vec<Figures>)| of.name == scenario.name && *by == wanted;
            self.results.iter().find(is_it).map(|(_, _, rounds)| rounds)
        };
        let pairs = rounds(peer)?.iter().zip(rounds(Peer::Bun)?);
        Some(median(pairs.map(|(own, bun)| value(own) / value(bun)).collect()))
    }

    /// Writes the results as JSON, and a chart of the processor time of a delivery.
    pub(crate) fn write(&self, out: &Path) -> Result<(), Box<dyn Error>> {
        fs::create_dir_all(out)?;
        let of_round = |it: &Figures| -> Value {
            json!({
                "per_second": it.per_second, "cpu_us": it.cpu_us, "p50_us": it.latencies_us[0],
                "p99_us": it.latencies_us[1], "p99_9_us": it.latencies_us[2], "per_read": it.per_read,
                "bytes_per_socket": it.bytes, "lost_doubled_reordered": it.wrong,
            })
        };
        let results: Vec<Value> = self
            .results
            .iter()
            .map(|(scenario, peer, rounds)| {
                json!({
                    "scenario": scenario.name, "what": scenario.what, "server": peer.name(),
                    "cpu_to_bun": self.ratio(scenario, *peer, |it| it.cpu_us),
                    "rounds": rounds.iter().map(of_round).collect::<Vec<_>>(),
                })
            })
            .collect();
        let all = json!({ "fdatasync_us": self.fdatasync.as_micros() as u64, "results": results });
        fs::write(out.join("results.json"), serde_json::to_string_pretty(&all)?)?;
        fs::write(out.join("chart.svg"), self.chart())?;
        Ok(())
    }

    /// Bars: the processor time of a delivery or connection, where Bun's is 1.
    fn chart(&self) -> String {
        const ROW: usize = 18;
        const LEFT: usize = 290;
        const UNIT: f64 = 130.0;
        let mut rows = String::new();
        let mut y = 40;
        let mut last = "";
        for (scenario, peer, _) in &self.results {
            let Some(ratio) = self.ratio(scenario, *peer, |it| it.cpu_us) else { continue };
            if scenario.name != last {
                y += 8;
                let _ =
                    writeln!(rows, r#"<text x="4" y="{}" class="scenario">{}</text>"#, y + 13, scenario.name);
                last = scenario.name;
            }
            let class = if peer.name().starts_with("chat") { "chat" } else { "other" };
            let width = ratio.min(4.0) * UNIT;
            let _ = writeln!(
                rows,
                r#"<text x="{}" y="{}" text-anchor="end">{}</text><rect x="{LEFT}" y="{}" width="{width:.0}" height="13" class="{class}"/><text x="{:.0}" y="{}">{ratio:.2}</text>"#,
                LEFT - 6,
                y + 13,
                peer.name(),
                y + 2,
                LEFT as f64 + width + 5.0,
                y + 13,
            );
            y += ROW;
        }
        let (one, height) = (LEFT as f64 + UNIT, y + 12);
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {height}" width="860" height="{height}" role="img" aria-label="Processor time of the server, where Bun's is 1">
<style>text{{font:12px system-ui,sans-serif;fill:#57606a}}.scenario{{font-weight:600}}.chat{{fill:#4c7bd9}}.other{{fill:#b6bdc6}}line{{stroke:#b6bdc6;stroke-dasharray:3}}</style>
<text x="4" y="20" class="scenario">Processor time of the server for a delivery or a connection; Bun's is 1, less is better</text>
<line x1="{one}" y1="34" x2="{one}" y2="{}"/>
{rows}</svg>
"#,
            y + 4
        )
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
