//! TLS to the nodes: which certificates to trust, and which one to show.
//!
//! Invariant: a node's certificate and its name are always verified; nothing turns that off. A private key leaves this
//! file for the client crate only, and is shown nowhere.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use redis::{ClientTlsConfig, TlsCertificates};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// PEM files to use instead of the system's certificates, or beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates to trust, instead of the system's.
    pub ca: Option<PathBuf>,
    /// The certificate to show to nodes that want one, with those that lead to their CA.
    pub cert: Option<PathBuf>,
    /// The key of that certificate, not encrypted.
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    /// The first file that is named, and for what.
    pub fn first(&self) -> Option<TlsFile> {
        let named = [(&self.ca, TlsFile::Ca), (&self.cert, TlsFile::Cert), (&self.key, TlsFile::Key)];
        named.into_iter().find_map(|(path, file)| path.as_ref().map(|_| file))
    }
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFile {
    /// Certificates to trust.
    Ca,
    /// The certificate to show.
    Cert,
    /// Its key.
    Key,
}

/// Why there can be no TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or does not hold what it should.
    #[error("{}: {why}", path.display())]
    BadFile {
        /// What it is for.
        file: TlsFile,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate without its key, or a key without its certificate.
    #[error("a client certificate and its key must be given together")]
    HalfAPair {
        /// The one that is given.
        given: TlsFile,
    },
    /// No CA file is named, and the system trusts nobody.
    #[error("this system has no trusted CA certificates ({why}); name a file of them")]
    NoSystemRoots {
        /// What was found instead.
        why: String,
    },
    /// The cryptography that this program was built with will not do.
    #[error("TLS can't be set up: {0}")]
    SetUp(String),
}

/// TLS as it will be spoken to every node. Cheap to clone.
#[derive(Clone)]
pub struct TlsSettings {
    config: Arc<ClientConfig>,
    /// The same for the client crate, which takes texts.
    certificates: Arc<TlsCertificates>,
}

impl TlsSettings {
    /// Reads the files, and the system's certificates where no CA is named: whoever runs an own CA has it there
    /// already, which a list of public CAs built into this program would not know.
    pub fn new(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = rustls::crypto::ring::default_provider();
        // The client crate uses the process's default. Fails where the program that we are part of has chosen one.
        let _ = provider.clone().install_default();
        let trusted = match &files.ca {
            Some(path) => certificates(TlsFile::Ca, path, &read(TlsFile::Ca, path)?)?,
            None => system_certificates()?,
        };
        let (roots, root_cert) = trust(&trusted, files.ca.as_deref())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::SetUp(error.to_string()))?
            .with_root_certificates(roots);
        let (config, client_tls) = match (&files.cert, &files.key) {
            (None, None) => (builder.with_no_client_auth(), None),
            (Some(_), None) => return Err(TlsError::HalfAPair { given: TlsFile::Cert }),
            (None, Some(_)) => return Err(TlsError::HalfAPair { given: TlsFile::Key }),
            (Some(cert), Some(key)) => {
                let (client_cert, client_key) = (read(TlsFile::Cert, cert)?, read(TlsFile::Key, key)?);
                let chain = certificates(TlsFile::Cert, cert, &client_cert)?;
                let private = private_key(key, &client_key)?;
                let unfit = |error: rustls::Error| {
                    bad_file(TlsFile::Key, key, format!("does not go with {}: {error}", cert.display()))
                };
                let config = builder.with_client_auth_cert(chain, private).map_err(unfit)?;
                (config, Some(ClientTlsConfig { client_cert, client_key }))
            }
        };
        let certificates = TlsCertificates { client_tls, root_cert: Some(root_cert) };
        Ok(Self { config: Arc::new(config), certificates: Arc::new(certificates) })
    }

    /// The same settings in the client crate's terms.
    pub(super) fn certificates(&self) -> TlsCertificates {
        (*self.certificates).clone()
    }

    /// Makes TLS of a connection to `host`, whose certificate must name it. Put a timeout round it.
    pub(super) async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(server_name(host)?, stream).await
    }
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client_certificate = self.certificates.client_tls.is_some();
        f.debug_struct("TlsSettings").field("client_certificate", &client_certificate).finish_non_exhaustive()
    }
}

/// What to do about a connection that could not be opened, where TLS or its absence may be the reason.
pub(super) fn advice(tls: bool, why: &str) -> Option<&'static str> {
    let says = |texts: &[&str]| texts.iter().any(|text| why.contains(text));
    // A node that ends the connection may do so before its reason was read.
    let ended = says(&["reset by peer", "roken pipe", "unexpected end of file", "peer closed"]);
    if !tls {
        return ended.then_some("do the nodes speak TLS? then the address says rediss://");
    }
    if says(&["UnknownIssuer"]) {
        Some("the nodes' certificates are of a CA that is not trusted here; name its file in tls_ca_file")
    } else if says(&["CertificateRequired"]) || ended {
        Some("do the nodes want a client certificate? name it in tls_cert_file, and its key in tls_key_file")
    } else if says(&["timed out", "corrupt message"]) {
        Some("do the nodes speak TLS? without it the address says redis://")
    } else {
        None
    }
}

/// A host as certificates name it.
fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{host:?} is no name that a certificate can have"),
        )
    })
}

/// The certificates as roots, and as the PEM text of those that can be one. Of a file all must be usable; of the
/// system's those that are.
fn trust(
    trusted: &[CertificateDer<'static>],
    file: Option<&Path>,
) -> Result<(RootCertStore, Vec<u8>), TlsError> {
    let (mut roots, mut text) = (RootCertStore::empty(), String::new());
    for (number, certificate) in trusted.iter().enumerate() {
        match (roots.add(certificate.clone()), file) {
            (Ok(()), _) => {
                let body = STANDARD.encode(certificate);
                text.push_str(&format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"));
            }
            (Err(error), Some(path)) => {
                let why = format!("certificate {} can't be trusted: {error}", number + 1);
                return Err(bad_file(TlsFile::Ca, path, why));
            }
            (Err(_), None) => {}
        }
    }
    if roots.is_empty() {
        return Err(TlsError::NoSystemRoots { why: "none of them is usable".to_owned() });
    }
    Ok((roots, text.into_bytes()))
}

fn system_certificates() -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or_else(|| "none were found".to_owned(), ToString::to_string);
        return Err(TlsError::NoSystemRoots { why });
    }
    Ok(found.certs)
}

fn certificates(file: TlsFile, path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(bad_file(file, path, "holds no PEM certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(bad_file(file, path, format!("is no PEM file of certificates: {error}"))),
    }
}

fn private_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    // The reason is left out: it could quote the file.
    PrivateKeyDer::from_pem_slice(text)
        .map_err(|_| bad_file(TlsFile::Key, path, "holds no PEM private key that is not encrypted"))
}

fn read(file: TlsFile, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| bad_file(file, path, format!("can't be read: {error}")))
}

fn bad_file(file: TlsFile, path: &Path, why: impl Into<String>) -> TlsError {
    TlsError::BadFile { file, path: path.to_owned(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::ServerConfig;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A certificate for `host` that is its own CA, and its key, in `{host}.pem` and `{host}.key`.
    fn make(folder: &Path, host: &str) -> TlsFiles {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([host.to_owned()]).unwrap();
        let [pem, key] = ["pem", "key"].map(|kind| folder.join(format!("{host}.{kind}")));
        std::fs::write(&pem, cert.pem()).unwrap();
        std::fs::write(&key, signing_key.serialize_pem()).unwrap();
        TlsFiles { ca: Some(pem.clone()), cert: Some(pem), key: Some(key) }
    }

    /// What a client that trusts `files.ca` hears of a node called `localhost`, when it asks for `host`.
    async fn heard(files: &TlsFiles, host: &str) -> io::Result<String> {
        let TlsFiles { ca: Some(cert), key: Some(key), .. } = files else { panic!("{files:?}") };
        let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                stream.write_all(b"+PONG").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        };
        let ask = async {
            let settings = TlsSettings::new(&TlsFiles { ca: files.ca.clone(), ..TlsFiles::default() });
            let stream = TcpStream::connect(addr).await?;
            let mut stream = settings.unwrap().connect(host, stream).await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            Ok(text)
        };
        tokio::join!(serve, ask).1
    }

    #[tokio::test]
    async fn a_node_is_talked_to_under_the_name_in_its_certificate_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let files = make(folder.path(), "localhost");
        assert_eq!(heard(&files, "localhost").await.unwrap(), "+PONG");
        for other in ["127.0.0.1", "example.com"] {
            let error = heard(&files, other).await.unwrap_err().to_string();
            assert!(error.contains("not valid for name"), "{error}");
        }
        let error = heard(&files, "no host").await.unwrap_err().to_string();
        assert!(error.contains("no name that a certificate can have"), "{error}");
    }

    #[test]
    fn a_file_that_will_not_do_is_named_and_no_key_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (make(folder.path(), "one"), make(folder.path(), "other"));
        let garbage = folder.path().join("garbage");
        let body = STANDARD.encode("hunter2 is no certificate");
        let garbled = |label: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        std::fs::write(&garbage, garbled("CERTIFICATE") + &garbled("PRIVATE KEY")).unwrap();
        let absent = Some(folder.path().join("absent"));
        for (files, file, says) in [
            (TlsFiles { ca: absent, ..one.clone() }, TlsFile::Ca, "absent: can't be read"),
            (
                TlsFiles { ca: one.key.clone(), ..one.clone() },
                TlsFile::Ca,
                "one.key: holds no PEM certificate",
            ),
            (
                TlsFiles { ca: Some(garbage.clone()), ..one.clone() },
                TlsFile::Ca,
                "certificate 1 can't be trusted",
            ),
            (
                TlsFiles { key: one.cert.clone(), ..one.clone() },
                TlsFile::Key,
                "one.pem: holds no PEM private key",
            ),
            (TlsFiles { key: other.key, ..one.clone() }, TlsFile::Key, "other.key: does not go with"),
            (TlsFiles { key: Some(garbage), ..one.clone() }, TlsFile::Key, "garbage: does not go with"),
        ] {
            let error = TlsSettings::new(&files).unwrap_err();
            assert!(matches!(&error, TlsError::BadFile { file: found, .. } if *found == file), "{error:?}");
            assert!(error.to_string().contains(says), "{error}");
            assert!(
                !format!("{error:?}").contains("hunter2") && !error.to_string().contains(&body),
                "{error:?}"
            );
        }
        for (files, given) in [
            (TlsFiles { key: None, ..one.clone() }, TlsFile::Cert),
            (TlsFiles { cert: None, ..one }, TlsFile::Key),
        ] {
            assert_eq!(TlsSettings::new(&files).unwrap_err(), TlsError::HalfAPair { given });
        }
    }
}
