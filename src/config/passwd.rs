//! The command line of `mqtt-server passwd`, which is that of `mosquitto_passwd`.

use clap::builder::PossibleValue;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueEnum, value_parser};

use super::error::Problem;
use super::secret::Secret;
use crate::auth::Algorithm;
use crate::auth::passwd::{Change, Passwd};

/// The name of the subcommand.
pub(super) const NAME: &str = "passwd";

/// The subcommand.
pub(super) fn command() -> Command {
    Command::new(NAME)
        .about("Add, change or delete a user of a password file")
        .after_help(
            "The password is asked for, or read from standard input where that is no terminal. \
             A server that runs takes the new file with SIGHUP.",
        )
        .arg(switch(
            "create",
            'c',
            "Begin a new file; one that is there is replaced",
        ))
        .arg(switch(
            "batch",
            'b',
            "Take the password from the command line, where others see it",
        ))
        .arg(
            switch("delete", 'D', "Delete the user")
                .conflicts_with_all(["create", "batch", "hash"]),
        )
        .arg(
            Arg::new("hash")
                .short('H')
                .value_name("HASH")
                .value_parser(value_parser!(Algorithm))
                .help("How the password is hashed [default: sha512-pbkdf2]"),
        )
        .arg(Arg::new("file").value_name("FILE").required(true))
        .arg(Arg::new("user").value_name("USER").required(true))
        .arg(
            Arg::new("password")
                .value_name("PASSWORD")
                .required_if_eq("batch", "true")
                .help("The password, with -b"),
        )
}

/// What the arguments of the subcommand ask for.
pub(super) fn read(matches: &ArgMatches) -> Result<Passwd, Problem> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let password = text("password");
    if password.is_some() && !matches.get_flag("batch") {
        return Err(Problem::CommandLine {
            reason: "a password on the command line is taken with -b only".to_owned(),
        });
    }
    let change = match matches.get_flag("delete") {
        true => Change::Delete,
        false => Change::Set {
            algorithm: matches
                .get_one("hash")
                .copied()
                .unwrap_or(Algorithm::Sha512Pbkdf2),
            password: password.map(Secret::new),
            create: matches.get_flag("create"),
        },
    };
    Ok(Passwd {
        // Both are required.
        file: text("file").unwrap_or_default().into(),
        user: text("user").unwrap_or_default(),
        change,
    })
}

fn switch(name: &'static str, short: char, help: &'static str) -> Arg {
    Arg::new(name)
        .short(short)
        .action(ArgAction::SetTrue)
        .help(help)
}

impl ValueEnum for Algorithm {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Sha512, Self::Sha512Pbkdf2, Self::Argon2id]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Sha512 => "sha512",
            Self::Sha512Pbkdf2 => "sha512-pbkdf2",
            Self::Argon2id => "argon2id",
        }))
    }
}
