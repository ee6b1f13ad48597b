//! A child process that never outlives its test.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use super::log::Log;

/// The signals that tests send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    HangUp,
    Interrupt,
    Terminate,
    Stop,
    Continue,
}

/// A running program and what it printed. Dropping it kills it, and shows its output when the test has failed.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    pub(crate) log: Log,
}

impl Process {
    /// Starts `command`, called `name` in messages; `package` is the Debian package that has the program.
    pub(crate) fn spawn(name: &'static str, package: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot start {name}: {error}; install it: sudo apt-get install {package}")
            });
        let log = Log::default();
        log.follow(child.stdout.take().unwrap());
        log.follow(child.stderr.take().unwrap());
        Self { name, child, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::HangUp => "HUP",
            Signal::Interrupt => "INT",
            Signal::Terminate => "TERM",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        // `kill` is built into every shell; the standard library can only send SIGKILL.
        let status = Command::new("sh")
            .args(["-c", "kill -\"$0\" \"$1\"", name, &self.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success(), "kill -{name} {}: {status}", self.name);
    }

    /// Waits until the process ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        assert!(self.log.wait_for_end(), "{} does not end", self.name);
        self.child.wait().unwrap()
    }

    /// `kill -9`, and waits.
    pub(crate) fn kill(&mut self) {
        // Fails only for a process that has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            self.log.wait_for_end();
            eprintln!("--- output of {} ---", self.name);
            for line in self.log.lines() {
                eprintln!("{line}");
            }
        }
    }
}
