//! What one row of the table of settings holds.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::Config;
use super::value::Refusal;

/// One setting: a flag, an environment variable and a key of the file.
pub(super) struct Setting {
    /// The name in kebab case: the flag without its dashes, and the key of the file.
    pub(super) name: &'static str,
    /// The short form of the flag.
    pub(super) short: Option<char>,
    /// The heading under which help shows it; `None` is that of `--help` itself.
    pub(super) group: Option<&'static str>,
    /// What stands for the value in help.
    pub(super) value_name: &'static str,
    /// How often it may be given, and where.
    pub(super) kind: Kind,
    /// What holds when it is not given.
    pub(super) default: DefaultValue,
    /// Unit and range, in words.
    pub(super) unit: &'static str,
    /// What it does: the first sentence for `-h`, everything for `--help`. No full stop at the end.
    pub(super) help: &'static str,
    /// Another setting that says the same thing: the stronger of the two counts, and both in one
    /// place are an error.
    pub(super) rival: Option<&'static str>,
    /// Checks one value and puts it into the configuration.
    pub(super) apply: fn(&mut Config, &str) -> Result<(), Refusal>,
    /// Takes the name of a [`Kind::SecretFile`] that is to be read again when it changes.
    pub(super) keep_file: fn(&mut Config, PathBuf),
}

/// How often a setting may be given, and where.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Once, everywhere.
    One,
    /// Many times: a repeated flag, a list with commas in the environment, an array in the file.
    Many,
    /// `true` or `false`; the flag alone means `true`.
    Switch,
    /// A number; the flag has no value, and its repetitions are counted.
    Repeat,
    /// In the environment only, since others see command lines, and files are copied about. Never
    /// shown.
    Secret,
    /// The value is the name of a file, and `apply` is given what the file holds. That is never
    /// shown.
    SecretFile,
    /// The file of settings itself: it cannot be named in that file.
    SettingsFile,
}

/// What holds when a setting is not given.
pub(super) enum DefaultValue {
    /// This value, which passes the setting's check like any other.
    Text(&'static str),
    /// Nothing is set.
    Unset,
    /// What these words say; [`Config`] is made with it.
    Computed(&'static str),
}

impl Setting {
    /// A row to begin with.
    pub(super) const ROW: Self = Self {
        name: "",
        short: None,
        group: None,
        value_name: "",
        kind: Kind::One,
        default: DefaultValue::Unset,
        unit: "",
        help: "",
        rival: None,
        apply: |_, _| Ok(()),
        keep_file: |_, _| {},
    };

    /// Whether it has a flag.
    pub(super) fn on_command_line(&self) -> bool {
        self.kind != Kind::Secret
    }

    /// Whether it can be set in the file.
    pub(super) fn in_file(&self) -> bool {
        !matches!(self.kind, Kind::Secret | Kind::SettingsFile)
    }

    /// The first sentence of the help, with the default.
    pub(super) fn short_help(&self) -> String {
        let first = self
            .help
            .split_once(". ")
            .map_or(self.help, |(first, _)| first);
        match self.default {
            DefaultValue::Text(value) => format!("{first} [default: {value}]"),
            DefaultValue::Computed(words) => format!("{first} [default: {words}]"),
            DefaultValue::Unset => first.to_owned(),
        }
    }

    /// All of the help: what it does, and then default, unit and environment variable.
    pub(super) fn long_help(&self) -> String {
        let mut text = format!("{}.\n", self.help);
        let default = match self.default {
            DefaultValue::Text(value) => value,
            DefaultValue::Computed(words) => words,
            DefaultValue::Unset => "none",
        };
        let variable = environment_name(self.name);
        for (label, entry) in [
            ("default", default),
            ("unit", self.unit),
            ("environment", &variable),
        ] {
            if !entry.is_empty() {
                // Writing to a String cannot fail.
                let _ = write!(text, "[{label}: {entry}] ");
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// The environment variable of the setting `name`.
pub(super) fn environment_name(name: &str) -> String {
    format!(
        "{ENVIRONMENT_PREFIX}{}",
        name.replace('-', "_").to_uppercase()
    )
}

/// How the name of each of our environment variables begins.
pub(super) const ENVIRONMENT_PREFIX: &str = "MQTT_SERVER_";
