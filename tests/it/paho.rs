//! The client library of most Python programs: `tests/paho/scenes.py`, in both versions of MQTT.

use std::path::Path;
use std::process::Command;

use crate::support::Broker;
use crate::support::process::Process;

/// Where `tests/run` installs it.
const PYTHON: &str = "target/paho/bin/python";

/// Runs one scene, which ends with an error when it does not go as it should.
fn play(scene: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(PYTHON);
    assert!(
        python.exists(),
        "{PYTHON} is missing; tests/run makes it: \
         python3 -m venv target/paho && target/paho/bin/pip install paho-mqtt==2.1.0"
    );
    let broker = Broker::start_without_store();
    for version in ["3.1.1", "5"] {
        let mut command = Command::new(&python);
        command.arg(root.join("tests/paho/scenes.py")).args([
            scene,
            version,
            &broker.address().port().to_string(),
        ]);
        let mut process = Process::spawn("scenes.py", "python3", &mut command);
        let status = process.wait();
        let lines = process.log.lines().join("\n");
        assert!(status.success(), "{scene} in {version}: {status}\n{lines}");
    }
}

#[test]
fn carries_messages_of_every_qos() {
    play("round_trips");
}

#[test]
fn resumes_a_session() {
    play("resume");
}

#[test]
fn publishes_a_will() {
    play("will");
}

#[test]
fn passes_properties_on() {
    play("properties");
}
