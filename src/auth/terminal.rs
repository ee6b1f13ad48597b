//! Asking for a password at a terminal.

use std::io::{self, BufRead, Write};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::config::Secret;

/// Reads a password from standard input: asked for twice and never shown at a terminal, and the
/// first line of it otherwise.
///
/// # Errors
/// The input's, and when the two passwords differ.
pub(super) fn password() -> io::Result<Secret> {
    let stdin = io::stdin();
    if !io::IsTerminal::is_terminal(&stdin) {
        return line(&mut stdin.lock()).map(Secret::new);
    }
    let _silence = Silence::on(&stdin)?;
    let first = ask(&stdin, "Password: ")?;
    let second = ask(&stdin, "The same again: ")?;
    if first == second {
        Ok(first)
    } else {
        Err(io::Error::other("the two passwords differ"))
    }
}

fn ask(stdin: &io::Stdin, question: &str) -> io::Result<Secret> {
    let mut stderr = io::stderr();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let answer = line(&mut stdin.lock());
    // The terminal did not show the newline either.
    writeln!(stderr)?;
    answer.map(Secret::new)
}

fn line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let len = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(len);
    Ok(line)
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silence<'t> {
    terminal: &'t io::Stdin,
    before: Termios,
}

impl<'t> Silence<'t> {
    fn on(terminal: &'t io::Stdin) -> io::Result<Self> {
        let before = tcgetattr(terminal.as_fd())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // What was typed too early is thrown away: it was shown.
        tcsetattr(terminal.as_fd(), OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // A terminal that has gone needs no echo.
        let _ = tcsetattr(self.terminal.as_fd(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn takes_one_line_without_its_end() {
        assert_eq!(line(&mut &b" a b \r\nc"[..]).unwrap(), " a b ");
        assert_eq!(line(&mut &b""[..]).unwrap(), "");
    }
}
