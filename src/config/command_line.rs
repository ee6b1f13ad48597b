//! Settings from the command line.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::error::{Place, Problem};
use super::given::Given;
use super::passwd;
use super::setting::{Kind, Setting};
use super::table::SETTINGS;
use crate::auth::passwd::Passwd;

/// What the command line asks for.
pub(super) enum CommandLine {
    /// To serve, with these settings.
    Serve(Vec<Given>),
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
            None => Ok(CommandLine::Serve(given(&matches))),
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
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .args(
            SETTINGS
                .iter()
                .filter(|setting| setting.on_command_line())
                .map(arg),
        )
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

/// The settings among `matches`.
fn given(matches: &ArgMatches) -> Vec<Given> {
    let flags = SETTINGS.iter().filter(|setting| setting.on_command_line());
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
    said.join("; ")
}
