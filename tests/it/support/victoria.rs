//! The real VictoriaMetrics, which takes points as InfluxDB 1.x and 2.x do.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::{eventually, http};

/// A VictoriaMetrics of this test alone.
pub(crate) struct Victoria {
    _process: Process,
    _directory: TempDir,
    address: SocketAddr,
}

impl Victoria {
    /// Starts an empty one and waits until it serves.
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        // It does not tell which port it got, so that one is chosen which is free just now; should
        // another take it first, the next try has another.
        let (process, address) = eventually("VictoriaMetrics serves", || {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let mut command = Command::new("victoria-metrics");
            command
                .arg(format!("-storageDataPath={}", directory.path().display()))
                .arg(format!("-httpListenAddr={address}"))
                .arg("-memory.allowedBytes=64MB");
            let process = Process::spawn("victoria-metrics", "victoria-metrics", &mut command);
            let is_decided =
                |line: &str| line.contains("starting http server") || line.contains("cannot");
            let line = process
                .log
                .wait_for_match("VictoriaMetrics serves or gives up", is_decided);
            (!line.contains("cannot")).then_some((process, address))
        });
        Self {
            _process: process,
            _directory: directory,
            address,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until a metric has a value, and returns its series: labels, and values oldest first.
    pub(crate) fn wait_for(&self, metric: &str) -> Value {
        eventually(metric, || {
            // What it was sent a moment ago may not be visible yet.
            let flush = "/internal/force_flush";
            http::post(self.address, flush, b"").unwrap();
            let form = format!("match[]={metric}");
            let response = http::post(self.address, "/api/v1/export", form.as_bytes()).unwrap();
            serde_json::from_slice(&response.body).ok()
        })
    }
}
