//! HTTPS: the certificate and its key from two files, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use tokio_rustls::TlsAcceptor;

use crate::metrics::Metrics;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("http.tls: {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("http.tls.cert_file: {0} holds no certificate (PEM, -----BEGIN CERTIFICATE-----)")]
    NoCertificate(PathBuf),
    #[error("http.tls.key_file: {0} holds no private key that can be read (PEM, without a password)")]
    NoKey(PathBuf),
    #[error("http.tls: {0} and {1} do not go together: {2}")]
    Pair(PathBuf, PathBuf, rustls::Error),
    #[error("http.tls: {0}")]
    Setup(rustls::Error),
}

/// The pair in use, for each new connection.
#[derive(Debug)]
struct Certificate {
    files: Files,
    current: RwLock<Arc<CertifiedKey>>,
}

#[derive(Clone, Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What the two files hold.
#[derive(Clone, PartialEq, Eq)]
struct Pem {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// TLS 1.2 or 1.3 by the pair of these files, and a task that looks whether they change for as long as the acceptor is there.
///
/// # Errors
/// A file that cannot be read, holds no PEM of its kind, or a key that is not the certificate's.
pub fn acceptor(cert: &Path, key: &Path, metrics: Arc<Metrics>) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(default_provider());
    let files = Files { cert: cert.to_owned(), key: key.to_owned() };
    let pem = files.read()?;
    let current = RwLock::new(Arc::new(files.pair(&pem, &provider)?));
    let certificate = Arc::new(Certificate { files, current });
    let config = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13, &TLS12]);
    let config = config.map_err(TlsError::Setup)?.with_no_client_auth();
    let mut config = config.with_cert_resolver(certificate.clone());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    tokio::spawn(watch(Arc::downgrade(&certificate), pem, provider, metrics));
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Takes over what the files hold once they differ from `known` and two looks have found the same: who replaces two files does not
/// do so at once.
async fn watch(certificate: Weak<Certificate>, mut known: Pem, provider: Arc<CryptoProvider>, metrics: Arc<Metrics>) {
    let mut before = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(certificate) = certificate.upgrade() else { return };
        let files = certificate.files.clone();
        let now = tokio::task::spawn_blocking(move || files.read()).await;
        let now = match now {
            Ok(Ok(pem)) => pem,
            // Away for a moment while it is replaced, or for good: the pair in use stays.
            Ok(Err(_)) | Err(_) => continue,
        };
        let has_settled = before.as_ref() == Some(&now);
        before = Some(now.clone());
        if now == known || !has_settled {
            continue;
        }
        let pair = certificate.files.pair(&now, &provider);
        metrics.tls_reloaded(pair.is_ok());
        match pair {
            Ok(pair) => {
                *certificate.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
                tracing::info!("the certificate has changed and is used for new connections");
            }
            Err(error) => tracing::error!(%error, "the changed certificate is no good: the last good one stays"),
        }
        known = now;
    }
}

impl Files {
    fn read(&self) -> Result<Pem, TlsError> {
        let read = |file: &Path| std::fs::read(file).map_err(|error| TlsError::Read(file.to_owned(), error));
        Ok(Pem { cert: read(&self.cert)?, key: read(&self.key)? })
    }

    fn pair(&self, pem: &Pem, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.cert).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| TlsError::NoCertificate(self.cert.clone()))?;
        let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|_| TlsError::NoKey(self.key.clone()))?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| TlsError::Pair(self.cert.clone(), self.key.clone(), error))
    }
}
