//! What the fuzzer found worth keeping, replayed: see `fuzz/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "../fuzz/check.rs"]
mod check;

use std::path::Path;

#[test]
fn the_scanner_keeps_its_promises_for_the_whole_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/replies");
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        let checked = std::panic::catch_unwind(|| check::check(&data));
        assert!(checked.is_ok(), "{}", path.display());
        files += 1;
    }
    assert!(files > 100, "{files} inputs in {}", folder.display());
}
