//! The files that TLS needs: a certificate with its key, and whose clients are trusted.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use log::warn;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::certificate;
use crate::config::{ClientCertificate, ClientIdentity};
use crate::lock::lock;

/// Where the certificates are, and what is asked of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and those between it and the root, in PEM.
    pub certificate: PathBuf,
    /// The key of that certificate, in PEM and not encrypted.
    pub key: PathBuf,
    /// The roots of the clients' certificates, in PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether clients need a certificate. Without roots none is asked for.
    pub client_certificate: ClientCertificate,
    /// Which name in a client's certificate is its identity.
    pub client_identity: ClientIdentity,
}

/// What new connections are encrypted with, as of the last time the files were read.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    current: Mutex<Arc<ServerConfig>>,
}

impl Certificates {
    /// Reads the files. Warns of a certificate that is not valid today.
    ///
    /// # Errors
    /// When a file cannot be used, see [`TlsFileError`].
    pub fn load(files: TlsFiles) -> Result<Self, TlsFileError> {
        let current = Mutex::new(Arc::new(files.read()?));
        Ok(Self { files, current })
    }

    /// Reads the files again. Connections that exist stay as they are.
    ///
    /// # Errors
    /// When a file cannot be used; then new connections get what was read before.
    pub fn reload(&self) -> Result<(), TlsFileError> {
        let read = Arc::new(self.files.read()?);
        *lock(&self.current) = read;
        Ok(())
    }

    /// For a new connection.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&lock(&self.current))
    }

    /// The client's name in its certificate.
    pub(super) fn identity_in(&self, certificate: &CertificateDer<'_>) -> Option<String> {
        certificate::identity(certificate, self.files.client_identity)
    }
}

impl TlsFiles {
    fn read(&self) -> Result<ServerConfig, TlsFileError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates_in("tls-cert", &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes_of("tls-key", &self.key)?)
            .map_err(|error| TlsFileError::pem("tls-key", &self.key, "private key", &error))?;
        if let Some(problem) = chain.first().and_then(certificate::not_valid_now) {
            warn!("--tls-cert {:?}: {problem}", self.certificate);
        }
        let verifier = self.client_verifier(&provider)?;
        // The chain can be read as it is, so what is refused here is the key beside it.
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_client_cert_verifier(verifier)
                    .with_single_cert(chain, key)
            })
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsFileError::new(
                    "tls-key",
                    &self.key,
                    format!(
                        "is not the key of the certificate in {:?}",
                        self.certificate
                    ),
                ),
                rustls::Error::InvalidCertificate(error) => TlsFileError::new(
                    "tls-cert",
                    &self.certificate,
                    format!("the certificate cannot be used: {error:?}"),
                ),
                error => {
                    TlsFileError::new("tls-key", &self.key, format!("cannot be used: {error}"))
                }
            })
    }

    fn client_verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsFileError> {
        let Some(path) = &self.client_ca else {
            return Ok(WebPkiClientVerifier::no_client_auth());
        };
        let refused = |what: String| TlsFileError::new("tls-client-ca", path, what);
        let mut roots = RootCertStore::empty();
        for root in certificates_in("tls-client-ca", path)? {
            roots
                .add(root)
                .map_err(|error| refused(format!("a certificate cannot be used: {error}")))?;
        }
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let builder = match self.client_certificate {
            ClientCertificate::None => return Ok(WebPkiClientVerifier::no_client_auth()),
            ClientCertificate::Optional => builder.allow_unauthenticated(),
            ClientCertificate::Required => builder,
        };
        builder.build().map_err(|error| refused(error.to_string()))
    }
}

/// All certificates in a file; at least one.
fn certificates_in(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let bytes = bytes_of(setting, path)?;
    let all: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsFileError::pem(setting, path, "certificate", &error))?;
    if all.is_empty() {
        let error = pem::Error::NoItemsFound;
        return Err(TlsFileError::pem(setting, path, "certificate", &error));
    }
    Ok(all)
}

fn bytes_of(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsFileError> {
    fs::read(path)
        .map_err(|error| TlsFileError::new(setting, path, format!("cannot be read: {error}")))
}

/// A file that cannot be used for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFileError {
    setting: &'static str,
    path: PathBuf,
    what: String,
}

impl TlsFileError {
    fn new(setting: &'static str, path: &Path, what: String) -> Self {
        Self {
            setting,
            path: path.to_owned(),
            what,
        }
    }

    fn pem(setting: &'static str, path: &Path, wanted: &str, error: &pem::Error) -> Self {
        let what = match error {
            pem::Error::NoItemsFound => format!("has no {wanted} in PEM"),
            error => format!("is not PEM: {error}"),
        };
        Self::new(setting, path, what)
    }
}

impl fmt::Display for TlsFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{} {:?}: {}", self.setting, self.path, self.what)
    }
}

impl std::error::Error for TlsFileError {}
