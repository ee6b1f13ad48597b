//! What is wrong with the settings, in words for the operator.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use super::setting::environment_name;

/// Everything that is wrong with the settings; there is at least one problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// The problems, each of which prints as one line.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// `Ok` if there are no problems.
    pub(super) fn unless_empty(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self { problems })
        }
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl Error for ConfigError {}

/// One thing that is wrong with the settings. It never holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The command line is not well formed.
    CommandLine {
        /// What is wrong with it.
        reason: String,
    },
    /// A value is refused.
    Value {
        /// Where it was set.
        place: Place,
        /// The setting's name, as in the file.
        name: &'static str,
        /// The value; `None` where it is secret.
        value: Option<String>,
        /// What was expected.
        reason: String,
    },
    /// There is no value, and no default either.
    Missing {
        /// The setting's name, as in the file.
        name: &'static str,
        /// Why there is no default.
        reason: &'static str,
    },
    /// Two settings that mean the same thing are set in one place.
    Rivals {
        /// Where both were set.
        place: Place,
        /// The names of the two.
        names: [&'static str; 2],
    },
    /// An environment variable begins like ours but is none of ours.
    UnknownVariable {
        /// Its name.
        variable: String,
        /// The variable that was probably meant.
        nearest: Option<String>,
    },
    /// The file has a key that is no setting.
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// The line of the key, from 1.
        line: usize,
        /// The key.
        key: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A rule in the file is wrong.
    Rule {
        /// The file.
        file: PathBuf,
        /// Which rule, from 1.
        number: usize,
        /// The key in its table.
        key: String,
        /// What was expected.
        reason: String,
    },
    /// The file is not TOML.
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line, from 1, where one is known.
        line: Option<usize>,
        /// What is wrong there.
        reason: String,
    },
}

/// Where a setting was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the command line.
    Flag,
    /// In the environment.
    Environment,
    /// In this file.
    File(PathBuf),
    /// Nowhere: it is the default.
    Default,
}

impl Place {
    /// How the setting `name` is written in this place.
    fn spell(&self, name: &str) -> String {
        match self {
            Self::Flag => format!("--{name}"),
            Self::Environment => environment_name(name),
            Self::File(path) => format!("{}: {name}", path.display()),
            Self::Default => format!("default of {name}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine { reason } => write!(f, "{reason} (see --help)"),
            Self::Value {
                place,
                name,
                value,
                reason,
            } => {
                f.write_str(&place.spell(name))?;
                if let Some(value) = value {
                    let equals = if matches!(place, Place::File(_)) {
                        " ="
                    } else {
                        ""
                    };
                    write!(f, "{equals} {:?}", without_user(value))?;
                }
                write!(f, ": {reason}")
            }
            Self::Missing { name, reason } => write!(f, "--{name} is not given, and {reason}"),
            Self::Rivals {
                place,
                names: [one, other],
            } => {
                let (one, other) = (place.spell(one), place.spell(other));
                write!(
                    f,
                    "{one} and {other} are both given, but one replaces the other"
                )
            }
            Self::UnknownVariable { variable, nearest } => {
                write!(f, "{variable}: unknown setting in the environment")?;
                nearest
                    .as_ref()
                    .map_or(Ok(()), |nearest| write!(f, ", did you mean {nearest}?"))
            }
            Self::UnknownKey {
                file,
                line,
                key,
                nearest,
            } => {
                write!(f, "{}: line {line}: unknown key {key:?}", file.display())?;
                nearest.map_or(Ok(()), |nearest| write!(f, ", did you mean {nearest}?"))
            }
            Self::Rule {
                file,
                number,
                key,
                reason,
            } => write!(f, "{}: rule {number}: {key}: {reason}", file.display()),
            Self::Syntax { file, line, reason } => {
                write!(f, "{}: ", file.display())?;
                line.map_or(Ok(()), |line| write!(f, "line {line}: "))?;
                f.write_str(reason)
            }
        }
    }
}

/// `value`, and if it looks like a URL with a user and a password, those as `***`.
fn without_user(value: &str) -> String {
    match value.split_once("//") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}//***@{host}"),
            None => value.to_owned(),
        },
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_the_user_of_a_url() {
        assert_eq!(without_user("http://me:p@w@host/x"), "http://***@host/x");
        assert_eq!(without_user("http://host/x"), "http://host/x");
        assert_eq!(without_user("me@host"), "me@host");
    }
}
