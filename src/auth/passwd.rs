//! `mqtt-server passwd`: changes a password file.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::password_file::check_user_name;
use super::{Algorithm, FileError, PasswordFile, PasswordHash, terminal};
use crate::config::Secret;

/// What to change in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passwd {
    /// The password file.
    pub file: PathBuf,
    /// The user it is about.
    pub user: String,
    /// What happens to the user.
    pub change: Change,
}

/// What happens to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The user is added, or gets another password.
    Set {
        /// How the password is hashed.
        algorithm: Algorithm,
        /// The password; `None` asks for it.
        password: Option<Secret>,
        /// Begin a new file, with this user alone.
        create: bool,
    },
    /// The user is taken out.
    Delete,
}

impl Passwd {
    /// Changes the file as a whole or not at all: whoever reads it meanwhile finds the old one.
    ///
    /// A new file can be read by its owner only. An existing one keeps its owner, and its group may
    /// go on reading it.
    ///
    /// # Errors
    /// Why the file was not changed.
    pub fn run(&self) -> Result<(), PasswdError> {
        check_user_name(&self.user).map_err(PasswdError::UserName)?;
        // The file itself is replaced, not a link to it.
        let path = fs::canonicalize(&self.file).unwrap_or_else(|_| self.file.clone());
        let text = match &self.change {
            Change::Set { create: true, .. } => String::new(),
            Change::Set { .. } | Change::Delete => read(&path)?,
        };
        let line = match &self.change {
            Change::Set {
                algorithm,
                password,
                ..
            } => Some(self.line(*algorithm, password.as_ref())?),
            Change::Delete => None,
        };
        let (text, was_there) = with_line(&text, &self.user, line.as_deref());
        if line.is_none() && !was_there {
            return Err(PasswdError::NoSuchUser);
        }
        replace(&path, &text).map_err(|error| PasswdError::Write { path, error })
    }

    fn line(&self, algorithm: Algorithm, given: Option<&Secret>) -> Result<String, PasswdError> {
        let password = match given {
            Some(password) => password.clone(),
            None => terminal::password().map_err(PasswdError::Password)?,
        };
        match password.expose() {
            "" => return Err(PasswdError::EmptyPassword),
            text if text.len() > usize::from(u16::MAX) => return Err(PasswdError::LongPassword),
            _ => {}
        }
        let hash = PasswordHash::new(algorithm, password.expose().as_bytes())
            .map_err(PasswdError::Hash)?;
        Ok(format!("{}:{hash}\n", self.user))
    }
}

fn read(path: &Path) -> Result<String, PasswdError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = "is not there: -c begins a new one";
            return Err(FileError::whole(path, what).into());
        }
        read => read.map_err(|error| {
            let what = format!("cannot be read: {error}");
            FileError::whole(path, what)
        })?,
    };
    // What is no password file must not be made one by adding a line.
    PasswordFile::parse(path, &bytes)?;
    String::from_utf8(bytes).map_err(|_| FileError::whole(path, "not UTF-8").into())
}

/// `text` with `line` in the place of the user's line, or at the end; without `line` the user's line
/// is taken out. Everything else stays byte for byte. Also says whether the user was there.
fn with_line(text: &str, user: &str, line: Option<&str>) -> (String, bool) {
    let mut changed = String::with_capacity(text.len() + line.map_or(0, str::len));
    let mut was_there = false;
    for old in text.split_inclusive('\n') {
        let name = old.split_once(':').map(|(name, _)| name.trim());
        if name == Some(user) {
            was_there = true;
            changed.push_str(line.unwrap_or_default());
        } else {
            changed.push_str(old);
        }
    }
    if let Some(line) = line.filter(|_| !was_there) {
        if !changed.is_empty() && !changed.ends_with('\n') {
            changed.push('\n');
        }
        changed.push_str(line);
    }
    (changed, was_there)
}

/// Puts a file with this text in the place of the one at `path`, once it is safe on the disk.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new_path = PathBuf::from(name);
    let written = write_new(&new_path, path, text).and_then(|()| fs::rename(&new_path, path));
    if written.is_err() {
        // It has hashes in it; the error that is told is the one before.
        let _ = fs::remove_file(&new_path);
    }
    written?;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_new(new_path: &Path, old_path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new_path)?;
    if let Ok(old) = fs::metadata(old_path) {
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(0o600 | old.mode() & 0o040))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Why the file was not changed.
#[derive(Debug)]
pub enum PasswdError {
    /// The user name cannot stand in the file.
    UserName(&'static str),
    /// There is no password file at that place, or it is no password file.
    File(FileError),
    /// The user to be taken out is not there.
    NoSuchUser,
    /// The password could not be asked for.
    Password(io::Error),
    /// Nobody should get in without a password.
    EmptyPassword,
    /// MQTT has no room for it.
    LongPassword,
    /// The password could not be hashed.
    Hash(io::Error),
    /// The file could not be written.
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl From<FileError> for PasswdError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl fmt::Display for PasswdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserName(what) => f.write_str(what),
            Self::File(error) => error.fmt(f),
            Self::NoSuchUser => f.write_str("there is no such user in the file"),
            Self::Password(error) => write!(f, "cannot read the password: {error}"),
            Self::EmptyPassword => f.write_str("the password is empty"),
            Self::LongPassword => f.write_str("the password is longer than 65535 bytes"),
            Self::Hash(error) => write!(f, "cannot hash the password: {error}"),
            Self::Write { path, error } => {
                write!(f, "{}: cannot be written: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for PasswdError {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn changes_one_line_only() {
        let text = "# people\nbob:1\n\n al : 2\r\neve:3";
        let set = |user, line| with_line(text, user, Some(line));
        assert_eq!(
            set("bob", "bob:9\n"),
            ("# people\nbob:9\n\n al : 2\r\neve:3".to_owned(), true)
        );
        assert_eq!(
            set("al", "al:9\n"),
            ("# people\nbob:1\n\nal:9\neve:3".to_owned(), true)
        );
        assert_eq!(set("new", "new:9\n"), (format!("{text}\nnew:9\n"), false));
        assert_eq!(
            with_line(text, "eve", None),
            ("# people\nbob:1\n\n al : 2\r\n".to_owned(), true)
        );
        assert_eq!(with_line(text, "nobody", None), (text.to_owned(), false));
    }
}
