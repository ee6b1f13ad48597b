//! The real InfluxDB, in a temporary folder and on a port of its own.

use std::io;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Map, Value};
use tempfile::TempDir;

use super::process::{Process, Signal};
use super::{base64, eventually, http};

/// Where the broker stores unless it is told otherwise.
const DATABASE: &str = "mqtt_data";

/// An influxd of this test alone.
pub(crate) struct Influx {
    process: Process,
    directory: TempDir,
    address: SocketAddr,
    /// User and password of every request, once there are users.
    credentials: Option<(&'static str, &'static str)>,
}

impl Influx {
    /// Starts an empty influxd and waits until it serves.
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let process = spawn(&directory, "127.0.0.1:0", false);
        let address = listening_address(&process);
        Self {
            process,
            directory,
            address,
            credentials: None,
        }
    }

    /// Starts an influxd that asks for a password; `user` and `password` are those of its administrator.
    pub(crate) fn start_with_auth(user: &'static str, password: &'static str) -> Self {
        let mut influx = Self::start();
        influx.query(&format!(
            "CREATE USER \"{user}\" WITH PASSWORD '{password}' WITH ALL PRIVILEGES"
        ));
        influx.credentials = Some((user, password));
        influx.kill();
        influx.restart();
        influx
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Influx::kill`], with the same data on the same port.
    pub(crate) fn restart(&mut self) {
        let address = self.address.to_string();
        let auth = self.credentials.is_some();
        // The port may still be held for an instant by what the killed process left behind.
        self.process = eventually("influxd has its port back", || {
            let process = spawn(&self.directory, &address, auth);
            let serves = |line: &str| line.contains("Listening on HTTP") || line.contains("run:");
            let line = process
                .log
                .wait_for_match("influxd serves or gives up", serves);
            (!line.contains("run:")).then_some(process)
        });
    }

    /// Stops the process as if its machine had frozen: connections stay open and nothing is answered.
    pub(crate) fn pause(&self) {
        self.process.signal(Signal::Stop);
    }

    /// Lets it run on after [`Influx::pause`].
    pub(crate) fn resume(&self) {
        self.process.signal(Signal::Continue);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Runs an InfluxQL statement and returns its result; an error that InfluxDB reports fails the test.
    pub(crate) fn query(&self, statement: &str) -> Value {
        let form = format!(
            "db={DATABASE}&epoch=ns&q={}",
            http::percent_encode(statement)
        );
        let response = http::post(self.address, &self.target("/query?"), form.as_bytes()).unwrap();
        let body = String::from_utf8(response.body).unwrap();
        assert_eq!(response.status, 200, "{statement}: {body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let result = answer["results"][0].clone();
        assert_eq!(result["error"], Value::Null, "{statement}");
        result
    }

    /// Writes one line of line protocol as another program would.
    pub(crate) fn write(&self, line: &str) {
        let target = self.target(&format!("/write?db={DATABASE}"));
        let response = http::post(self.address, &target, line.as_bytes()).unwrap();
        assert_eq!(
            response.status,
            204,
            "{line}: {}",
            String::from_utf8_lossy(&response.body)
        );
    }

    /// `target` with user and password, which 1.6.7 reads from the URL and not from a form.
    fn target(&self, target: &str) -> String {
        match self.credentials {
            Some((user, password)) => format!("{target}&u={user}&p={password}"),
            None => target.to_owned(),
        }
    }

    /// Every stored point, oldest first.
    pub(crate) fn points(&self) -> Vec<Point> {
        let result = self.query("SELECT * FROM mqtt");
        let series = &result["series"][0];
        let Some(rows) = series["values"].as_array() else {
            return Vec::new();
        };
        let columns = series["columns"].as_array().unwrap();
        let point = |row: &Value| {
            let names = columns.iter().map(|name| name.as_str().unwrap().to_owned());
            let cells = names.zip(row.as_array().unwrap().iter().cloned());
            Point {
                fields: cells.filter(|(_, cell)| !cell.is_null()).collect(),
            }
        };
        rows.iter().map(point).collect()
    }

    /// The payloads stored for `topic`, oldest first, as text.
    pub(crate) fn payloads(&self, topic: &str) -> Vec<String> {
        let points = self
            .points()
            .into_iter()
            .filter(|point| point.topic() == topic);
        points
            .map(|point| String::from_utf8(point.payload()).unwrap())
            .collect()
    }

    /// How many points have a `field`. Cheap for any number of points, unlike [`Influx::points`].
    pub(crate) fn count(&self, field: &str) -> u64 {
        let result = self.query(&format!("SELECT count(\"{field}\") FROM mqtt"));
        result["series"][0]["values"][0][1].as_u64().unwrap_or(0)
    }

    /// The names of all databases.
    pub(crate) fn databases(&self) -> Vec<String> {
        let result = self.query("SHOW DATABASES");
        let rows = result["series"][0]["values"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        rows.iter()
            .map(|row| row[0].as_str().unwrap().to_owned())
            .collect()
    }
}

/// One stored message.
#[derive(Debug)]
pub(crate) struct Point {
    fields: Map<String, Value>,
}

impl Point {
    /// A field or tag by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// Nanoseconds since 1970.
    pub(crate) fn time(&self) -> i64 {
        self.fields["time"].as_i64().unwrap()
    }

    /// The topic as it was published, also where a tag cannot hold it.
    pub(crate) fn topic(&self) -> &str {
        let exact = self.get("topic_exact").or_else(|| self.get("topic"));
        exact
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no topic: {self:?}"))
    }

    /// The payload as it was published, from whichever field has it.
    pub(crate) fn payload(&self) -> Vec<u8> {
        if let Some(Value::String(text)) = self.get("payload_base64") {
            return base64::decode(text);
        }
        if let Some(Value::String(text)) = self.get("payload") {
            return text.clone().into_bytes();
        }
        let value = self.get("value").and_then(Value::as_f64);
        value
            .unwrap_or_else(|| panic!("no payload: {self:?}"))
            .to_string()
            .into_bytes()
    }
}

fn spawn(directory: &TempDir, address: &str, auth: bool) -> Process {
    let folder = |name: &str| directory.path().join(name);
    let mut command = Command::new("influxd");
    command
        .args(["-config", "/dev/null"])
        .env("INFLUXDB_META_DIR", folder("meta"))
        .env("INFLUXDB_DATA_DIR", folder("data"))
        .env("INFLUXDB_DATA_WAL_DIR", folder("wal"))
        .env("INFLUXDB_HTTP_BIND_ADDRESS", address)
        .env("INFLUXDB_HTTP_AUTH_ENABLED", auth.to_string())
        .env("INFLUXDB_HTTP_LOG_ENABLED", "false")
        .env("INFLUXDB_BIND_ADDRESS", "127.0.0.1:0")
        .env("INFLUXDB_MONITOR_STORE_ENABLED", "false")
        .env("INFLUXDB_REPORTING_DISABLED", "true");
    Process::spawn("influxd", "influxdb", &mut command)
}

/// Waits until influxd serves, and reads from its log where.
fn listening_address(process: &Process) -> SocketAddr {
    let line = process.log.wait_for("Listening on HTTP");
    let address = line
        .split_once("addr=")
        .and_then(|(_, rest)| rest.split(' ').next());
    address
        .and_then(|address| address.parse().ok())
        .ok_or_else(|| io::Error::other(line.clone()))
        .unwrap()
}
