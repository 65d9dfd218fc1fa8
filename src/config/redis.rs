//! `[redis]`: where the cluster is and who asks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::shard::tls::{TlsError, TlsFile, TlsFiles};
use crate::shard::{RedisSettings, SettingsError};

use super::{ConfigError, Overrides, read_text};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRedis {
    #[serde(default)]
    urls: Vec<String>,
    username: Option<String>,
    /// A file that holds the password and nothing else; a password has no place in a config file.
    password_file: Option<PathBuf>,
    tls_ca_file: Option<PathBuf>,
    tls_cert_file: Option<PathBuf>,
    tls_key_file: Option<PathBuf>,
    connect_timeout_ms: Option<u64>,
    response_timeout_ms: Option<u64>,
    startup_timeout_ms: Option<u64>,
}

impl RawRedis {
    pub(super) fn validate(
        self,
        overrides: &Overrides,
        folder: &Path,
    ) -> Result<Option<RedisSettings>, ConfigError> {
        let (urls, field) = if overrides.redis_urls.is_empty() {
            (&self.urls, "redis.urls")
        } else {
            (&overrides.redis_urls, "--redis-url")
        };
        if urls.is_empty() {
            return Ok(None);
        }
        let files = self.tls_files(overrides, folder);
        let mut settings = RedisSettings::from_urls_and_files(urls, &files)
            .map_err(|error| ConfigError::invalid(tls_field(&error, overrides).unwrap_or(field), error))?;
        if let Some(username) = overrides.redis_username.as_ref().or(self.username.as_ref()) {
            settings.username = Some(username.as_str().into());
        }
        if let Some(password) = &overrides.redis_password {
            settings.password = Some(password.as_str().into());
        } else if let Some(path) = self.password_file(overrides, folder) {
            let text = read_text(&path)?;
            let password = text.trim_end_matches(['\r', '\n']);
            if password.is_empty() {
                return Err(ConfigError::invalid(
                    "redis.password_file",
                    format!("{} is empty", path.display()),
                ));
            }
            settings.password = Some(password.into());
        }
        if settings.username.is_some() && settings.password.is_none() {
            // Without one nobody logs in, and everything would be done as the default user.
            return Err(ConfigError::invalid("redis.username", "a user needs a password, and there is none"));
        }
        set(&mut settings.connect_timeout, self.connect_timeout_ms, "redis.connect_timeout_ms")?;
        set(&mut settings.response_timeout, self.response_timeout_ms, "redis.response_timeout_ms")?;
        set(&mut settings.startup_timeout, self.startup_timeout_ms, "redis.startup_timeout_ms")?;
        Ok(Some(settings))
    }
}

impl RawRedis {
    /// The file of the password; that of this file is relative to its folder.
    fn password_file(&self, overrides: &Overrides, folder: &Path) -> Option<PathBuf> {
        let own = self.password_file.as_ref().map(|file| folder.join(file));
        overrides.redis_password_file.clone().or(own)
    }

    /// The files for TLS; those of this file are relative to its folder.
    fn tls_files(&self, overrides: &Overrides, folder: &Path) -> TlsFiles {
        let pick = |given: &Option<PathBuf>, own: &Option<PathBuf>| {
            given.clone().or_else(|| own.as_ref().map(|file| folder.join(file)))
        };
        let given = &overrides.redis_tls;
        TlsFiles {
            ca: pick(&given.ca, &self.tls_ca_file),
            cert: pick(&given.cert, &self.tls_cert_file),
            key: pick(&given.key, &self.tls_key_file),
        }
    }
}

/// Where the file stands that TLS has trouble with; `None` where it is no file.
fn tls_field(error: &SettingsError, overrides: &Overrides) -> Option<&'static str> {
    let (SettingsError::FilesWithoutTls { given: file }
    | SettingsError::Tls(TlsError::BadFile { file, .. } | TlsError::HalfAPair { given: file })) = error
    else {
        return None;
    };
    let given = &overrides.redis_tls;
    let (given, env, field) = match file {
        TlsFile::Ca => (&given.ca, "SLOTWISE_REDIS_TLS_CA_FILE", "redis.tls_ca_file"),
        TlsFile::Cert => (&given.cert, "SLOTWISE_REDIS_TLS_CERT_FILE", "redis.tls_cert_file"),
        TlsFile::Key => (&given.key, "SLOTWISE_REDIS_TLS_KEY_FILE", "redis.tls_key_file"),
    };
    Some(if given.is_some() { env } else { field })
}

/// Sets a wait to the given milliseconds; none of them may be nothing.
fn set(wait: &mut Duration, given_ms: Option<u64>, field: &str) -> Result<(), ConfigError> {
    match given_ms {
        None => Ok(()),
        Some(0) => Err(ConfigError::invalid(field, "0 would never let anything be answered")),
        Some(ms) => {
            *wait = Duration::from_millis(ms);
            Ok(())
        }
    }
}
