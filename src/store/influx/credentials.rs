//! Who we are for InfluxDB. Secrets from files are read again, since they change.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use log::{info, warn};
use reqwest::header::HeaderValue;

use super::api::Api;
use crate::config::{Config, Secret};
use crate::lock::lock;
use crate::store::base64::push_base64;

/// A token, or else a user and a password, or else nothing.
#[derive(Debug)]
pub(super) struct Credentials {
    /// Whose password the secret is; `None` where it is a token.
    user_name: Option<String>,
    /// Where the secret comes from, if it is from a file.
    file: Option<PathBuf>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    secret: Option<Secret>,
    /// When the file was changed, as of the last look.
    modified: Option<SystemTime>,
    /// When it was looked at.
    looked: Instant,
    /// Whether the log says already that it cannot be read.
    is_unreadable: bool,
}

/// The file is looked at so often at most: a system call for every write would be many.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

impl Credentials {
    /// Those of `config`, which has read the files already.
    pub(super) fn new(config: &Config) -> Self {
        let (user_name, secret, file) = match &config.influx_token {
            Some(token) => (None, Some(token), &config.influx_token_file),
            None => (
                config.influx_username.clone(),
                config.influx_password.as_ref(),
                &config.influx_password_file,
            ),
        };
        let current = Current {
            secret: secret.cloned(),
            // Unknown, so that a change since then is not missed.
            modified: None,
            looked: Instant::now(),
            is_unreadable: false,
        };
        Self {
            user_name,
            file: file.clone(),
            current: Mutex::new(current),
        }
    }

    /// What the next request says in `Authorization`, if anything.
    pub(super) fn header(&self, api: Api) -> Option<HeaderValue> {
        let mut current = lock(&self.current);
        if current.looked.elapsed() >= LOOK_PAUSE {
            self.look(&mut current);
        }
        let text = match (&self.user_name, &current.secret) {
            (Some(user_name), secret) => basic(user_name, secret.as_ref()),
            (None, Some(token)) => {
                // 2.x knows only the word of its own; the others and their proxies know Bearer.
                let scheme = match api {
                    Api::V1 | Api::V3 => "Bearer",
                    Api::V2 => "Token",
                };
                format!("{scheme} {}", token.expose()).into_bytes()
            }
            (None, None) => return None,
        };
        // A secret that no header can hold is as wrong as any other.
        let mut value = HeaderValue::from_bytes(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Reads the file after the credentials `used` were refused. Whether there are others now.
    pub(super) fn are_others_than(&self, used: Option<&HeaderValue>, api: Api) -> bool {
        {
            let mut current = lock(&self.current);
            current.modified = None;
            self.look(&mut current);
        }
        self.header(api).as_ref() != used
    }

    fn look(&self, current: &mut Current) {
        current.looked = Instant::now();
        let Some(file) = &self.file else {
            return;
        };
        let modified = fs::metadata(file).and_then(|metadata| metadata.modified());
        if matches!((&modified, current.modified), (Ok(now), Some(then)) if *now == then) {
            return;
        }
        let read = modified.and_then(|modified| Ok((modified, fs::read_to_string(file)?)));
        let secret = match read {
            Ok((modified, text)) => {
                current.modified = Some(modified);
                Secret::in_text(&text)
            }
            Err(error) => {
                if !current.is_unreadable {
                    warn!("{file:?} cannot be read, its last secret stays in use: {error}");
                }
                current.is_unreadable = true;
                return;
            }
        };
        current.is_unreadable = false;
        // An empty file is one that is about to be written.
        if secret.is_some() && secret != current.secret {
            info!("[INFLUXDB] the secret in {file:?} has changed");
            current.secret = secret;
        }
    }
}

fn basic(user_name: &str, password: Option<&Secret>) -> Vec<u8> {
    let pair = format!("{user_name}:{}", password.map_or("", Secret::expose));
    let mut encoded = b"Basic ".to_vec();
    push_base64(pair.as_bytes(), &mut encoded);
    encoded
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::config::Invocation;

    fn credentials(args: &[&str]) -> Credentials {
        let all = ["mqtt-server", "--data-dir", "/d"].iter().chain(args);
        let read = |path: &Path| fs::read_to_string(path);
        match Config::from_sources(all, [], read).unwrap() {
            Invocation::Serve(config) => Credentials::new(&config),
            other => panic!("expected to serve, got {other:?}"),
        }
    }

    fn text(credentials: &Credentials, api: Api) -> String {
        let header = credentials.header(api).unwrap();
        assert!(header.is_sensitive());
        header.to_str().unwrap().to_owned()
    }

    #[test]
    fn says_who_we_are_as_each_version_wants_it() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "pass word\r\n").unwrap();
        let file = file.to_str().unwrap();
        let user = ["--influx-username", "me"];
        let password = ["--influx-password-file", file];
        let token = ["--influx-token-file", file];

        assert_eq!(credentials(&[]).header(Api::V1), None);
        assert_eq!(text(&credentials(&user), Api::V1), "Basic bWU6");
        let both = credentials(&[user, password].concat());
        assert_eq!(text(&both, Api::V1), "Basic bWU6cGFzcyB3b3Jk");
        let all = credentials(&[user, password, token].concat());
        assert_eq!(text(&all, Api::V1), "Bearer pass word");
        assert_eq!(text(&all, Api::V2), "Token pass word");
        assert_eq!(text(&all, Api::V3), "Bearer pass word");
    }

    #[test]
    fn reads_a_changed_file_and_keeps_the_last_secret_without_one() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "first").unwrap();
        let credentials = credentials(&["--influx-token-file", file.to_str().unwrap()]);
        let after_a_pause = || {
            let long_ago = Instant::now().checked_sub(LOOK_PAUSE).unwrap();
            lock(&credentials.current).looked = long_ago;
            text(&credentials, Api::V2)
        };
        assert_eq!(after_a_pause(), "Token first");
        fs::write(&file, "second").unwrap();
        // Two writes within a tick of the clock of the file system would look the same.
        let later = SystemTime::now() + Duration::from_secs(1);
        let opened = fs::File::options().write(true).open(&file).unwrap();
        opened.set_modified(later).unwrap();
        assert_eq!(text(&credentials, Api::V2), "Token first");
        assert_eq!(after_a_pause(), "Token second");
        fs::write(&file, "").unwrap();
        assert_eq!(after_a_pause(), "Token second");
        fs::remove_file(&file).unwrap();
        assert_eq!(after_a_pause(), "Token second");

        fs::write(&file, "third").unwrap();
        let used = credentials.header(Api::V2);
        assert!(credentials.are_others_than(used.as_ref(), Api::V2));
        assert_eq!(text(&credentials, Api::V2), "Token third");
        let used = credentials.header(Api::V2);
        assert!(!credentials.are_others_than(used.as_ref(), Api::V2));
    }
}
