//! What a process has used so far, as Linux tells in `/proc`.

use std::fs;
use std::io;
use std::time::Duration;

/// CPU time and memory of one process, all its threads together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// In user and in kernel mode, in steps of 10 ms.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) resident: u64,
}

/// One tick of `/proc/PID/stat`: Linux tells user space 100 per second, whatever it uses itself.
const TICK: Duration = Duration::from_millis(10);

impl Usage {
    /// Of the process with this id.
    ///
    /// # Errors
    /// When there is no such process.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        Self::read(&pid.to_string())
    }

    /// Of the generator itself.
    ///
    /// # Errors
    /// Where there is no `/proc`.
    pub(crate) fn of_generator() -> io::Result<Self> {
        Self::read("self")
    }

    fn read(process: &str) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let odd = || io::Error::other(format!("/proc/{process}: not as expected"));
        // The name, second of the fields, is in parentheses and may have spaces.
        let (_, fields) = stat.rsplit_once(") ").ok_or_else(odd)?;
        let ticks: u32 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u32>().unwrap_or(0))
            .sum();
        let resident_kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
            .ok_or_else(odd)?;
        Ok(Self {
            cpu: TICK * ticks,
            resident: resident_kib * 1024,
        })
    }
}
