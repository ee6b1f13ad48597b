//! `mqtt-server passwd`, measured by the real mosquitto.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use crate::support::{AccessFiles, Connect, ForeignBroker};

/// Runs `mqtt-server passwd` with this standard input; among `args` the word `FILE` is the password file.
fn passwd(files: &AccessFiles, args: &[&str], input: &str) -> Output {
    let args = args.iter().map(|arg| match *arg {
        "FILE" => files.passwords(),
        arg => arg.to_owned(),
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_mqtt-server"))
        .arg("passwd")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A run that fails early may not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn succeed(files: &AccessFiles, args: &[&str], input: &str) {
    let output = passwd(files, args, input);
    assert!(output.status.success(), "{args:?}: {output:?}");
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
}

/// Expects that it fails and leaves the file as it was; returns what it says.
fn fail(files: &AccessFiles, args: &[&str], input: &str) -> String {
    let before = fs::read(files.passwords()).ok();
    let output = passwd(files, args, input);
    assert!(!output.status.success(), "{args:?}");
    assert_eq!(fs::read(files.passwords()).ok(), before, "{args:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

fn text(files: &AccessFiles) -> String {
    fs::read_to_string(files.passwords()).unwrap()
}

#[test]
fn writes_what_mosquitto_reads() {
    let files = AccessFiles::new();
    succeed(&files, &["-c", "FILE", "typed"], "of input\nsecond line\n");
    succeed(&files, &["-b", "FILE", "given", "p\u{e4}ss w\u{f6}rd"], "");
    succeed(&files, &["-H", "sha512", "-b", "FILE", "old", "o"], "");
    succeed(&files, &["-b", "FILE", "changed", "first"], "");
    succeed(&files, &["-b", "FILE", "changed", "second"], "");
    succeed(&files, &["-b", "FILE", "gone", "g"], "");
    succeed(&files, &["-D", "FILE", "gone"], "");
    let settings = format!("allow_anonymous false\npassword_file {}", files.passwords());
    let mosquitto = ForeignBroker::start(&settings);
    let login = |user, password| {
        mosquitto.mosquitto_pub(&["-t", "t", "-m", "m", "-u", user, "-P", password])
    };
    for (user, password) in [
        ("typed", "of input"),
        ("given", "p\u{e4}ss w\u{f6}rd"),
        ("old", "o"),
        ("changed", "second"),
    ] {
        login(user, password).expect_success();
    }
    for (user, password) in [("changed", "first"), ("gone", "g"), ("old", "x")] {
        login(user, password).expect_failure("not authorised");
    }
}

/// Argon2id came with mosquitto 2.1, which is newer than the one at hand: our own broker reads it.
#[test]
fn writes_argon2id() {
    let files = AccessFiles::new();
    succeed(&files, &["-H", "argon2id", "-b", "FILE", "bob", "b"], "");
    assert!(text(&files).starts_with("bob:$argon2id$v=19$m=19456,t=2,p=1$"));
    let broker = files.broker_with_passwords().start();
    broker.connect_with(&Connect::new("c").user("bob", "b"));
}

#[test]
fn keeps_other_lines_and_hides_the_file_from_others() {
    let files = AccessFiles::new().user("mosquitto", "m");
    let old = format!("# people\n{}", text(&files));
    files.write_passwords(&old);
    succeed(&files, &["-b", "FILE", "bob", "b"], "");
    assert!(text(&files).starts_with(&old) && text(&files).contains("\nbob:$7$"));
    let mode = || {
        fs::metadata(files.passwords())
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode() & 0o037, 0, "{:o}", mode());
    succeed(&files, &["-D", "FILE", "bob"], "");
    assert_eq!(text(&files), old);
    fs::remove_file(files.passwords()).unwrap();
    succeed(&files, &["-c", "-b", "FILE", "bob", "b"], "");
    assert_eq!(mode(), 0o600);
    let folder = fs::read_dir(std::path::Path::new(&files.passwords()).parent().unwrap()).unwrap();
    assert_eq!(
        folder.count(),
        2,
        "nothing is left behind but the two files"
    );
}

#[test]
fn changes_nothing_when_something_is_wrong() {
    let files = AccessFiles::new().user("bob", "b");
    assert!(fail(&files, &["-D", "FILE", "eve"], "").contains("no such user"));
    assert!(fail(&files, &["FILE", "eve"], "\n").contains("password is empty"));
    assert!(fail(&files, &["-b", "FILE", "e:ve", "x"], "").contains("colon"));
    assert!(fail(&files, &["-b", "FILE", "bob"], "").contains("<PASSWORD>"));
    files.write_passwords("[section]\n");
    assert!(fail(&files, &["-b", "FILE", "eve", "x"], "").contains("line 1: expected USER:HASH"));
    fs::remove_file(files.passwords()).unwrap();
    assert!(fail(&files, &["-b", "FILE", "eve", "x"], "").contains("-c begins a new one"));
}

/// The password is asked for twice and never shown: `script` gives the program a terminal.
#[test]
fn never_shows_what_is_typed_at_a_terminal() {
    let files = AccessFiles::new();
    let command = format!(
        "{} passwd -c {} bob",
        env!("CARGO_BIN_EXE_mqtt-server"),
        files.passwords()
    );
    let mut child = Command::new("script")
        .args(["-q", "-e", "-E", "never", "-c", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let shown = type_when_asked(&mut stdin, &mut screen, &["Password: ", "The same again: "]);
    assert!(child.wait().unwrap().success(), "{shown}");
    assert!(!shown.contains("geheim"), "{shown}");
    let broker = files.broker_with_passwords().start();
    broker.connect_with(&Connect::new("c").user("bob", "geheim"));
}

/// Types the password after each question has been shown; returns all that the screen showed.
fn type_when_asked(
    keyboard: &mut impl Write,
    screen: &mut impl std::io::Read,
    questions: &[&str],
) -> String {
    let mut shown = Vec::new();
    let mut chunk = [0; 256];
    for question in questions {
        while !String::from_utf8_lossy(&shown).contains(question) {
            let count = screen.read(&mut chunk).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&shown));
            shown.extend_from_slice(&chunk[..count]);
        }
        keyboard.write_all(b"geheim\n").unwrap();
    }
    screen.read_to_end(&mut shown).unwrap();
    String::from_utf8(shown).unwrap()
}
