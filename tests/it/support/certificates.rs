//! Certificates, made anew for each test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS12;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;

/// A certificate authority and the folder with all that it has signed.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    folder: TempDir,
}

/// A certificate and its key, as files in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            folder,
        }
    }

    /// The authority's own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// For a server at 127.0.0.1, valid today.
    pub(crate) fn server(&self) -> Identity {
        self.sign("server", &server_params())
    }

    /// For a server at 127.0.0.1, in a time that is over.
    pub(crate) fn expired_server(&self) -> Identity {
        let mut params = server_params();
        params.not_after = rcgen::date_time_ymd(2020, 2, 29);
        self.sign("expired", &params)
    }

    /// For a client with this common name.
    pub(crate) fn client(&self, name: &str) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(name, &params)
    }

    /// What a server with this identity needs; with `asks_clients`, clients need a certificate of
    /// this authority.
    pub(crate) fn server_config(
        &self,
        identity: &Identity,
        asks_clients: bool,
    ) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = match asks_clients {
            false => WebPkiClientVerifier::no_client_auth(),
            true => {
                let roots = Arc::new(self.roots());
                let builder =
                    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
                builder.build().unwrap()
            }
        };
        let (chain, key) = identity.read();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key);
        Arc::new(config.unwrap())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }

    fn sign(&self, name: &str, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let identity = Identity {
            certificate: self.folder.path().join(format!("{name}.pem")),
            key: self.folder.path().join(format!("{name}.key")),
        };
        fs::write(&identity.certificate, certificate.pem()).unwrap();
        fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }

    /// What a client needs that trusts this authority.
    pub(crate) fn trusting_client(&self) -> Client<'_> {
        Client {
            authority: self,
            versions: rustls::ALL_VERSIONS,
            identity: None,
        }
    }
}

static ONLY_TLS12: &[&SupportedProtocolVersion] = &[&TLS12];

/// A client's side of TLS, to be.
pub(crate) struct Client<'a> {
    authority: &'a Authority,
    versions: &'static [&'static SupportedProtocolVersion],
    identity: Option<Identity>,
}

impl Client<'_> {
    /// Speaks TLS 1.2 and nothing newer.
    pub(crate) fn only_tls12(mut self) -> Self {
        self.versions = ONLY_TLS12;
        self
    }

    /// Has a certificate.
    pub(crate) fn with(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(self.authority.roots());
        Arc::new(match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.read();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }
}

impl Identity {
    fn read(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::from_pem_file(&self.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        (vec![chain], key)
    }

    /// Puts another certificate and key in the place of these.
    pub(crate) fn replace_by(&self, other: &Self) {
        fs::copy(&other.certificate, &self.certificate).unwrap();
        fs::copy(&other.key, &self.key).unwrap();
    }
}

fn server_params() -> CertificateParams {
    CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap()
}

/// A path as an argument of a command.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
