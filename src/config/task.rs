//! The subcommands: what the program does with its data folder instead of serving.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

/// What a subcommand does with the data folder, beside a server that may be running.
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
pub(super) fn commands() -> [Command; 2] {
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
    [journal, rejected]
}

/// What the subcommand among `matches` asks for; `None` where there is no subcommand.
pub(super) fn task(matches: &ArgMatches) -> Option<Task> {
    let (name, matches) = matches.subcommand()?;
    let sub = matches.subcommand();
    Some(match (name, sub) {
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
