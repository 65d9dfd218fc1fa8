//! Who may ask for what: bearer tokens with scopes, out of a file that is read again when it changes.
//!
//! Invariants: of a token only its SHA-256 is kept, compared in constant time, and neither is ever shown; a new file
//! that can't be used leaves the last good tokens in force.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tokio::time::{MissedTickBehavior, interval};

use super::tokens_file;

/// Largest tokens file, in bytes.
pub(super) const TOKENS_FILE_BYTES_MAX: u64 = 1 << 20;
/// Most tokens in it: each request is held against all of them.
pub(super) const TOKENS_MAX: usize = 1_024;
/// Length of a token, in bytes: short ones can be guessed.
pub(super) const TOKEN_BYTES_MIN: usize = 16;
pub(super) const TOKEN_BYTES_MAX: usize = 512;
/// Permissions of everybody else.
const OTHERS: u32 = 0o007;

/// What a token allows. `admin` allows everything; `write` does not allow to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Features and entities may be read.
    Read,
    /// Features may be written and loaded.
    Write,
    /// Everything: also what is shown of the cluster.
    Admin,
}

impl Scope {
    /// Its name in the file and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Why a tokens file can't be used. Never repeats what the file holds for a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokensError {
    /// The file can't be read.
    #[error("{path}: can't be read: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// The file is not what it should be.
    #[error("{path}: line {line}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
}

/// SHA-256 of a token.
pub(super) type TokenHash = [u8; 32];

/// A token of the file.
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) hash: TokenHash,
    pub(super) scopes: Vec<Scope>,
    /// Does the file hold the token itself, and not just its hash?
    pub(super) plain: bool,
}

/// Who asks, as its token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token.
    pub name: Arc<str>,
    scopes: Vec<Scope>,
}

impl Caller {
    /// Is this allowed?
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| *own == scope || *own == Scope::Admin)
    }
}

/// The tokens of a file. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Tokens(Arc<Shared>);

struct Shared {
    path: PathBuf,
    table: ArcSwap<Table>,
}

struct Table {
    entries: Vec<Entry>,
    /// Of the whole file, to see that it has changed.
    file: TokenHash,
}

impl Tokens {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, TokensError> {
        let table = ArcSwap::from_pointee(read(path, None)?.unwrap_or_else(Table::empty));
        Ok(Self(Arc::new(Shared { path: path.to_owned(), table })))
    }

    /// Reads the file again; true where it had changed. With an error, the tokens stay what they were.
    pub fn reload(&self) -> Result<bool, TokensError> {
        let Some(table) = read(&self.0.path, Some(self.0.table.load().file))? else { return Ok(false) };
        self.0.table.store(Arc::new(table));
        Ok(true)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.table.load().entries.len()
    }

    /// Reads the file again and again, and logs what comes of it; each trouble once.
    pub async fn watch(self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = None;
        loop {
            ticks.tick().await;
            let tokens = self.clone();
            match tokio::task::spawn_blocking(move || tokens.reload()).await {
                Ok(Ok(changed)) => {
                    if trouble.take().is_some() || changed {
                        tracing::info!(file = %self.0.path.display(), tokens = self.count(), "tokens file read again");
                    }
                }
                Ok(Err(error)) if trouble.as_ref() != Some(&error) => {
                    tracing::error!(%error, "tokens file can't be used, the last good tokens stay in force");
                    trouble = Some(error);
                }
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }

    /// Who has this token. Takes as long for a wrong one as for any right one.
    pub(super) fn caller(&self, token: &[u8]) -> Option<Caller> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let given: TokenHash = Sha256::digest(token).into();
        let table = self.0.table.load();
        let mut found = None;
        for entry in &table.entries {
            let same: Choice = entry.hash.ct_eq(&given);
            if bool::from(same) {
                found = Some(entry);
            }
        }
        found.map(|entry| Caller { name: Arc::clone(&entry.name), scopes: entry.scopes.clone() })
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl Table {
    fn empty() -> Self {
        Self { entries: Vec::new(), file: [0; 32] }
    }
}

/// The file's tokens; nothing where it is still the one with the hash `known`.
fn read(path: &Path, known: Option<TokenHash>) -> Result<Option<Table>, TokensError> {
    let unreadable =
        |error: std::io::Error| TokensError::Unreadable { path: path.to_owned(), error: error.to_string() };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    let mut bytes = Vec::new();
    file.take(TOKENS_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let hash: TokenHash = Sha256::digest(&bytes).into();
    if known == Some(hash) {
        return Ok(None);
    }
    let entries = tokens_file::parse(&bytes).map_err(|(line, problem)| TokensError::Malformed {
        path: path.to_owned(),
        line,
        problem,
    })?;
    if mode & OTHERS != 0 && entries.iter().any(|entry| entry.plain) {
        tracing::warn!(
            file = %path.display(),
            "everybody on this machine may read the tokens file: chmod 640 it, or give sha256 instead of token"
        );
    }
    Ok(Some(Table { entries, file: hash }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READER: &str = "[[token]]\nname = \"r\"\ntoken = \"0123456789abcdef\"\nscopes = [\"read\"]\n";

    #[test]
    fn a_caller_has_its_scopes_and_admin_has_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"; // of "test"
        let text = format!(
            "{READER}[[token]]\nname = \"w\"\ntoken = \"fedcba9876543210\"\nscopes = [\"write\"]\n\
             [[token]]\nname = \"a\"\nsha256 = \"{hash}\"\nscopes = [\"admin\"]\n"
        );
        std::fs::write(&path, text).unwrap();
        let tokens = Tokens::load(&path).unwrap();
        let may = |token: &str| {
            let caller = tokens.caller(token.as_bytes()).unwrap();
            [Scope::Read, Scope::Write, Scope::Admin].map(|scope| caller.may(scope))
        };
        assert_eq!(may("0123456789abcdef"), [true, false, false]);
        assert_eq!(may("fedcba9876543210"), [false, true, false]);
        assert_eq!(may("test"), [true, true, true]);
        for wrong in ["", "0123456789abcde", "0123456789abcdeF", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
            assert_eq!(tokens.caller(wrong.as_bytes()), None);
        }
        assert!(!format!("{tokens:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn a_broken_new_file_keeps_the_last_good_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        std::fs::write(&path, READER).unwrap();
        let tokens = Tokens::load(&path).unwrap();
        assert_eq!(tokens.reload(), Ok(false));
        std::fs::write(&path, format!("{READER}\n[[token]]\nnam = 1\n")).unwrap();
        let error = tokens.reload().unwrap_err();
        assert!(error.to_string().contains("tokens.toml: line 7: "), "{error}");
        assert!(tokens.caller(b"0123456789abcdef").is_some());
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(tokens.reload(), Err(TokensError::Unreadable { .. })));
        assert!(tokens.caller(b"0123456789abcdef").is_some());
        std::fs::write(&path, READER.replace("abcdef", "ABCDEF")).unwrap();
        assert_eq!(tokens.reload(), Ok(true));
        assert!(tokens.caller(b"0123456789abcdef").is_none() && tokens.caller(b"0123456789ABCDEF").is_some());
    }
}
