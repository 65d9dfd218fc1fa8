//! Certificates made for one test, and clusters that speak TLS with them.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use slotwise::devcluster::{ClusterSpec, ClusterTls, LocalCluster};
use slotwise::shard::RedisSettings;
use slotwise::shard::tls::TlsFiles;
use tempfile::TempDir;

use super::{server, start};

/// Two CAs that do not know each other; of the first, a certificate for nodes and one for clients. Each is a pair of
/// files, `{name}.pem` and `{name}.key`.
pub(crate) struct Certs {
    folder: TempDir,
}

impl Certs {
    pub(crate) fn new() -> Self {
        let certs = Self { folder: tempfile::tempdir().unwrap() };
        let ca = certs.make_ca("ca");
        certs.make_ca("other-ca");
        let (server, client) = (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
        // Nodes connect to each other: they are clients too.
        certs.make("node", &["127.0.0.1", "localhost"], &[server, client.clone()], &ca);
        certs.make("client", &[], &[client], &ca);
        certs
    }

    /// Where `ca.pem`, `node.key` and so on are.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Files for clients that trust `ca`, and show the certificate `cert` if there is one.
    pub(crate) fn files(&self, ca: &str, cert: Option<&str>) -> TlsFiles {
        TlsFiles {
            ca: Some(self.path(&format!("{ca}.pem"))),
            cert: cert.map(|cert| self.path(&format!("{cert}.pem"))),
            key: cert.map(|cert| self.path(&format!("{cert}.key"))),
        }
    }

    /// What the nodes of a cluster show and trust.
    pub(crate) fn of_nodes(&self, client_cert_needed: bool) -> ClusterTls {
        let [cert, key, ca] = ["node.pem", "node.key", "ca.pem"].map(|name| self.path(name));
        ClusterTls { cert, key, ca, client_cert_needed }
    }

    fn make_ca(&self, name: &str) -> Issuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        write(&self.path(&format!("{name}.pem")), &params.self_signed(&key).unwrap().pem());
        Issuer::new(params, key)
    }

    fn make(
        &self,
        name: &str,
        hosts: &[&str],
        purposes: &[ExtendedKeyUsagePurpose],
        ca: &Issuer<'_, KeyPair>,
    ) {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = purposes.to_vec();
        let key = KeyPair::generate().unwrap();
        write(&self.path(&format!("{name}.pem")), &params.signed_by(&key, ca).unwrap().pem());
        write(&self.path(&format!("{name}.key")), &key.serialize_pem());
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// A cluster whose nodes speak nothing but TLS.
pub(crate) struct TlsCluster {
    pub(crate) cluster: LocalCluster,
    pub(crate) certs: Certs,
}

impl TlsCluster {
    /// Settings of a client of it.
    pub(crate) fn settings(&self, ca: &str, cert: Option<&str>) -> RedisSettings {
        let (urls, files) = (self.cluster.urls(), self.certs.files(ca, cert));
        RedisSettings::from_urls_and_files(urls.split(','), &files).unwrap()
    }
}

/// Three shards that speak TLS. A server that was built without it fails the test and says what to do.
pub(crate) async fn tls_cluster(client_cert_needed: bool) -> TlsCluster {
    let certs = Certs::new();
    let tls = Some(certs.of_nodes(client_cert_needed));
    let cluster = start(ClusterSpec { tls, ..ClusterSpec::new(server().await, 3) }).await;
    TlsCluster { cluster, certs }
}
