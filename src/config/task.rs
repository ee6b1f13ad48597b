//! The subcommands: what the program does instead of serving.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

/// What a subcommand does, beside a server that may be running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Tell how much waits in the journal, and since when.
    JournalStatus,
    /// Print what waits in the journal, as a file for `influx -import`.
    JournalExport,
    /// Print a line for each rejected point.
    RejectedList,
    /// Print all about the rejected point of this number.
    RejectedShow(i64),
    /// Put rejected points back into the journal.
    RejectedRetry(Which),
    /// Print the rejected points, as a file for `influx -import`.
    RejectedExport,
    /// Forget rejected points.
    RejectedDrop(Which),
    /// Print which rule a message meets, and the points that it would become.
    TryRule(Trial),
    /// Say that the settings are in order, and if asked whether InfluxDB takes points.
    Check {
        /// Whether to connect to InfluxDB.
        connect: bool,
    },
}

/// A message that is published nowhere, to try rules with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: String,
    /// Whether it has the retain flag.
    pub retain: bool,
    /// The client that publishes it.
    pub client_id: String,
    /// The user name of the client.
    pub user_name: String,
}

/// Which rejected points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that there are.
    All,
    /// Those of these numbers.
    Ids(Vec<i64>),
}

/// The settings that subcommands take as flags of their own. All others may stand before the
/// subcommand, in the environment or in the file.
pub(super) const SETTINGS_OF_TASKS: [&str; 3] = ["config", "data-dir", "influx-database"];

/// The subcommands as clap is told of them, without the flags of settings.
pub(super) fn commands() -> [Command; 4] {
    let ids = || {
        Arg::new(IDS)
            .value_name("ID")
            .num_args(0..)
            .value_parser(value_parser!(i64))
    };
    let journal = Command::new("journal")
        .about("Tells how many points wait for InfluxDB, since when, and in how many bytes")
        .long_about(
            "Tells how many points wait for InfluxDB, since when, and in how many bytes. It may \
             be used while the server runs.",
        )
        .subcommand(
            Command::new("export")
                .about("Prints the waiting points, as a file for influx -import")
                .long_about(
                    "Prints the waiting points, the oldest first, as a file for influx -import \
                     with -precision ns. They stay in the journal. The importer of InfluxDB \
                     1.x spoils texts with a newline inside, which it doubles; curl \
                     --data-binary to /write does not, and neither does the server itself.",
                ),
        );
    let rejected = Command::new("rejected")
        .about("Shows the points that InfluxDB has rejected, and what it said")
        .long_about(
            "Shows the points that InfluxDB has rejected, and what it said. They are kept in the \
             data folder until they are dropped or retried. It may be used while the server runs.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("list").about("Prints a line for each rejected point"))
        .subcommand(
            Command::new("show")
                .about("Prints all about one rejected point")
                .arg(ids().num_args(1).required(true)),
        )
        .subcommand(
            Command::new("retry")
                .about("Sends rejected points to InfluxDB once more; all, if no ID is given")
                .long_about(
                    "Sends rejected points to InfluxDB once more; all, if no ID is given. They \
                     are put into the journal, which the server replays when it starts, and when \
                     InfluxDB is back after it was away: so restart the server to have it at \
                     once. What InfluxDB rejects again is kept again, under a new ID.",
                )
                .arg(ids()),
        )
        .subcommand(
            Command::new("export")
                .about("Prints the rejected points, as a file for influx -import")
                .long_about(
                    "Prints the rejected points as a file for influx -import with -precision ns, \
                     each below a comment with its ID and the reason. They stay where they are.",
                ),
        )
        .subcommand(
            Command::new("drop")
                .about("Forgets rejected points for good")
                .arg(ids().required_unless_present(ALL).conflicts_with(ALL))
                .arg(
                    Arg::new(ALL)
                        .long(ALL)
                        .action(ArgAction::SetTrue)
                        .help("Forget all of them"),
                ),
        );
    [journal, rejected, try_rule(), check()]
}

fn try_rule() -> Command {
    let text = |name| Arg::new(name).long(name).value_name("TEXT");
    Command::new("try-rule")
        .about("Prints which rule a message meets, and the points that it would become")
        .long_about(
            "Prints which rule of the settings a message meets, and the very lines that would be \
             written to InfluxDB, or why it would be rejected. It publishes nothing and asks \
             nobody.",
        )
        .arg(Arg::new(TOPIC).value_name("TOPIC").required(true))
        .arg(
            Arg::new(PAYLOAD)
                .value_name("PAYLOAD")
                .allow_hyphen_values(true)
                .required(true),
        )
        .arg(
            Arg::new(RETAIN)
                .long(RETAIN)
                .action(ArgAction::SetTrue)
                .help("As if it had the retain flag"),
        )
        .arg(text(CLIENT_ID).help("As if this client published it"))
        .arg(text(USER_NAME).help("As if a client of this user published it"))
}

fn check() -> Command {
    Command::new("check")
        .about("Checks the settings, and with --connect whether InfluxDB takes points")
        .long_about(
            "Checks all settings and rules, also of the file, and prints how many rules there are. \
             With --connect it asks InfluxDB too: whether it is there, lets this user write, and \
             has the database. It writes no point and creates nothing.",
        )
        .arg(
            Arg::new(CONNECT)
                .long(CONNECT)
                .action(ArgAction::SetTrue)
                .help("Ask InfluxDB whether it would take points"),
        )
}

/// What the subcommand among `matches` asks for; `None` where there is no subcommand.
pub(super) fn task(matches: &ArgMatches) -> Option<Task> {
    let (name, matches) = matches.subcommand()?;
    let sub = matches.subcommand();
    Some(match (name, sub) {
        ("try-rule", _) => Task::TryRule(trial(matches)),
        ("check", _) => Task::Check {
            connect: matches.get_flag(CONNECT),
        },
        ("journal", None) => Task::JournalStatus,
        ("journal", Some(_)) => Task::JournalExport,
        (_, Some(("show", matches))) => Task::RejectedShow(*ids(matches).first()?),
        (_, Some(("retry", matches))) => Task::RejectedRetry(which(ids(matches))),
        (_, Some(("drop", matches))) => Task::RejectedDrop(which(ids(matches))),
        (_, Some(("export", _))) => Task::RejectedExport,
        _ => Task::RejectedList,
    })
}

const IDS: &str = "id";
const ALL: &str = "all";
const TOPIC: &str = "topic";
const PAYLOAD: &str = "payload";
const RETAIN: &str = "retain";
const CLIENT_ID: &str = "client-id";
const USER_NAME: &str = "user-name";
const CONNECT: &str = "connect";

fn trial(matches: &ArgMatches) -> Trial {
    let text = |name| matches.get_one::<String>(name).cloned().unwrap_or_default();
    Trial {
        topic: text(TOPIC),
        payload: text(PAYLOAD),
        retain: matches.get_flag(RETAIN),
        client_id: text(CLIENT_ID),
        user_name: text(USER_NAME),
    }
}

fn ids(matches: &ArgMatches) -> Vec<i64> {
    matches
        .get_many(IDS)
        .into_iter()
        .flatten()
        .copied()
        .collect()
}

fn which(ids: Vec<i64>) -> Which {
    match ids.is_empty() {
        true => Which::All,
        false => Which::Ids(ids),
    }
}
