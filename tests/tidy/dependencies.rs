//! Every dependency is used: those of the library in `src/`, those of the tests there or in `tests/` and `benches/`.

use std::collections::BTreeSet;

use crate::paths::paths;
use crate::source::{Source, all_text_files, rust_files};
use crate::{Allowed, Violation, assert_none, except};

/// Dependencies that no code names, each with its reason.
const ALLOWED: &[Allowed] = &[
    (
        "opentelemetry-proto",
        "tests/otlp reads exports with it; as a dev-dependency every test build would have it",
    ),
    ("prost", "tests/otlp reads exports with it; as a dev-dependency every test build would have it"),
];

fn unused_dependencies(manifest: &str, src: &[Source], tests: &[Source]) -> Vec<Violation> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let (in_src, in_tests) = (crates_named(src), crates_named(tests));
    let mut found = Vec::new();
    for (section, name) in dependencies(&manifest) {
        let name_in_code = name.replace('-', "_");
        let used = match section {
            "dev-dependencies" => in_src.contains(&name_in_code) || in_tests.contains(&name_in_code),
            _ => in_src.contains(&name_in_code),
        };
        if !used {
            found.push(Violation::new(name, format!("is in [{section}] and nowhere in the code")));
        }
    }
    found
}

/// Section and name of each dependency, those of single platforms included.
fn dependencies(manifest: &toml::Table) -> Vec<(&'static str, String)> {
    let mut tables = vec![manifest];
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    tables.extend(targets.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table));
    let mut all = Vec::new();
    for table in tables {
        for section in ["dependencies", "dev-dependencies"] {
            let names = table.get(section).and_then(toml::Value::as_table);
            all.extend(names.into_iter().flat_map(toml::Table::keys).map(|name| (section, name.clone())));
        }
    }
    all
}

fn crates_named(files: &[Source]) -> BTreeSet<String> {
    let paths = files.iter().flat_map(|file| paths(file.tokens(), &file.module()));
    paths.map(|path| path.segments[0].clone()).collect()
}

#[test]
fn every_dependency_is_used() {
    let manifest = all_text_files().into_iter().find(|file| file.path == "Cargo.toml").unwrap();
    let (src, tests) = (rust_files(&["src"]), rust_files(&["tests", "benches"]));
    assert_none(&except(unused_dependencies(&manifest.text, &src, &tests), ALLOWED));
}

#[test]
fn a_dependency_that_nobody_uses_is_seen() {
    let manifest = r#"
        [dependencies]
        used-here = "1"
        only-in-tests = { version = "1", optional = true }
        [dev-dependencies]
        named-in-tests = "1"
        forgotten = "1"
        [target.'cfg(unix)'.dependencies]
        forgotten-too = "1"
    "#;
    let src = [Source::new("src/lib.rs", "use used_here::X; // forgotten_too::Y")];
    let tests =
        [Source::new("tests/t.rs", "fn f() { only_in_tests::x(); named_in_tests::y(\"forgotten::\") }")];
    let found: Vec<String> =
        unused_dependencies(manifest, &src, &tests).into_iter().map(|violation| violation.place).collect();
    assert_eq!(found, ["only-in-tests", "forgotten", "forgotten-too"]);
}
