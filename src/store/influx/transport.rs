//! The HTTP client, and what it trusts.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::blocking::Client;
use reqwest::redirect;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::Config;

/// The client for all requests.
///
/// # Errors
/// When a file that `config` names cannot be used.
pub(super) fn client(config: &Config) -> Result<Client, TransportError> {
    Client::builder()
        .tls_backend_preconfigured(tls(config)?)
        .timeout(config.influx_timeout)
        .connect_timeout(config.influx_timeout)
        .pool_max_idle_per_host(config.influx_connections)
        .tcp_nodelay(true)
        // A redirected POST would become a GET, which stores nothing and may well succeed.
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| TransportError::Client(chain(&error)))
}

fn tls(config: &Config) -> Result<ClientConfig, TransportError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TransportError::Client(error.to_string()))?
        .with_root_certificates(roots(config)?);
    match (&config.influx_client_cert, &config.influx_client_key) {
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(
                certificates_in("influx-client-cert", certificate)?,
                PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| file_error("influx-client-key", key, &error))?,
            )
            .map_err(|error| file_error("influx-client-key", key, &error)),
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn roots(config: &Config) -> Result<RootCertStore, TransportError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &config.influx_ca {
        for root in certificates_in("influx-ca", path)? {
            roots
                .add(root)
                .map_err(|error| file_error("influx-ca", path, &error))?;
        }
    } else if config.influx_url.starts_with("https://") {
        // Some of them are odd on many systems; those that can be used are enough.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    Ok(roots)
}

/// All certificates in a file; at least one.
fn certificates_in(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let all: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| file_error(setting, path, &error))?;
    match all.is_empty() {
        true => Err(file_error(setting, path, &"has no certificate in PEM")),
        false => Ok(all),
    }
}

fn file_error(setting: &'static str, path: &Path, what: &impl fmt::Display) -> TransportError {
    TransportError::File {
        setting,
        path: path.to_owned(),
        what: what.to_string(),
    }
}

/// Why there can be no connection to InfluxDB, whatever is at its other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// A file cannot be used.
    File {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// An HTTP client cannot be made.
    Client(String),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                setting,
                path,
                what,
            } => write!(f, "--{setting} {path:?}: {what}"),
            Self::Client(what) => write!(f, "cannot make a client for InfluxDB: {what}"),
        }
    }
}

impl Error for TransportError {}

/// An error with what caused it: `reqwest` alone says little more than "error sending request".
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
