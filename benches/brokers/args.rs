//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::broker::Peer;
use crate::scenario::{SCENARIOS, Scenario};
use crate::traffic::Length;

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) runs: usize,
    pub(crate) length: Length,
    /// Only checks that nothing is lost, surplus or late: few messages, few clients.
    pub(crate) smoke: bool,
}

/// What there are many of, there are so many times fewer of in a smoke test.
pub(crate) const SMOKE_DIVISOR: usize = 20;

impl Plan {
    /// As the command line says; ends the process for `--help` and for what is wrong.
    ///
    /// `cargo bench` adds `--bench`. `cargo test` does not: there it is a smoke test, and the
    /// arguments are those of all test programs.
    pub(crate) fn from_command_line() -> Self {
        let is_bench = std::env::args().any(|argument| argument == "--bench");
        if !is_bench {
            return Self::for_cargo_test();
        }
        let matches = command().get_matches();
        let smoke = matches.get_flag("smoke");
        Self {
            scenarios: chosen_scenarios(&matches),
            peers: chosen_peers(&matches, smoke),
            runs: if smoke { 1 } else { *of(&matches, "runs") },
            length: match smoke {
                true => SMOKE_LENGTH,
                false => Length {
                    warm_up: WARM_UP,
                    measured: Duration::from_secs_f64(*of(&matches, "seconds")),
                    messages_max: u32::MAX,
                },
            },
            smoke,
        }
    }

    /// A smoke test of the scenarios whose name has one of the given words in it.
    fn for_cargo_test() -> Self {
        let words: Vec<String> = std::env::args()
            .skip(1)
            .filter(|argument| !argument.starts_with('-'))
            .collect();
        Self {
            scenarios: scenarios_with(&words),
            peers: vec![Peer::ours()],
            runs: 1,
            length: SMOKE_LENGTH,
            smoke: true,
        }
    }
}

/// Long enough that caches are warm, buffers have grown and threads run.
const WARM_UP: Duration = Duration::from_millis(500);

const SMOKE_LENGTH: Length = Length {
    warm_up: Duration::ZERO,
    measured: Duration::from_millis(250),
    messages_max: 1_000,
};

fn command() -> Command {
    Command::new("brokers")
        .about("Measures mqtt-server side by side with other brokers")
        .arg(
            Arg::new("scenario")
                .num_args(0..)
                .help("Only scenarios whose name contains one of these words"),
        )
        .arg(
            Arg::new("peers")
                .long("peers")
                .value_name("NAME,...")
                .value_delimiter(',')
                .help("Only these of the brokers: mqtt-server, mosquitto, nats-server, rumqttd"),
        )
        .arg(
            Arg::new("broker")
                .long("broker")
                .value_name("NAME=ADDR:PORT")
                .action(ArgAction::Append)
                .value_parser(named_address)
                .help("Also this broker, which runs already"),
        )
        .arg(
            Arg::new("build")
                .long("build")
                .value_name("NAME=FILE")
                .action(ArgAction::Append)
                .value_parser(named_file)
                .help("Also this other build of mqtt-server"),
        )
        .arg(
            Arg::new("runs")
                .long("runs")
                .value_name("COUNT")
                .value_parser(|text: &str| match text.parse() {
                    Ok(0) | Err(_) => Err("not a number above 0"),
                    Ok(runs) => Ok::<usize, _>(runs),
                })
                .default_value("3")
                .help("Runs of each scenario, in turn with each broker; their median counts"),
        )
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("SECONDS")
                .value_parser(|text: &str| match text.parse() {
                    Ok(seconds @ 0.1..=3_600.0) => Ok::<f64, _>(seconds),
                    Ok(_) | Err(_) => Err("not from 0.1 to 3600"),
                })
                .default_value("3")
                .help("How long each run measures"),
        )
        .arg(
            Arg::new("smoke")
                .long("smoke")
                .action(ArgAction::SetTrue)
                .help(
                    "Only check in a few seconds that nothing is lost, surplus or late; ours alone",
                ),
        )
        .arg(
            Arg::new("bench")
                .long("bench")
                .action(ArgAction::SetTrue)
                .hide(true),
        )
}

/// A value that has a default.
fn of<'a, T: Clone + Send + Sync + 'static>(matches: &'a ArgMatches, name: &str) -> &'a T {
    matches.get_one(name).expect("it has a default")
}

fn many<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Vec<T> {
    matches
        .get_many(name)
        .into_iter()
        .flatten()
        .cloned()
        .collect()
}

/// Those whose name contains one of `words`; all if there are no words.
fn scenarios_with(words: &[String]) -> Vec<Scenario> {
    let is_meant = |scenario: &&Scenario| {
        words.is_empty()
            || words
                .iter()
                .any(|word| scenario.name.contains(word.as_str()))
    };
    SCENARIOS.iter().filter(is_meant).copied().collect()
}

fn chosen_scenarios(matches: &ArgMatches) -> Vec<Scenario> {
    let words: Vec<String> = many(matches, "scenario");
    let chosen = scenarios_with(&words);
    if chosen.is_empty() {
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        let message = format!("no such scenario; there are {}", names.join(", "));
        command()
            .error(clap::error::ErrorKind::InvalidValue, message)
            .exit();
    }
    chosen
}

fn chosen_peers(matches: &ArgMatches, smoke: bool) -> Vec<Peer> {
    let named: Vec<String> = many(matches, "peers");
    let mut peers = vec![Peer::ours()];
    peers.extend(many::<Peer>(matches, "build"));
    if !smoke || !named.is_empty() {
        peers.extend(Peer::others());
    }
    if !named.is_empty() {
        peers.retain(|peer| named.contains(&peer.name));
    }
    peers.extend(many::<Peer>(matches, "broker"));
    peers
}

fn named_address(text: &str) -> Result<Peer, String> {
    let (name, address) = text.split_once('=').ok_or("not NAME=ADDR:PORT")?;
    let address: SocketAddr = address
        .parse()
        .map_err(|error| format!("{address}: {error}"))?;
    Ok(Peer::running(name, address))
}

fn named_file(text: &str) -> Result<Peer, String> {
    let (name, file) = text.split_once('=').ok_or("not NAME=FILE")?;
    let file = PathBuf::from(file).canonicalize();
    let file = file.map_err(|error| format!("{text}: {error}"))?;
    Ok(Peer::build(name, file))
}
