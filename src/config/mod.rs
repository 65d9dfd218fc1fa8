//! Settings: a file, then the environment, then flags, each over the one before; checked once, before anything
//! is connected.
//!
//! Two stages: raw serde structs that know no unknown field, then validated structs. No component takes the whole.

mod entity;
mod http;
mod metrics;
mod read;
mod redis;
mod schema;
mod table;
mod tracing;
mod words;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use http::{DEFAULT_LISTEN, HttpConfig};
pub use metrics::MetricsConfig;
pub use tracing::TracingConfig;

use crate::shard::RedisSettings;
use crate::shard::tls::TlsFiles;
use crate::store::{EntityOptions, StoreOptions};

/// Name of the entity kind where none is configured.
pub const DEFAULT_ENTITY: &str = "user";

/// Why settings can't be used. Names the file and the field.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file can't be read.
    #[error("{path}: can't be read: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is no TOML, or has a field that is not known or of another type.
    #[error("{path}: line {line}, column {column}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The character of the line, counted from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// A value does not make sense.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field, such as `entity[1].prefix`, or the flag.
        field: String,
        /// What is wrong.
        problem: String,
    },
}

impl ConfigError {
    fn invalid(field: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        Self::Invalid { field: field.into(), problem: problem.to_string() }
    }
}

/// What flags and the environment say; it stands over what the file says.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--redis-url` or `SLOTWISE_REDIS_URL`: addresses, already split.
    pub redis_urls: Vec<String>,
    /// `SLOTWISE_REDIS_USERNAME`.
    pub redis_username: Option<String>,
    /// `SLOTWISE_REDIS_PASSWORD`.
    pub redis_password: Option<String>,
    /// `--redis-password-file` or `SLOTWISE_REDIS_PASSWORD_FILE`; stands behind `redis_password`.
    pub redis_password_file: Option<PathBuf>,
    /// `SLOTWISE_REDIS_TLS_CA_FILE`, `_CERT_FILE` and `_KEY_FILE`.
    pub redis_tls: TlsFiles,
    /// `--key-prefix`.
    pub key_prefix: Option<String>,
    /// `--entity`: the kind that `key_prefix` is for, where there are several.
    pub entity: Option<String>,
}

/// Everything, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// How to reach the cluster; `None` where no address is given anywhere.
    pub redis: Option<RedisSettings>,
    /// The kinds of entity, at least one.
    pub entities: Vec<EntityOptions>,
    /// Limits of requests.
    pub store: StoreOptions,
    /// The HTTP server.
    pub http: HttpConfig,
    /// Traces.
    pub tracing: TracingConfig,
    /// What it does for its metrics.
    pub metrics: MetricsConfig,
}

/// The file as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(default, deserialize_with = "table::only")]
    redis: redis::RawRedis,
    #[serde(default, deserialize_with = "table::only")]
    read: read::RawRead,
    #[serde(default, deserialize_with = "table::only")]
    shard: read::RawShard,
    #[serde(default, deserialize_with = "table::only")]
    http: http::RawHttp,
    #[serde(default, deserialize_with = "table::only")]
    tracing: tracing::RawTracing,
    #[serde(default, deserialize_with = "table::only")]
    metrics: metrics::RawMetrics,
    #[serde(default)]
    entity: Vec<entity::RawEntity>,
}

impl Config {
    /// Reads `file`, where there is one, and puts `overrides` over it.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let (raw, folder) = match file {
            None => (RawConfig::default(), PathBuf::new()),
            Some(path) => (read_file(path)?, path.parent().map(Path::to_path_buf).unwrap_or_default()),
        };
        Ok(Self {
            redis: raw.redis.validate(overrides, &folder)?,
            entities: entity::validate(raw.entity, overrides, &folder)?,
            store: read::validate(&raw.read, &raw.shard)?,
            http: raw.http.validate(&folder)?,
            tracing: raw.tracing.validate()?,
            metrics: raw.metrics.validate()?,
        })
    }
}

fn read_file(path: &Path) -> Result<RawConfig, ConfigError> {
    let text = read_text(path)?;
    toml::from_str(&text).map_err(|error| {
        let (before, after) =
            error.span().and_then(|span| text.split_at_checked(span.start)).unwrap_or_default();
        malformed(path, before, words::plain(error.message(), before, after))
    })
}

/// Reads a file that is text.
fn read_text(path: &Path) -> Result<String, ConfigError> {
    let bytes =
        std::fs::read(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        malformed(path, &String::from_utf8_lossy(before), "not UTF-8".to_owned())
    })
}

/// What is wrong behind the text `before`.
fn malformed(path: &Path, before: &str, problem: String) -> ConfigError {
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    ConfigError::Malformed { path: path.to_owned(), line, column, problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::CohortTag;
    use crate::store::CohortMembers;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slotwise.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(folder.path().join("vip.txt"), "\u{feff}u1\nu 2\n").unwrap();
        std::fs::write(folder.path().join("secret"), "hunter2\n").unwrap();
        let shown = folder.path().display().to_string();
        Config::load(Some(&path), &Overrides::default())
            .map_err(|error| error.to_string().replace(&shown, ""))
    }

    #[test]
    fn nothing_at_all_is_one_kind_with_defaults() {
        let config = Config::load(None, &Overrides::default()).unwrap();
        assert!(config.redis.is_none());
        assert_eq!(config.entities, [EntityOptions::default()]);
        assert_eq!(config.store, StoreOptions::default());
    }

    #[test]
    fn every_section_is_read() {
        let config = load(
            r#"
            [redis]
            urls = ["redis://10.0.0.1:7001", "10.0.0.2:7002"]
            username = "ada"
            password_file = "secret"
            response_timeout_ms = 250
            [read]
            batch_ids_max = 500
            request_timeout_ms = 40
            [shard]
            commands_in_flight_max = 2
            transport = "cluster"
            [http]
            listen = "127.0.0.1:9000"
            requests_in_flight_max = 7
            [metrics]
            ttl_sample_interval_ms = 0
            [[entity]]
            name = "user"
            [[entity.cohort]]
            name = "vip"
            tags = ["v0", "v1"]
            members_file = "vip.txt"
            [[entity]]
            name = "merchant"
            prefix = "m:"
            streaming_ttl_seconds = 60
            [[entity.cohort]]
            name = "top"
            members_set = "m-top"
            refresh_seconds = 5
            "#,
        )
        .unwrap();
        let redis = config.redis.unwrap();
        assert_eq!(redis.seeds_text(), "10.0.0.1:7001, 10.0.0.2:7002");
        assert_eq!((redis.username.as_deref(), redis.password.as_deref()), (Some("ada"), Some("hunter2")));
        assert_eq!(redis.response_timeout.as_millis(), 250);
        assert_eq!(config.store.batch_ids_max, 500);
        assert_eq!(config.store.shard_commands_in_flight_max, 2);
        assert_eq!(config.store.transport, crate::store::Transport::Cluster);
        assert_eq!(config.http.listen.unwrap().port(), 9000);
        assert_eq!(config.http.options.requests_in_flight_max, 7);
        assert_eq!(config.metrics.ttl_sample_interval, None);
        let [user, merchant] = &config.entities[..] else { panic!("{:?}", config.entities) };
        assert_eq!(user.prefix, "fs:user:");
        let CohortMembers::Listed(members) = &user.cohorts[0].members else { panic!() };
        assert_eq!(members.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["u1", "u 2"]);
        assert_eq!(merchant.streaming_ttl_seconds, 60);
        assert_eq!(
            merchant.cohorts[0].tags,
            [CohortTag::new("top").unwrap()],
            "the name is the tag by default"
        );
    }

    #[test]
    fn a_typo_is_named_with_its_line() {
        let error = load("[redis]\nurls = []\n[read]\nbatch_id_max = 5\n").unwrap_err();
        assert!(error.contains("line 4") && error.contains("batch_id_max"), "{error}");
        let error = load("[redis\n").unwrap_err();
        assert!(error.contains("line 1"), "{error}");
        let error = load("[read]\nbatch_ids_max = \"many\"\n").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named() {
        for (text, field) in [
            ("[redis]\nurls = [\"http://x:1\"]", "redis.urls"),
            ("[redis]\nurls = [\"h:1\"]\npassword_file = \"none\"", "none"),
            ("[redis]\nurls = [\"rediss://h:1\", \"h:2\"]", "redis.urls"),
            ("[redis]\nurls = [\"h:1\"]\ntls_ca_file = \"secret\"", "redis.tls_ca_file: a file for TLS"),
            (
                "[redis]\nurls = [\"rediss://h:1\"]\ntls_ca_file = \"none\"",
                "redis.tls_ca_file: /none: can't be",
            ),
            (
                "[redis]\nurls = [\"rediss://h:1\"]\ntls_ca_file = \"secret\"",
                "redis.tls_ca_file: /secret: holds no",
            ),
            ("[redis]\nurls = [\"h:1\"]\nresponse_timeout_ms = 0", "redis.response_timeout_ms"),
            ("[read]\nbatch_ids_max = 0", "read.batch_ids_max"),
            ("[read]\nrequest_timeout_ms = 90000", "read.request_timeout_ms"),
            ("[shard]\npipeline_commands_max = 0", "shard.pipeline_commands_max"),
            ("[shard]\nlanes_per_node = 0", "shard.lanes_per_node"),
            ("[http]\nconnections_max = 0", "http.connections_max"),
            ("[tracing]\notlp_endpoint = \"https://otel\"", "tracing.otlp_endpoint: only http://"),
            ("[tracing]\nsample_ratio = 1.5", "tracing.sample_ratio"),
            ("[tracing]\nsample_ratio = nan", "tracing.sample_ratio"),
            ("[metrics]\nttl_sample_interval_ms = 99", "metrics.ttl_sample_interval_ms"),
            ("[[entity]]\nname = \"\"", "entity[0].name"),
            ("[[entity]]\nname = \"u\"\nbatch_ttl_seconds = 0", "entity[0].batch_ttl_seconds"),
            ("[[entity]]\nname = \"u\"\n[[entity.cohort]]\nname = \"v\"", "entity[0].cohort[0]"),
            (
                "[[entity]]\nname = \"u\"\n[[entity.cohort]]\nname = \"v\"\nmembers = []\nmembers_set = \"s\"",
                "entity[0].cohort[0]",
            ),
            (
                "[[entity]]\nname = \"u\"\n[[entity.cohort]]\nname = \"v\"\ntags = [\"{x\"]\nmembers = []",
                "entity[0].cohort[0].tags[0]",
            ),
            (
                "[[entity]]\nname = \"u\"\n[[entity.cohort]]\nname = \"v\"\nmembers = [\"a\", \"\"]",
                "entity[0].cohort[0].members[1]",
            ),
        ] {
            let error = load(text).map(|_| ()).unwrap_err();
            assert!(error.contains(field), "{text:?} says {error:?}");
        }
    }

    #[test]
    fn the_example_is_read_and_says_the_defaults() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/slotwise.example.toml");
        let config = Config::load(Some(&path), &Overrides::default()).unwrap();
        assert_eq!(config.store, StoreOptions::default());
        assert_eq!(config.http.options, crate::http::HttpOptions::default());
        assert_eq!(config.http.listen, Some(DEFAULT_LISTEN));
        assert_eq!(config.tracing, tracing::RawTracing::default().validate().unwrap());
        assert_eq!(config.metrics, MetricsConfig::default());
        let default = RedisSettings::from_urls(["redis://127.0.0.1:7101", "redis://127.0.0.1:7102"]).unwrap();
        assert_eq!(format!("{:?}", config.redis.unwrap()), format!("{default:?}"));
        let kinds: Vec<_> = config.entities.iter().map(|kind| kind.prefix.as_str()).collect();
        assert_eq!(kinds, ["fs:user:", "fs:merchant:"]);
        let sets: Vec<_> = config.entities[0].schema.set_names().collect();
        assert_eq!(sets, ["fraud_v3"]);
    }

    #[test]
    fn flags_stand_over_the_file() {
        let overrides = Overrides {
            redis_urls: vec!["10.9.9.9:1".into()],
            key_prefix: Some("other:".into()),
            redis_password: Some("p".into()),
            ..Overrides::default()
        };
        let config = Config::load(None, &overrides).unwrap();
        let redis = config.redis.unwrap();
        assert_eq!(redis.seeds_text(), "10.9.9.9:1");
        assert_eq!(redis.password.as_deref(), Some("p"));
        assert_eq!(config.entities[0].prefix, "other:");
    }
}
