//! Measures our broker side by side with others: the same work, the same generator, the same run.
//!
//! ```text
//! cargo bench --bench brokers                          everything, 3 runs of 3 s each
//! cargo bench --bench brokers -- fan-in --runs 5       scenarios whose name contains fan-in
//! cargo bench --bench brokers -- --peers mqtt-server,mosquitto --broker other=127.0.0.1:1884
//! cargo bench --bench brokers -- --build before=FILE   against another build of ours
//! cargo bench --bench brokers -- --smoke               checks for loss, in seconds
//! ```
//!
//! Under `cargo test` it is the smoke test as well.
//!
//! Peers are Debian's mosquitto and nats-server (`tests/run` installs them) and rumqttd, which is
//! built once from crates.io. They run one after another, each run with a fresh process, and in
//! turn, so that what else the machine does falls on all of them. A figure is the median of the
//! runs; only figures of one table should be compared.
//!
//! Modules, in reading order: `scenario` has what is measured, as a table; `traffic` runs messages
//! through a broker, from a `publisher` that fills a `window`, or a `paced` one, to `subscribers`,
//! who check `arrivals`; `idle` and `alone` are the other kinds of work; `broker`, `influx` and
//! `process` start what is measured; `usage`, `measure` and `report` turn it into figures.
#![allow(clippy::print_stdout, reason = "a bench prints what it found")]
#![allow(clippy::print_stderr, reason = "and on standard error how far it is")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "all that is cast was masked, and the generator must be cheap"
)]

mod alone;
mod args;
mod arrivals;
mod broker;
mod client;
mod idle;
mod influx;
mod measure;
mod paced;
mod packet;
mod payload;
mod process;
mod publisher;
mod report;
mod scenario;
mod subscribers;
mod traffic;
mod usage;
mod window;

use std::fs;
use std::io;
use std::process::ExitCode;
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use args::{Plan, SMOKE_DIVISOR};
use broker::{Broker, Peer};
use influx::Influx;
use measure::Measure;
use report::Row;
use scenario::{Scenario, Work};

fn main() -> ExitCode {
    let mut plan = Plan::from_command_line();
    raise_open_files();
    if !plan.smoke {
        print_machine();
    }
    plan.peers.retain(|peer| match peer.prepare() {
        Ok(version) => {
            if !plan.smoke {
                println!("{}: {version}", peer.name);
            }
            true
        }
        Err(missing) => {
            println!("{}: left out: {missing}", peer.name);
            false
        }
    });
    if plan.smoke {
        return smoke_test(&plan);
    }
    println!("\n{}", report::head());
    for scenario in &plan.scenarios {
        let rows = run(scenario, &plan);
        println!("{}", report::rows(scenario, &rows));
    }
    ExitCode::SUCCESS
}

/// One short run of each; whatever goes wrong with a message is a failure. No figure counts.
fn smoke_test(plan: &Plan) -> ExitCode {
    let mut exit_code = ExitCode::SUCCESS;
    for scenario in &plan.scenarios {
        for row in run(scenario, plan) {
            let faults = report::faults(&row);
            println!("{}, {}: {} faults", scenario.name, row.broker, faults);
            if faults != report::NO_FAULTS {
                exit_code = ExitCode::FAILURE;
            }
        }
    }
    exit_code
}

/// All runs of one scenario.
fn run(scenario: &Scenario, plan: &Plan) -> Vec<Row> {
    let mut contestants: Vec<Contestant> = plan
        .peers
        .iter()
        .filter(|peer| peer.is_ours() || !matches!(scenario.work, Work::Stored(..)))
        .map(|peer| Contestant::Broker(peer.clone()))
        .collect();
    if matches!(scenario.work, Work::Stored(..)) {
        contestants.push(Contestant::InfluxAlone);
    }
    let mut rows: Vec<Row> = contestants
        .iter()
        .map(|contestant| Row {
            broker: contestant.name().to_owned(),
            runs: Vec::new(),
            failure: None,
        })
        .collect();
    for number in 1..=plan.runs {
        for (contestant, row) in contestants.iter().zip(&mut rows) {
            if row.failure.is_some() {
                continue;
            }
            if !plan.smoke {
                let (name, runs) = (scenario.name, plan.runs);
                eprintln!("{name}: {}, run {number} of {runs}", row.broker);
            }
            match contestant.run(scenario, plan) {
                Ok(measure) => row.runs.push(measure),
                Err(failure) => row.failure = Some(one_line(&failure)),
            }
        }
    }
    rows
}

/// A failure as it fits into a table.
fn one_line(failure: &io::Error) -> String {
    format!("failed: {failure}").replace('\n', "; ")
}

/// Who does the work of a scenario.
enum Contestant {
    Broker(Peer),
    /// InfluxDB without a broker.
    InfluxAlone,
}

impl Contestant {
    fn name(&self) -> &str {
        match self {
            Self::Broker(peer) => &peer.name,
            Self::InfluxAlone => "influxd alone",
        }
    }

    /// One run, with processes that are started for it.
    fn run(&self, scenario: &Scenario, plan: &Plan) -> io::Result<Measure> {
        let influx = match scenario.work {
            Work::Stored(..) => Some(Influx::start()?),
            Work::Traffic(_) | Work::Idle(_) => None,
        };
        let influx = influx.as_ref();
        match (self, scenario.work, influx) {
            (Self::InfluxAlone, Work::Stored(_, alone), Some(influx)) => {
                alone::run(&alone, &plan.length, influx)
            }
            (Self::InfluxAlone, ..) => Err(io::Error::other("nothing is stored here")),
            (Self::Broker(peer), work, influx) => {
                let broker = peer.start(influx)?;
                run_on(&broker, work, plan, influx).map_err(|error| {
                    let output = broker.last_output();
                    io::Error::new(error.kind(), format!("{error}\n{output}"))
                })
            }
        }
    }
}

fn run_on(
    broker: &Broker,
    work: Work,
    plan: &Plan,
    influx: Option<&Influx>,
) -> io::Result<Measure> {
    match work {
        Work::Traffic(traffic) | Work::Stored(traffic, _) => {
            let traffic = match plan.smoke {
                true => traffic.scaled_down(SMOKE_DIVISOR),
                false => traffic,
            };
            traffic::run(&traffic, &plan.length, broker, influx)
        }
        Work::Idle(count) => {
            let count = if plan.smoke {
                count / SMOKE_DIVISOR
            } else {
                count
            };
            idle::run(count, broker)
        }
    }
}

/// As many open files as the system allows, for this process and those it starts: 10,000
/// connections are 10,000 files at both ends.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        println!("cannot raise the limit of open files: {error}");
    }
}

fn print_machine() {
    let processors = thread::available_parallelism().map_or(0, usize::from);
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |line| {
            line.trim_start_matches([' ', '\t', ':'])
        });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("{processors} of {model}, Linux {}", kernel.trim());
    if let Some(version) = Influx::version() {
        println!("influxd: {version}");
    }
}
