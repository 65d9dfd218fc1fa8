//! The repository's files, as text and as tokens.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;

/// A file: its path from the root, with `/`, and its text.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The tokens; comments are gone, doc comments are attributes, strings are literals.
    pub(crate) fn tokens(&self) -> TokenStream {
        self.text.parse().unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }

    /// The path of the module that this file of `src/` is: `store`, `read` for `src/store/read.rs`.
    pub(crate) fn module(&self) -> Vec<String> {
        let inner = self.path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs"));
        let mut module: Vec<String> = inner.unwrap_or_default().split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        module
    }
}

/// Every Rust file below these folders of the repository.
pub(crate) fn rust_files(folders: &[&str]) -> Vec<Source> {
    let mut files = Vec::new();
    for folder in folders {
        let found = files.len();
        walk(&root().join(folder), &mut |path| {
            if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(read(path));
            }
        });
        assert!(files.len() > found, "{folder}/ has no Rust file; is it still where it was?");
    }
    files
}

/// Every text file of the repository that `.gitignore` does not leave out.
pub(crate) fn all_text_files() -> Vec<Source> {
    let ignore = read(&root().join(".gitignore")).text;
    let mut files = Vec::new();
    walk(&root(), &mut |path| {
        if !is_ignored(&relative(path), &ignore) && fs::read(path).is_ok_and(|bytes| !bytes.contains(&0)) {
            files.push(read(path));
        }
    });
    files
}

/// Does one of the lines of `.gitignore` name this path? Knows the kinds of lines that ours has.
fn is_ignored(path: &str, ignore: &str) -> bool {
    let patterns = ignore.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    patterns.into_iter().any(|pattern| match (pattern.strip_prefix('/'), pattern.strip_prefix('*')) {
        (Some(at_root), _) => {
            let rest = path.strip_prefix(at_root.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        (None, Some(ending)) => path.ends_with(ending),
        (None, None) => path.split('/').any(|part| part == pattern.trim_end_matches('/')),
    })
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        // Build output and git's own files are large, and not ours.
        if matches!(relative(&path).as_str(), "target" | ".git") || path.is_symlink() {
            continue;
        }
        if path.is_dir() { walk(&path, visit) } else { visit(&path) }
    }
}

fn read(path: &Path) -> Source {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Source { path: relative(path), text: String::from_utf8_lossy(&bytes).into_owned() }
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap();
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_file_knows_its_module() {
    let module = |path| Source::new(path, "").module().join("::");
    assert_eq!(module("src/store/read.rs"), "store::read");
    assert_eq!(module("src/store/mod.rs"), "store");
    assert_eq!(module("src/ingest/json_row/tests.rs"), "ingest::json_row::tests");
    assert_eq!(module("src/lib.rs"), "");
}

#[test]
fn ignored_files_are_left_out() {
    let ignore = "# build\n/target\n*.profraw\nnode_modules/\n";
    for path in ["target/x", "a/b.profraw", "web/node_modules/x.js"] {
        assert!(is_ignored(path, ignore), "{path}");
    }
    for path in ["src/target.rs", "targets/x", "src/target/x", "profraw"] {
        assert!(!is_ignored(path, ignore), "{path}");
    }
    assert!(all_text_files().iter().any(|file| file.path == "Cargo.toml"));
}
