//! A password file and an access-control file.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::BrokerCommand;

/// A folder with a password file, written by `mosquitto_passwd`, and an access-control file.
pub(crate) struct AccessFiles {
    folder: TempDir,
}

impl AccessFiles {
    /// Both files, with nothing in them.
    pub(crate) fn new() -> Self {
        let files = Self {
            folder: TempDir::new().unwrap(),
        };
        files.write_passwords("");
        files.write_acl("");
        files
    }

    pub(crate) fn passwords(&self) -> String {
        self.path("users")
    }

    pub(crate) fn acl(&self) -> String {
        self.path("acl")
    }

    /// Runs `mosquitto_passwd` with these arguments, among which `FILE` is the password file.
    pub(crate) fn mosquitto_passwd(&self, args: &[&str]) {
        let args = args.iter().map(|arg| match *arg {
            "FILE" => self.passwords(),
            arg => arg.to_owned(),
        });
        let output = Command::new("mosquitto_passwd")
            .args(args)
            .output()
            .expect("mosquitto_passwd; install it: sudo apt-get install mosquitto");
        assert!(output.status.success(), "{output:?}");
    }

    /// Adds a user, or changes its password.
    pub(crate) fn user(self, name: &str, password: &str) -> Self {
        self.mosquitto_passwd(&["-b", "FILE", name, password]);
        self
    }

    /// Puts a text in the place of the password file.
    pub(crate) fn write_passwords(&self, text: &str) {
        fs::write(self.passwords(), text).unwrap();
    }

    /// Puts a text in the place of the access-control file.
    pub(crate) fn write_acl(&self, text: &str) {
        fs::write(self.acl(), text).unwrap();
    }

    /// A broker without a store that uses the password file.
    pub(crate) fn broker_with_passwords(&self) -> BrokerCommand {
        BrokerCommand::without_store().args(&["--password-file", &self.passwords()])
    }

    /// A broker without a store that uses the access-control file.
    pub(crate) fn broker_with_acl(&self) -> BrokerCommand {
        BrokerCommand::without_store().args(&["--acl-file", &self.acl()])
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        path.to_str().unwrap().to_owned()
    }
}
