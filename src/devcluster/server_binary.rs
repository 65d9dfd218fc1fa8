//! Finds a Redis or Valkey server that will do: the setting, then PATH, then the cache of `make redis`.
//!
//! A setting that is set but will not do is an error; it is never replaced in silence.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};

use super::limits::VERSION_TIMEOUT;

/// Names a server goes by.
const SERVER_NAMES: [&str; 2] = ["redis-server", "valkey-server"];
/// Setting that names the server.
const SETTING: &str = "SLOTWISE_REDIS_SERVER";

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
}

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerVersion {
    /// Redis or Valkey.
    pub flavour: Flavour,
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl ServerVersion {
    /// Reads the first line of `--version`: `Redis server v=8.0.2 sha=…`.
    fn parse(text: &str) -> Option<Self> {
        let flavour = match text.get(..6)?.to_ascii_lowercase().as_str() {
            "valkey" => Flavour::Valkey,
            word if word.starts_with("redis") => Flavour::Redis,
            _ => return None,
        };
        let (_, version) = text.split_once(" v=")?;
        let version = version.split_whitespace().next()?;
        let mut numbers = version.split('.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse::<u32>().ok()
        });
        let major = numbers.next()??;
        let minor = numbers.next()??;
        let patch = numbers.next().flatten().unwrap_or(0);
        Some(Self { flavour, major, minor, patch })
    }

    /// Field TTLs came with Redis 7.4 and with Valkey 9.0.
    fn will_do(self) -> bool {
        match self.flavour {
            Flavour::Redis => (self.major, self.minor) >= (7, 4),
            Flavour::Valkey => self.major >= 9,
        }
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.flavour {
            Flavour::Redis => "Redis",
            Flavour::Valkey => "Valkey",
        };
        write!(f, "{name} {}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// No server that will do; says what was looked at and the ways on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "found no server that will do (needed: Redis 7.4 or later, or Valkey 9 or later); looked at {}; ways on: \
     run `make redis`, install such a redis-server or valkey-server so that it is in PATH, set {SETTING} to \
     one, or pass the address of a cluster with --redis-url",
    looked_at.join("; ")
)]
pub struct ServerBinaryError {
    /// Each place and what was found there.
    pub looked_at: Vec<String>,
}

/// A server program of a version that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBinary {
    path: PathBuf,
    version: ServerVersion,
}

/// Where to look; taken from the environment once.
#[derive(Debug, Default)]
struct Places {
    setting: Option<OsString>,
    path: Option<OsString>,
    cache: Option<PathBuf>,
}

impl ServerBinary {
    /// Looks at the setting `SLOTWISE_REDIS_SERVER`, then at PATH, then at the cache of `make redis`.
    pub async fn find() -> Result<Self, ServerBinaryError> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let places = Places {
            setting: set(SETTING),
            path: set("PATH"),
            cache: cache_dir().map(|dir| dir.join("redis")),
        };
        Self::find_in(&places).await
    }

    /// The server at `path`: a program, or a folder that holds one.
    pub async fn at(path: &Path) -> Result<Self, ServerBinaryError> {
        Self::look_at(path, "the given path")
            .await
            .map_err(|found| ServerBinaryError { looked_at: vec![found] })
    }

    /// The program.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version.
    pub fn version(&self) -> ServerVersion {
        self.version
    }

    /// The command-line client beside it.
    pub fn cli(&self) -> Option<PathBuf> {
        let dir = self.path.parent()?;
        ["redis-cli", "valkey-cli"].iter().map(|name| dir.join(name)).find(|path| path.is_file())
    }

    /// Was it built with TLS? Both kinds take the setting and end before they listen: one misses TLS, the other a
    /// certificate.
    pub async fn has_tls(&self) -> bool {
        let asking = tokio::process::Command::new(&self.path)
            .args(["--port", "0", "--tls-port", "1"])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let Ok(Ok(output)) = tokio::time::timeout(VERSION_TIMEOUT, asking).await else { return false };
        let said = [output.stdout, output.stderr].concat();
        !String::from_utf8_lossy(&said).contains("Failed finding TLS support")
    }

    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        let version = ServerVersion { flavour: Flavour::Redis, major: 8, minor: 0, patch: 2 };
        Self { path: PathBuf::from("redis-server"), version }
    }

    async fn find_in(places: &Places) -> Result<Self, ServerBinaryError> {
        if let Some(setting) = &places.setting {
            return Self::look_at(Path::new(setting), SETTING)
                .await
                .map_err(|found| ServerBinaryError { looked_at: vec![found] });
        }
        let mut looked_at = vec![format!("{SETTING}: not set")];
        let path = places.path.clone().unwrap_or_default();
        let in_path = SERVER_NAMES.iter().filter_map(|name| {
            std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
        });
        let in_cache = places.cache.iter().flat_map(|cache| built_servers(cache));
        let found = in_path.map(|file| (file, "PATH")).chain(in_cache.map(|file| (file, "the cache")));
        for (file, place) in found {
            match Self::look_at(&file, place).await {
                Ok(server) => return Ok(server),
                Err(found) => looked_at.push(found),
            }
        }
        if !looked_at.iter().any(|line| line.starts_with("PATH")) {
            looked_at.push("PATH: no redis-server, no valkey-server".to_owned());
        }
        if !looked_at.iter().any(|line| line.starts_with("the cache")) {
            looked_at.push(match &places.cache {
                Some(cache) => format!("the cache: nothing in {}", cache.display()),
                None => "the cache: no home folder is set".to_owned(),
            });
        }
        Err(ServerBinaryError { looked_at })
    }

    async fn look_at(path: &Path, place: &str) -> Result<Self, String> {
        let file = if path.is_dir() {
            let held = SERVER_NAMES.iter().map(|name| path.join(name)).find(|file| file.is_file());
            held.ok_or_else(|| format!("{place}: no redis-server or valkey-server in {}", path.display()))?
        } else {
            path.to_owned()
        };
        let shown = file.display();
        // Not canonical: a distribution's redis-server may be a link to a program that looks at its own name.
        let file = std::path::absolute(&file).map_err(|error| format!("{place}: {shown}: {error}"))?;
        let text =
            version_line(&file).await.map_err(|reason| format!("{place}: {} {reason}", file.display()))?;
        let version = ServerVersion::parse(&text).ok_or_else(|| {
            format!("{place}: {} does not answer --version like Redis or Valkey", file.display())
        })?;
        if !version.will_do() {
            return Err(format!("{place}: {} is {version}, too old", file.display()));
        }
        Ok(Self { path: file, version })
    }
}

/// Where slotwise keeps what it can make again: `SLOTWISE_CACHE_DIR`, or `slotwise` in the user's cache.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("SLOTWISE_CACHE_DIR")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("slotwise")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache").join("slotwise")))
}

/// What `scripts/redis.sh` built, in a fixed order.
fn built_servers(cache: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(cache) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path().join("bin").join("redis-server"))
        .filter(|file| file.is_file())
        .collect();
    found.sort();
    found
}

async fn version_line(file: &Path) -> Result<String, String> {
    let asking = tokio::process::Command::new(file)
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(VERSION_TIMEOUT, asking).await {
        Ok(Ok(output)) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(Ok(output)) => Err(format!("answers --version with {}", output.status)),
        Ok(Err(error)) => Err(format!("can't be run: {error}")),
        Err(_) => Err(format!("does not answer --version within {} s", VERSION_TIMEOUT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        let cases = [
            ("Redis server v=8.0.2 sha=00000000:0 malloc=libc bits=64", Some(("Redis 8.0.2", true))),
            ("Redis server v=7.4.0 sha=0", Some(("Redis 7.4.0", true))),
            ("Redis server v=7.0.15 sha=0", Some(("Redis 7.0.15", false))),
            ("Redis server v=8.2-rc1 sha=0", Some(("Redis 8.2.0", true))),
            ("Valkey server v=9.0.1 sha=0", Some(("Valkey 9.0.1", true))),
            ("Valkey server v=8.1.3 sha=0", Some(("Valkey 8.1.3", false))),
            ("Memcached 1.6", None),
            ("Redis server", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let found = ServerVersion::parse(text).map(|v| (v.to_string(), v.will_do()));
            assert_eq!(found, expected.map(|(name, will_do)| (name.to_owned(), will_do)), "{text}");
        }
    }

    #[tokio::test]
    async fn a_setting_that_will_not_do_is_never_replaced() {
        let places = Places {
            setting: Some("/nowhere/redis-server".into()),
            path: std::env::var_os("PATH"),
            cache: cache_dir().map(|dir| dir.join("redis")),
        };
        let error = ServerBinary::find_in(&places).await.unwrap_err();
        assert_eq!(error.looked_at.len(), 1);
        assert!(error.looked_at[0].starts_with("SLOTWISE_REDIS_SERVER: /nowhere/redis-server"), "{error}");
    }

    #[tokio::test]
    async fn where_nothing_is_found_the_error_says_what_was_looked_at_and_the_ways_on() {
        let places = Places { setting: None, path: None, cache: Some("/nowhere/cache".into()) };
        let error = ServerBinary::find_in(&places).await.unwrap_err().to_string();
        for part in
            ["not set", "PATH: no redis-server", "nothing in /nowhere/cache", "make redis", "Redis 7.4"]
        {
            assert!(error.contains(part), "{error}");
        }
    }
}
