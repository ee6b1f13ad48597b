//! The `mqtt-server` binary: command line, log, server, exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use log::error;
use mqtt_server::config::{Config, Invocation};
use mqtt_server::logging;
use mqtt_server::server::Server;
use mqtt_server::task;

fn main() -> ExitCode {
    let config = match Config::from_process() {
        Ok(Invocation::Serve(config)) => config,
        Ok(Invocation::Passwd(passwd)) => {
            return match passwd.run() {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    say(&error);
                    ExitCode::FAILURE
                }
            };
        }
        Ok(Invocation::Print(text)) => {
            // A reader that has gone, as in `--help | head`, is no failure.
            let _ = io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Invocation::Task(config, task)) => {
            return match task::run(&config, &task, &mut io::stdout().lock()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    say(&error);
                    ExitCode::FAILURE
                }
            };
        }
        Err(error) => {
            error.problems().iter().for_each(say);
            return ExitCode::from(USAGE);
        }
    };
    if let Err(error) = logging::init(&config.log_filter, config.log_timestamps) {
        say(&error);
        return ExitCode::FAILURE;
    }
    let server = match Server::bind(*config) {
        Ok(server) => server,
        Err(error) => {
            error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match server.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("cannot serve: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says one line to the operator where there is no log yet.
fn say(what: impl Display) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "mqtt-server: {what}");
}

/// The exit code for a wrong setting.
const USAGE: u8 = 2;
