//! `mqtt-server check`. That it runs at all means that the settings are in order: they are checked
//! before anything else.

use std::io::Write;

use super::TaskError;
use crate::config::{Config, StoreKind};
use crate::store::{self, StoreError};

pub(super) fn run(config: &Config, connect: bool, out: &mut impl Write) -> Result<(), TaskError> {
    let file = match &config.config_file {
        Some(file) => file.display().to_string(),
        None => "no file".to_owned(),
    };
    let rules = config.rules.len();
    writeln!(out, "the settings are in order ({file}, {rules} rules)")?;
    if !connect {
        return Ok(());
    }
    let (url, database) = (&config.influx_url, &config.influx_database);
    if config.store == StoreKind::Off {
        writeln!(
            out,
            "nothing is stored (--store off), so that nobody is asked"
        )?;
        return Ok(());
    }
    match store::probe(config) {
        Ok(()) => writeln!(
            out,
            "InfluxDB at {url} takes points for database {database:?}"
        )?,
        Err(StoreError::Refused { status: 404, .. }) if config.influx_create_database => writeln!(
            out,
            "InfluxDB at {url} answers; it has no database {database:?}, which the server creates"
        )?,
        Err(error) => {
            return Err(TaskError::Refused {
                what: format!("database {database:?} at {url}: {error}"),
            });
        }
    }
    Ok(())
}
