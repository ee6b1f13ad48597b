//! The head of a file that `influx -import` takes.

use std::io::{self, Write};

/// Prints what stands before the lines: the database that they go to, made where it is missing.
pub(super) fn head(database: &str, out: &mut impl Write) -> io::Result<()> {
    let quoted = database.replace('\\', "\\\\").replace('"', "\\\"");
    writeln!(out, "# DDL")?;
    writeln!(out, "CREATE DATABASE \"{quoted}\"")?;
    writeln!(out, "# DML")?;
    writeln!(out, "# CONTEXT-DATABASE: {database}")
}
