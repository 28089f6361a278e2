//! Connections to `https://` addresses, and whom to trust.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foster::net::TcpStream;
use futures_rustls::client::TlsStream;
use futures_rustls::pki_types::pem::{self, PemObject};
use futures_rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{CertificateError, ClientConfig, RootCertStore};
use futures_rustls::{TlsConnector, rustls};
use url::Host;

use crate::client::connection_failed;
use crate::report::Reason;

/// Why no certificate is trusted where nobody has said whom to trust.
pub(crate) const NOBODY: &str = "nobody is";

/// Which certificates of `https://` hosts are trusted.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts the authorities that browsers trust, and the certificates in `files`, which are in
    /// the PEM format.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or has no certificate, or if linkcheck is built without the feature
    /// `https`.
    pub fn new(files: &[PathBuf]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for file in files {
            add(&mut roots, file)?;
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring can do what the versions ask for")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { config: Arc::new(config) })
    }

    /// Makes a connection to `host` secure.
    pub(crate) async fn secure(&self, host: &Host<&str>, stream: TcpStream) -> Result<TlsStream<TcpStream>, Reason> {
        let name = server_name(host).map_err(|error| Reason::Malformed(error.to_string()))?;
        let secured = TlsConnector::from(self.config.clone()).connect(name, stream).await;
        secured.map_err(|error| handshake_failed(host, &error))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn add(roots: &mut RootCertStore, file: &Path) -> Result<(), TlsError> {
    let failed = |why: &dyn fmt::Display| TlsError { message: format!("`{}`: {why}", file.display()) };
    let mut is_empty = true;
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| failed(&in_words(&error)))? {
        let certificate = certificate.map_err(|error| failed(&in_words(&error)))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
        is_empty = false;
    }
    if is_empty {
        return Err(failed(&"there is no certificate in the file; --ca takes certificates in the PEM format"));
    }
    Ok(())
}

fn in_words(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.kind().to_string(),
        error => error.to_string(),
    }
}

fn server_name(host: &Host<&str>) -> Result<ServerName<'static>, InvalidDnsNameError> {
    match host {
        Host::Domain(name) => ServerName::try_from((*name).to_owned()),
        Host::Ipv4(address) => Ok(IpAddr::from(*address).into()),
        Host::Ipv6(address) => Ok(IpAddr::from(*address).into()),
    }
}

fn handshake_failed(host: &Host<&str>, error: &io::Error) -> Reason {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(problem)) => Reason::Certificate(certificate_problem(host, problem)),
        Some(error) => Reason::Answer(format!("not an answer in TLS: {error}")),
        None => connection_failed(error),
    }
}

fn certificate_problem(host: &Host<&str>, problem: &CertificateError) -> String {
    use CertificateError as E;
    match problem {
        E::Expired | E::ExpiredContext { .. } => "it has expired".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet".to_owned(),
        E::NotValidForName | E::NotValidForNameContext { .. } => format!("it is not for `{host}`"),
        E::UnknownIssuer => "its issuer is not known; --ca adds one".to_owned(),
        problem => problem.to_string(),
    }
}

/// Why no `https://` host can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError {
    message: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TlsError {}
