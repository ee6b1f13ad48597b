//! A server that runs for a while and never outlives the bench.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server needs a small part of this to begin to serve.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// How often a server that starts is asked whether it serves.
const START_CHECK: Duration = Duration::from_millis(20);

/// How many lines of a server's output are shown when it has failed.
const LINES_SHOWN: usize = 10;

/// A running server and the folder of all it keeps. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    directory: TempDir,
}

impl Process {
    /// Starts `command`, whose output goes into a file in `directory`, and asks `serves` again and
    /// again until it does.
    ///
    /// # Errors
    /// When it cannot be started, ends, or does not serve in time: with the end of its output.
    pub(crate) fn start(
        command: &Command,
        directory: TempDir,
        mut serves: impl FnMut() -> io::Result<()>,
    ) -> io::Result<Self> {
        let output = File::create(directory.path().join(OUTPUT))?;
        let program = command.get_program().to_string_lossy().into_owned();
        let child = ending_with_the_bench(command)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
        let mut process = Self { child, directory };
        let end = Instant::now() + START_DEADLINE;
        loop {
            let Err(error) = serves() else {
                return Ok(process);
            };
            let ended = process.child.try_wait()?;
            if ended.is_some() || Instant::now() > end {
                let output = process.last_output();
                return Err(io::Error::other(format!(
                    "{program} does not serve: {error}\n{output}"
                )));
            }
            thread::sleep(START_CHECK);
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it printed.
    pub(crate) fn last_output(&self) -> String {
        let output = fs::read(self.directory.path().join(OUTPUT)).unwrap_or_default();
        let output = String::from_utf8_lossy(&output);
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only for a process that has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same command for a process that the system kills when the bench ends, however that comes: a
/// signal ends the bench without dropping anything.
fn ending_with_the_bench(command: &Command) -> Command {
    let variables = command.get_envs();
    let mut whole = Command::new("setpriv");
    whole
        .args(["--pdeathsig", "KILL", "--"])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(variables.filter_map(|(name, value)| Some((name, value?))));
    whole
}

/// An address on which nobody listens. Another process may take it before it is used; then the
/// server that was to have it says so and the bench with it.
///
/// # Errors
/// When there is none.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

const OUTPUT: &str = "output";
