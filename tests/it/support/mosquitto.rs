//! The clients of mosquitto, which everybody uses and nobody here wrote.

use std::process::Command;

use super::Broker;
use super::process::Process;

/// What starts the lines that hold a message; `mosquitto_sub -d` prints others.
const MESSAGE: &str = "MESSAGE ";

/// A `mosquitto_pub` or `mosquitto_sub` at work.
pub(crate) struct Mosquitto {
    process: Process,
}

impl Mosquitto {
    /// Publishes one message.
    pub(crate) fn publish(broker: &Broker, topic: &str, payload: &str, qos: u8) -> Self {
        Self::publish_with(
            broker,
            &["-t", topic, "-m", payload, "-q", &qos.to_string()],
        )
    }

    /// Runs `mosquitto_pub` with arguments of its own.
    pub(crate) fn publish_with(broker: &Broker, args: &[&str]) -> Self {
        let to = to(broker);
        let to = to.each_ref().map(String::as_str);
        Self::run("mosquitto_pub", &[&to, args].concat())
    }

    /// Runs one of the clients with these arguments alone.
    pub(super) fn run(name: &'static str, args: &[&str]) -> Self {
        let mut command = Command::new(name);
        command.args(args);
        Self {
            process: Process::spawn(name, "mosquitto-clients", &mut command),
        }
    }

    /// Subscribes, waits until the broker has granted it, and listens for `count` messages.
    pub(crate) fn subscribe(broker: &Broker, filter: &str, qos: u8, count: usize) -> Self {
        let (qos, count) = (qos.to_string(), count.to_string());
        let args = ["-t", filter, "-q", &qos, "-C", &count];
        Self::subscribe_with(broker, "%t %q %r %p", &args)
    }

    /// Runs `mosquitto_sub` with arguments of its own and waits until the broker has granted its subscription;
    /// `format` is what it prints of each message.
    pub(crate) fn subscribe_with(broker: &Broker, format: &str, args: &[&str]) -> Self {
        // Into a pipe it prints in blocks, which would hide the line that is waited for.
        let mut command = Command::new("stdbuf");
        command
            .args(["-oL", "mosquitto_sub", "-d"])
            .args(to(broker));
        command.args(args);
        command.args(["-W", "30", "-F", &format!("{MESSAGE}{format}")]);
        let process = Process::spawn("mosquitto_sub", "mosquitto-clients coreutils", &mut command);
        process.log.wait_for("Subscribed (mid: 1)");
        Self { process }
    }

    /// Asks a question with `mosquitto_rr` and waits for the answer.
    pub(crate) fn ask(broker: &Broker, args: &[&str]) -> Self {
        let mut command = Command::new("mosquitto_rr");
        command
            .args(to(broker))
            .args(args)
            .args(["-W", "30", "-F", &format!("{MESSAGE}%t %p")]);
        Self {
            process: Process::spawn("mosquitto_rr", "mosquitto-clients", &mut command),
        }
    }

    /// Waits until it ends, which must be with success.
    pub(crate) fn expect_success(mut self) {
        let status = self.process.wait();
        assert!(
            status.success(),
            "{status}\n{}",
            self.process.log.lines().join("\n")
        );
    }

    /// Waits until it ends, which must be with a failure that it tells with `reason`.
    pub(crate) fn expect_failure(mut self, reason: &str) {
        let status = self.process.wait();
        let said = self.process.log.lines().join("\n");
        assert!(
            !status.success() && said.contains(reason),
            "{status}\n{said}"
        );
    }

    /// Waits until all messages are there: topic, QoS, retain flag and payload of each.
    pub(crate) fn messages(mut self) -> Vec<String> {
        let status = self.process.wait();
        let lines = self.process.log.lines();
        assert!(status.success(), "{status}\n{}", lines.join("\n"));
        let messages = lines.iter().filter_map(|line| line.strip_prefix(MESSAGE));
        messages.map(str::to_owned).collect()
    }
}

fn to(broker: &Broker) -> [String; 6] {
    let address = broker.address();
    let args = [
        "-V",
        "311",
        "-h",
        &address.ip().to_string(),
        "-p",
        &address.port().to_string(),
    ];
    args.map(str::to_owned)
}
