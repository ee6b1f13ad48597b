//! Settings from the command line.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::error::{Place, Problem};
use super::given::Given;
use super::passwd;
use super::setting::{Kind, Setting};
use super::table::{SETTINGS, find};
use super::task::{SETTINGS_OF_TASKS, Task, commands, task};
use crate::auth::passwd::Passwd;

/// What the command line asks for.
pub(super) enum CommandLine {
    /// To serve, or to do a task instead, with these settings.
    Run(Vec<Given>, Option<Task>),
    /// To change a password file.
    Passwd(Passwd),
    /// To print this text, the help or the version.
    Print(String),
}

/// Reads the command line. The first argument is the name of the program.
pub(super) fn read<I>(args: I) -> Result<CommandLine, Problem>
where
    I: IntoIterator<Item: Into<OsString> + Clone>,
{
    match command().try_get_matches_from(args) {
        Ok(matches) => match matches.subcommand_matches(passwd::NAME) {
            Some(matches) => passwd::read(matches).map(CommandLine::Passwd),
            None => Ok(CommandLine::Run(given_anywhere(&matches), task(&matches))),
        },
        // The help and the version come as errors as well; those are meant for standard output.
        Err(error) if !error.use_stderr() => Ok(CommandLine::Print(error.render().to_string())),
        Err(error) => Err(Problem::CommandLine {
            reason: in_one_line(&error),
        }),
    }
}

/// The command of the program, made from the table of settings. The defaults are not told to clap,
/// so that a flag that was not given is not there.
fn command() -> Command {
    Command::new("mqtt-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .after_help(
            "A flag wins over its environment variable, the variable over the file (--config), \
             the file over the default.",
        )
        .max_term_width(100)
        .subcommand(passwd::command())
        .disable_help_subcommand(true)
        .args(
            SETTINGS
                .iter()
                .filter(|setting| setting.on_command_line())
                .map(arg),
        )
        .subcommands(commands().map(with_settings))
}

/// A subcommand with the settings that matter to it, and its own subcommands likewise.
fn with_settings(command: Command) -> Command {
    let settings = SETTINGS_OF_TASKS.iter().filter_map(|name| find(name));
    command
        .mut_subcommands(with_settings)
        .args(settings.map(arg))
}

/// The flag of one setting.
fn arg(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.name)
        .long(setting.name)
        .help(setting.short_help())
        .long_help(setting.long_help())
        .help_heading(setting.group);
    let arg = match setting.short {
        Some(letter) => arg.short(letter),
        None => arg,
    };
    if setting.kind == Kind::Repeat {
        return arg.action(ArgAction::Count);
    }
    // So that `--port -1` is a wrong value and not an unknown flag.
    let arg = arg
        .value_name(setting.value_name)
        .allow_negative_numbers(true);
    match setting.kind {
        Kind::Many => arg.action(ArgAction::Append),
        Kind::Switch => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        _ => arg,
    }
}

/// The settings of the command and of its subcommands; further to the right is stronger.
fn given_anywhere(matches: &ArgMatches) -> Vec<Given> {
    let mut all = given(matches, Setting::on_command_line);
    let mut deeper = matches.subcommand();
    while let Some((_, matches)) = deeper {
        let is_of_tasks = |setting: &Setting| SETTINGS_OF_TASKS.contains(&setting.name);
        for given in given(matches, is_of_tasks) {
            all.retain(|weaker| weaker.setting.name != given.setting.name);
            all.push(given);
        }
        deeper = matches.subcommand();
    }
    all
}

/// The settings among `matches` of a command that takes those for which `is_taken` holds; clap
/// panics when it is asked for others.
fn given(matches: &ArgMatches, is_taken: impl Fn(&Setting) -> bool) -> Vec<Given> {
    let flags = SETTINGS.iter().filter(|setting| is_taken(setting));
    flags
        .filter_map(|setting| {
            let values: Vec<String> = if setting.kind == Kind::Repeat {
                let count = matches.get_count(setting.name);
                (count > 0).then(|| count.to_string()).into_iter().collect()
            } else {
                matches
                    .get_many(setting.name)
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect()
            };
            (!values.is_empty()).then_some(Given {
                setting,
                place: Place::Flag,
                values,
            })
        })
        .collect()
}

/// What clap says in several paragraphs, without the usage at the end.
fn in_one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let said: Vec<&str> = lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .map(|line| {
            line.trim_start_matches("error: ")
                .trim_start_matches("tip: ")
        })
        .collect();
    said.join("; ").replace(":; ", ": ")
}
