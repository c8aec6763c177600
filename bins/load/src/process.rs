//! What a process uses, as the operating system counts it.

use std::error::Error;
use std::time::Duration;

/// A process, by its id.
#[derive(Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// User and system time (proc(5), `stat`).
    pub(crate) fn cpu(self) -> Result<Duration, Box<dyn Error>> {
        let stat = self.read("stat")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
    }

    /// Memory in use (proc(5), `statm`).
    pub(crate) fn resident_bytes(self) -> Result<u64, Box<dyn Error>> {
        let statm = self.read("statm")?;
        let pages: u64 = statm.split_whitespace().nth(1).unwrap_or_default().parse()?;
        Ok(pages * rustix::param::page_size() as u64)
    }

    /// Memory in use, of shared pages its part (proc(5), `smaps_rollup`).
    pub(crate) fn pss_bytes(self) -> Result<u64, Box<dyn Error>> {
        kibibytes(&self.read("smaps_rollup")?, "Pss:")
    }

    /// The most memory that it had in use at one time (proc(5), `status`).
    pub(crate) fn peak_resident_bytes(self) -> Result<u64, Box<dyn Error>> {
        kibibytes(&self.read("status")?, "VmHWM:")
    }

    /// Resets the peak of memory (proc(5), `clear_refs`).
    pub(crate) fn reset_peak(self) -> Result<(), Box<dyn Error>> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.0), "5")?)
    }

    fn read(self, file: &str) -> std::io::Result<String> {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0))
    }
}

/// The bytes in a line such as `Pss: 12 kB`.
fn kibibytes(lines: &str, name: &str) -> Result<u64, Box<dyn Error>> {
    let value = lines.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name}"))?;
    Ok(value.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
