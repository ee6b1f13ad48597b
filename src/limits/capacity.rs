//! How many connections the system allows.

use std::fmt;
use std::fs;

use log::{debug, info, warn};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files, threads and mappings that are there without any client: listeners, the state on disk,
/// connections to InfluxDB, and what opens files for a moment.
const RESERVE: u64 = 64;

/// Mappings of one thread: its stack, and the guard page in front of it.
const MAPS_PER_CONNECTION: u64 = 2;

/// Raises the limit of open files to what the system lets this process have, and warns where the
/// system allows fewer than `connections` connections; 0 is as many as it allows.
pub fn prepare(connections: usize) {
    raise_open_files();
    let bounds: Vec<Bound> = bounds().into_iter().flatten().collect();
    let connections = u64::try_from(connections).unwrap_or(u64::MAX);
    for bound in &bounds {
        match bound.connections < connections {
            true => warn!("--max-connections {connections} is out of reach: {bound}"),
            false => debug!("{bound}"),
        }
    }
}

/// The default of most systems is 1,024, for the sake of programs that use `select`.
fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let is_lower = match (current, maximum) {
        (Some(current), Some(maximum)) => current < maximum,
        (Some(_), None) => true,
        (None, _) => false,
    };
    if !is_lower {
        return;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let shown = |limit: Option<u64>| limit.map_or("no limit".to_owned(), |it| it.to_string());
    let (from, to) = (shown(current), shown(maximum));
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => info!("raised the limit of open files from {from} to {to}"),
        Err(error) => warn!("cannot raise the limit of open files from {from} to {to}: {error}"),
    }
}

/// So many connections are possible because of one limit of the system.
struct Bound {
    connections: u64,
    /// The limit, as the operator can change it.
    limit: &'static str,
    value: u64,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connections,
            limit,
            value,
        } = self;
        write!(
            f,
            "{limit} is {value}, which is enough for {connections} connections"
        )
    }
}

/// What is unlimited, or cannot be found out, is `None`.
fn bounds() -> [Option<Bound>; 5] {
    let bound = |limit, value: Option<u64>, per_connection| {
        value.map(|value| Bound {
            connections: value.saturating_sub(RESERVE) / per_connection,
            limit,
            value,
        })
    };
    [
        bound(
            "the limit of open files (ulimit -n, LimitNOFILE)",
            getrlimit(Resource::Nofile).current,
            1,
        ),
        bound("the limit of tasks (TasksMax)", tasks_max(), 1),
        bound(
            "kernel.threads-max",
            number_in("/proc/sys/kernel/threads-max"),
            1,
        ),
        bound("kernel.pid_max", number_in("/proc/sys/kernel/pid_max"), 1),
        bound(
            "vm.max_map_count",
            number_in("/proc/sys/vm/max_map_count"),
            MAPS_PER_CONNECTION,
        ),
    ]
}

/// The number of threads that the control group of this process may have.
fn tasks_max() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    number_in(&format!("/sys/fs/cgroup{group}/pids.max"))
}

fn number_in(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
