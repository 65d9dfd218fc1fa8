//! Flags that every command takes, and the store that follows from them.

use std::io::{IsTerminal, stdout};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::config::{Config, ConfigError, Overrides};
use crate::encode::Format;
use crate::model::{FeatureName, Projection};
use crate::shard::tls::TlsFiles;
use crate::store::{FeatureStore, RequestError, StoreError};

/// The command was called in a way that can't be right; exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

impl From<RequestError> for UsageError {
    fn from(error: RequestError) -> Self {
        Self(error.to_string())
    }
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// One readable line each.
    Text,
    /// One JSON object a line.
    Json,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Addresses of the cluster, separated by commas: redis://[user@]host[:port]; rediss:// for TLS. A password
    /// comes from a file or the environment
    #[arg(
        long,
        global = true,
        env = "SLOTWISE_REDIS_URL",
        value_name = "URL[,URL…]",
        value_delimiter = ',',
        hide_env_values = true
    )]
    redis_url: Vec<String>,
    /// File that holds the password for Redis, and nothing else
    #[arg(long, global = true, env = "SLOTWISE_REDIS_PASSWORD_FILE", value_name = "FILE")]
    redis_password_file: Option<PathBuf>,
    /// Prefix of the entity's keys [default: fs:user:, or the config's]
    #[arg(long, global = true, value_name = "PREFIX")]
    key_prefix: Option<String>,
    /// Kind of entity, where the config names several
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) entity: Option<String>,
    /// Config file (TOML)
    #[arg(long, global = true, env = "SLOTWISE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How logs are written to standard error
    #[arg(long, global = true, env = "SLOTWISE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
    /// What is logged: error, warn, info, debug, or a filter such as slotwise=debug
    #[arg(long, global = true, env = "SLOTWISE_LOG", value_name = "FILTER")]
    pub(super) log: Option<String>,
}

impl Common {
    /// The settings: the config file, with the environment and the flags over it.
    pub(super) fn settings(&self) -> anyhow::Result<Config> {
        self.refuse_shown_password()?;
        let from_env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let file = self.redis_password_file.clone().filter(|file| !file.as_os_str().is_empty());
        let overrides = Overrides {
            redis_urls: self.redis_url.iter().filter(|url| !url.trim().is_empty()).cloned().collect(),
            redis_username: from_env("SLOTWISE_REDIS_USERNAME"),
            redis_password: from_env("SLOTWISE_REDIS_PASSWORD")
                .filter(|_| !flag_is_given("--redis-password-file")),
            redis_password_file: file,
            redis_tls: TlsFiles {
                ca: from_env("SLOTWISE_REDIS_TLS_CA_FILE").map(PathBuf::from),
                cert: from_env("SLOTWISE_REDIS_TLS_CERT_FILE").map(PathBuf::from),
                key: from_env("SLOTWISE_REDIS_TLS_KEY_FILE").map(PathBuf::from),
            },
            key_prefix: self.key_prefix.clone(),
            entity: self.entity.clone(),
        };
        let of_file = |field: &str| !field.starts_with("--") && !field.starts_with("SLOTWISE_");
        let named = |error: ConfigError| match (&error, &self.config) {
            (ConfigError::Invalid { field, .. }, Some(file)) if of_file(field) => {
                UsageError(format!("{}: {error}", file.display()))
            }
            _ => UsageError(error.to_string()),
        };
        Ok(Config::load(self.config.as_deref(), &overrides).map_err(named)?)
    }

    /// Everybody on the machine can see the arguments of a process, so that a password has no place there. Nor has one
    /// that a comma has torn apart: half of it would be shown as an address.
    fn refuse_shown_password(&self) -> Result<(), UsageError> {
        let credentials = |url: &String| url.rsplit_once('@').map(|(credentials, _)| credentials.to_owned());
        let torn = |given: &String| !given.contains("://");
        if self.redis_url.iter().filter_map(credentials).any(|given| torn(&given)) {
            return Err(UsageError(
                "Redis addresses: what stands before an @ begins with no redis://; write a comma in a password as %2C"
                    .to_owned(),
            ));
        }
        let has_password =
            |given: String| given.split_once("://").is_some_and(|(_, user)| user.contains(':'));
        if redis_url_is_given() && self.redis_url.iter().filter_map(credentials).any(has_password) {
            return Err(UsageError(
                "--redis-url: a password there can be seen in the list of processes; give a --redis-password-file, or \
                 set SLOTWISE_REDIS_PASSWORD or SLOTWISE_REDIS_URL"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// A store of the kind that `--entity` names.
    pub(super) async fn store(&self) -> anyhow::Result<FeatureStore> {
        connect(self.settings()?).await?.entity(self.entity.as_deref()).map_err(wrong_request)
    }
}

/// Was `--redis-url` given, and not just the environment variable or the config?
pub(super) fn redis_url_is_given() -> bool {
    flag_is_given("--redis-url")
}

fn flag_is_given(flag: &str) -> bool {
    let is_it =
        |text: &str| text.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='));
    std::env::args_os().any(|argument| argument.to_str().is_some_and(is_it))
}

/// Connects as the settings say.
pub(super) async fn connect(config: Config) -> anyhow::Result<FeatureStore> {
    let redis = config.redis.ok_or_else(|| {
        UsageError(
            "no Redis address is given: pass --redis-url, set SLOTWISE_REDIS_URL, or put redis.urls into the \
             config file"
                .to_owned(),
        )
    })?;
    FeatureStore::connect(redis, config.entities, config.store).await.map_err(wrong_store)
}

/// A request that is at fault is wrong usage here.
pub(super) fn wrong_request(error: RequestError) -> anyhow::Error {
    UsageError::from(error).into()
}

/// Tells wrong usage from failure.
pub(super) fn wrong_store(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Request(error) => wrong_request(error),
        error @ StoreError::Options(_) => UsageError(error.to_string()).into(),
        error @ (StoreError::Connect(_) | StoreError::Unavailable(_) | StoreError::Broken(_)) => error.into(),
    }
}

/// Feature names out of flags, with the place of a wrong one.
pub(super) fn feature_names<'t>(
    texts: impl IntoIterator<Item = &'t str>,
) -> anyhow::Result<Vec<FeatureName>> {
    let parse = |(number, text): (usize, &str)| {
        FeatureName::new(text).map_err(|error| UsageError(format!("feature {}: {error}", number + 1)).into())
    };
    texts.into_iter().enumerate().map(parse).collect()
}

/// Refuses a format that no person can read where standard output is a terminal.
pub(super) fn refuse_binary_on_terminal(format: Format) -> Result<(), UsageError> {
    if format.is_text() || !stdout().is_terminal() {
        return Ok(());
    }
    Err(UsageError(format!(
        "--format {format} is binary, and standard output is a terminal; send it to a file or a pipe"
    )))
}

/// Ends text with a line break; a binary format is complete as it is.
pub(super) fn end_line(format: Format, out: &mut Vec<u8>) {
    if format.is_text() && out.last().is_some_and(|byte| *byte != b'\n') {
        out.push(b'\n');
    }
}

/// What is to be read: the features of that set, or these.
pub(super) fn projection(
    store: &FeatureStore,
    set: Option<&str>,
    features: Vec<FeatureName>,
    defaults: bool,
) -> anyhow::Result<Arc<Projection>> {
    let projection = match set {
        Some(name) => store.feature_set(name, defaults),
        None => store.projection(features, defaults),
    };
    projection.map_err(wrong_request)
}

/// True where both paths lead to one file that exists.
pub(super) fn same_file(one: &Path, other: &Path) -> bool {
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(one), Ok(other)) => one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}
