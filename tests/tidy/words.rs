//! What is never written: tests that are skipped or wait for a time, work left open, places of one machine.

use proc_macro2::{Delimiter, Group, TokenTree};

use crate::paths::trees;
use crate::source::{Source, all_text_files, rust_files};
use crate::{Allowed, Violation, assert_none, except};

/// Files of `tests/` that may wait for a time, each with its reason.
const SLEEPERS: &[Allowed] = &[
    ("tests/support/mod.rs", "the pause between two looks at a condition"),
    ("tests/support/canary.rs", "measures how late this machine wakes a thread"),
    ("tests/support/proxy.rs", "delays bytes, as a slow network does"),
];

/// Calls of `todo!` and the like, and tests that are skipped.
fn unfinished(files: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in files {
        visit(&trees(file.tokens()), &mut |here| match here {
            [TokenTree::Ident(name), TokenTree::Punct(bang), TokenTree::Group(_), ..]
                if bang.as_char() == '!' && (name == "todo" || name == "unimplemented") =>
            {
                found.push(Violation::new(&file.path, format!("line {}: {name}!", name.span().start().line)));
            }
            [TokenTree::Punct(hash), TokenTree::Group(attribute), ..]
                if hash.as_char() == '#' && skips_a_test(attribute) =>
            {
                let line = attribute.span_open().start().line;
                found.push(Violation::new(&file.path, format!("line {line}: a test that is skipped")));
            }
            _ => {}
        });
    }
    found
}

/// Is it `[ignore]`, or a `[cfg_attr(…, ignore)]`?
fn skips_a_test(attribute: &Group) -> bool {
    let inner = trees(attribute.stream());
    let is =
        |tree: Option<&TokenTree>, word: &str| matches!(tree, Some(TokenTree::Ident(name)) if name == word);
    match inner.get(1) {
        Some(TokenTree::Group(conditional)) if is(inner.first(), "cfg_attr") => {
            let parts = trees(conditional.stream());
            let mut parts =
                parts.split(|tree| matches!(tree, TokenTree::Punct(comma) if comma.as_char() == ','));
            parts.any(|part| is(part.first(), "ignore"))
        }
        _ => attribute.delimiter() == Delimiter::Bracket && is(inner.first(), "ignore"),
    }
}

/// Waits for a fixed time, whichever runtime they belong to.
fn sleeps(files: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in files {
        visit(&trees(file.tokens()), &mut |here| {
            if let [TokenTree::Ident(name), ..] = here
                && (name == "sleep" || name == "sleep_until" || name == "sleep_ms")
            {
                found.push(Violation::new(&file.path, format!("line {}: {name}", name.span().start().line)));
            }
        });
    }
    found
}

/// Shows every position of every group.
fn visit(trees_here: &[TokenTree], look: &mut dyn FnMut(&[TokenTree])) {
    for (at, tree) in trees_here.iter().enumerate() {
        look(&trees_here[at..]);
        if let TokenTree::Group(group) = tree {
            visit(&trees(group.stream()), look);
        }
    }
}

/// Paths of one machine and the hosts of package registries: they come from the machine's own configuration.
fn machine_places() -> Vec<String> {
    let folders = [["", "work", ""], ["", "root", ""], ["", "tmp", "bash"]].map(|parts| parts.join("/"));
    let hosts = [
        ["crates", "io"],
        ["deb.debian", "org"],
        ["security.debian", "org"],
        ["archive.ubuntu", "com"],
        ["registry.npmjs", "org"],
        ["registry.yarnpkg", "com"],
        ["pypi", "org"],
        ["pythonhosted", "org"],
        ["proxy.golang", "org"],
        ["docker", "io"],
    ];
    folders.into_iter().chain(hosts.map(|parts| parts.join("."))).collect()
}

/// The registry as cargo writes it into its lock file: a name, not a place to fetch from.
const CARGO_REGISTRY: &str = concat!("github.com/rust-lang/crates", ".io-index");

fn places_named(files: &[Source]) -> Vec<Violation> {
    let places = machine_places();
    let mut found = Vec::new();
    for file in files {
        for (line, text) in (1..).zip(file.text.lines()) {
            let text = text.replace(CARGO_REGISTRY, "");
            let named = places.iter().filter(|place| text.contains(place.as_str()));
            found.extend(named.map(|place| Violation::new(&file.path, format!("line {line}: {place}"))));
        }
    }
    found
}

#[test]
fn no_test_is_skipped_and_no_work_is_left_open() {
    assert_none(&unfinished(&rust_files(&["src", "tests", "benches", "fuzz"])));
    let count = |text: &str| unfinished(&[Source::new("tests/x.rs", text)]).len();
    for text in [
        "#[test] #[ignore] fn f() {}",
        "#[test] #[ignore = \"slow\"] fn f() {}",
        "mod m { #[cfg_attr(debug_assertions, ignore)] fn f() {} }",
        "fn f() { todo!() }",
        "fn f() { g(unimplemented! { \"later\" }) }",
    ] {
        assert_eq!(count(text), 1, "{text}");
    }
    assert_eq!(count("/* #[ignore] */ fn ignore() { let todo = \"todo!()\"; } #[cfg(ignore)] struct X;"), 0);
}

#[test]
fn tests_wait_for_a_condition_and_never_for_a_time() {
    assert_none(&except(sleeps(&rust_files(&["tests"])), SLEEPERS));
    let count = |text: &str| sleeps(&[Source::new("tests/x.rs", text)]).len();
    for text in [
        "fn f() { std::thread::sleep(d); }",
        "async fn f() { tokio::time::sleep(d).await; }",
        "use tokio::time::{Duration, sleep};",
        "async fn f() { time::sleep_until(t).await }",
    ] {
        assert_eq!(count(text), 1, "{text}");
    }
    assert_eq!(count("// sleep(1)\nfn f() { wait_until(\"sleep\").await }"), 0);
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    assert_none(&places_named(&all_text_files()));
    for place in machine_places() {
        let file = Source::new("scripts/x.sh", &format!("a\ncd \"{place}x\"\n"));
        assert_eq!(places_named(&[file])[0].what, format!("line 2: {place}"));
    }
    let lock = format!("source = \"registry+https://{CARGO_REGISTRY}\"\nhttps://docs.rs/x /worker/ /tmp/x");
    assert!(places_named(&[Source::new("Cargo.lock", &lock)]).is_empty());
}
