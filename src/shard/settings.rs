//! How to reach the cluster: addresses, credentials, and a limit on every wait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::io::tcp::{TcpSettings, socket2};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    RedisResult,
};

use crate::model::limits;
use crate::slot::NodeAddr;

use super::link::Ended;
use super::tls::{TlsError, TlsFile, TlsFiles, TlsSettings};

/// Idle time before the kernel asks whether a node is still there, and the time between its questions.
pub(super) const KEEPALIVE_TIME: Duration = Duration::from_secs(5);
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// Unanswered questions after which the kernel gives a connection up.
pub(super) const KEEPALIVE_PROBES_MAX: u32 = 3;
/// Time that sent bytes may stay unacknowledged before the kernel gives a connection up (Linux).
pub(super) const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);

/// Where the cluster is, who asks, and how long any wait may take.
#[derive(Clone)]
pub struct RedisSettings {
    /// Nodes to ask first; the others are learned from them.
    pub seeds: Vec<NodeAddr>,
    /// ACL user.
    pub username: Option<Arc<str>>,
    /// Password, never shown.
    pub password: Option<Arc<str>>,
    /// TLS, where it is spoken.
    pub tls: Option<TlsSettings>,
    /// Limit for opening a connection to a node.
    pub connect_timeout: Duration,
    /// Limit for a node's answer to what it was sent.
    pub response_timeout: Duration,
    /// Limit for connecting to the cluster and learning what it can do.
    pub startup_timeout: Duration,
}

/// Why addresses can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// There is no address.
    #[error("no Redis address is given")]
    NoAddress,
    /// An address is not a Redis URL.
    #[error("{url:?} is not a Redis address: {why}")]
    BadAddress {
        /// The address, without credentials.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Two addresses name different users or passwords.
    #[error("the Redis addresses name different users or passwords; a cluster has one")]
    MixedCredentials,
    /// Some addresses ask for TLS and some do not.
    #[error(
        "some Redis addresses say rediss:// and some do not; a cluster speaks TLS at all nodes or at none"
    )]
    MixedSchemes,
    /// Files for TLS, which the addresses do not ask for.
    #[error("a file for TLS is given, but the Redis address does not ask for TLS; say rediss://")]
    FilesWithoutTls {
        /// The first of them.
        given: TlsFile,
    },
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl RedisSettings {
    /// Reads addresses of the form `redis://[user[:password]@]host[:port]`, or `host:port`. With `rediss://` TLS is
    /// spoken to all nodes, and the system's certificates are trusted.
    pub fn from_urls<S: AsRef<str>>(urls: impl IntoIterator<Item = S>) -> Result<Self, SettingsError> {
        Self::from_urls_and_files(urls, &TlsFiles::default())
    }

    /// The same with certificates of files.
    pub fn from_urls_and_files<S: AsRef<str>>(
        urls: impl IntoIterator<Item = S>,
        files: &TlsFiles,
    ) -> Result<Self, SettingsError> {
        let mut settings = Self {
            seeds: Vec::new(),
            username: None,
            password: None,
            tls: None,
            connect_timeout: limits::CONNECT_TIMEOUT,
            response_timeout: limits::RESPONSE_TIMEOUT,
            startup_timeout: limits::STARTUP_TIMEOUT,
        };
        let mut tls = None;
        for url in urls {
            let url = parse_url(url.as_ref().trim())?;
            let first = settings.seeds.is_empty();
            if !first && (url.username.is_some() || url.password.is_some()) {
                let differs = url.username != settings.username || url.password != settings.password;
                if differs {
                    return Err(SettingsError::MixedCredentials);
                }
            } else if first {
                (settings.username, settings.password) = (url.username, url.password);
            }
            if *tls.get_or_insert(url.tls) != url.tls {
                return Err(SettingsError::MixedSchemes);
            }
            settings.seeds.push(url.seed);
        }
        match (tls, files.first()) {
            (None, _) => return Err(SettingsError::NoAddress),
            (Some(true), _) => settings.tls = Some(TlsSettings::new(files)?),
            (Some(false), Some(given)) => return Err(SettingsError::FilesWithoutTls { given }),
            (Some(false), None) => {}
        }
        Ok(settings)
    }

    /// The seeds as one text, without credentials.
    pub fn seeds_text(&self) -> String {
        let seeds: Vec<String> = self.seeds.iter().map(NodeAddr::to_string).collect();
        seeds.join(", ")
    }

    /// A client of the whole cluster. It never retries by itself: what a redirect or a lost connection means for
    /// each key is decided by the caller.
    pub(super) fn cluster_client(&self) -> RedisResult<ClusterClient> {
        let seeds = self.seeds.iter().map(|seed| self.connection_info(seed));
        let seeds = seeds.collect::<RedisResult<Vec<_>>>()?;
        let mut builder = ClusterClientBuilder::new(seeds)
            .retries(0)
            .connection_timeout(self.connect_timeout)
            .response_timeout(self.response_timeout)
            .use_protocol(ProtocolVersion::RESP3)
            .tcp_settings(tcp_settings());
        if let Some(tls) = &self.tls {
            builder = builder.certs(tls.certificates());
        }
        if let Some(username) = &self.username {
            builder = builder.username(username);
        }
        if let Some(password) = &self.password {
            builder = builder.password(password);
        }
        builder.build()
    }

    /// One plain connection to one node; it says when it has ended.
    pub(super) async fn node_connection(
        &self,
        node: &NodeAddr,
        ended: Ended,
    ) -> RedisResult<redis::aio::MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout))
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    ended.store(true, Ordering::Release);
                }
                Ok::<(), ()>(())
            });
        let client = node_client(self.connection_info(node)?, self.tls.as_ref())?;
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    fn connection_info(&self, node: &NodeAddr) -> RedisResult<redis::ConnectionInfo> {
        let info = address(node, self.tls.is_some()).into_connection_info()?;
        let mut login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        login = login.set_lib_name("slotwise", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        Ok(info.set_redis_settings(login).set_tcp_settings(tcp_settings()))
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("seeds", &self.seeds)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("startup_timeout", &self.startup_timeout)
            .finish()
    }
}

/// A node's address as the client crate has it.
pub(super) fn address(node: &NodeAddr, tls: bool) -> ConnectionAddr {
    let (host, port) = (node.host.to_string(), node.port);
    if tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

/// A client of one node, whose address says TLS where `tls` is given.
pub(super) fn node_client(info: redis::ConnectionInfo, tls: Option<&TlsSettings>) -> RedisResult<Client> {
    match tls {
        Some(tls) => Client::build_with_tls(info, tls.certificates()),
        None => Client::open(info),
    }
}

fn tcp_settings() -> TcpSettings {
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
    let settings =
        TcpSettings::default().set_nodelay(true).set_keepalive(keepalive.with_retries(KEEPALIVE_PROBES_MAX));
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED_MAX);
    settings
}

struct ParsedUrl {
    seed: NodeAddr,
    username: Option<Arc<str>>,
    password: Option<Arc<str>>,
    tls: bool,
}

fn parse_url(text: &str) -> Result<ParsedUrl, SettingsError> {
    // Credentials must not be repeated in an error.
    let shown = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    let shown = shown.split(['?', '#']).next().unwrap_or_default().to_owned();
    let hint = if text.contains("://") && text.contains('@') {
        "; in a user or password, write / ? # @ as %2F %3F %23 %40"
    } else {
        ""
    };
    let wrong = |why: &str| SettingsError::BadAddress { url: shown.clone(), why: format!("{why}{hint}") };
    if !text.contains("://") {
        let seed = text.parse().map_err(|_| wrong("expected redis://host:port or host:port"))?;
        return Ok(ParsedUrl { seed, username: None, password: None, tls: false });
    }
    let url = url::Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    let tls = match url.scheme() {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => return Err(wrong("expected redis:// or rediss://")),
    };
    if !matches!(url.path(), "" | "/" | "/0") {
        return Err(wrong("a cluster has the database 0 only"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("settings after ? or # are not known"));
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let decoded = |text: &str| -> Result<Option<Arc<str>>, SettingsError> {
        let decoded = redis_decode(text).ok_or_else(|| wrong("the credentials are no UTF-8"))?;
        Ok((!decoded.is_empty()).then(|| decoded.into()))
    };
    let username = decoded(url.username())?;
    let password = decoded(url.password().unwrap_or_default())?;
    Ok(ParsedUrl { seed: NodeAddr::new(host, url.port().unwrap_or(6379)), username, password, tls })
}

fn redis_decode(text: &str) -> Option<String> {
    let pair = format!("v={}", text.replace('+', "%2B"));
    let (_, value) = url::form_urlencoded::parse(pair.as_bytes()).next()?;
    Some(value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_credentials() {
        let settings =
            RedisSettings::from_urls(["redis://ada:p%40ss+1@10.0.0.1:7001", "10.0.0.2:7002"]).unwrap();
        assert_eq!(settings.seeds_text(), "10.0.0.1:7001, 10.0.0.2:7002");
        assert_eq!(settings.username.as_deref(), Some("ada"));
        assert_eq!(settings.password.as_deref(), Some("p@ss+1"));
        let settings = RedisSettings::from_urls(["redis://cache.local", "redis://[::1]:7000/"]).unwrap();
        assert_eq!(settings.seeds_text(), "cache.local:6379, [::1]:7000");
    }

    #[test]
    fn a_password_is_never_shown() {
        let settings = RedisSettings::from_urls(["redis://:hunter2@h:1"]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        let error = RedisSettings::from_urls(["http://u:hunter2@h:1"]).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for wrong in
            ["", "nowhere", "http://h:1", "redis://", "redis://h:1/3", "redis://h:1?x=1", "rediss://h:1/3"]
        {
            assert!(
                matches!(RedisSettings::from_urls([wrong]), Err(SettingsError::BadAddress { .. })),
                "{wrong}"
            );
        }
        assert_eq!(RedisSettings::from_urls(Vec::<String>::new()).map(|_| ()), Err(SettingsError::NoAddress));
        assert_eq!(
            RedisSettings::from_urls(["redis://:a@h:1", "redis://:b@h:2"]).map(|_| ()),
            Err(SettingsError::MixedCredentials)
        );
        for mixed in [["rediss://h:1", "h:2"], ["redis://h:1", "valkeys://h:2"]] {
            assert_eq!(RedisSettings::from_urls(mixed).map(|_| ()), Err(SettingsError::MixedSchemes));
        }
    }
}
