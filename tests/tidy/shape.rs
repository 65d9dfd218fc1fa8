//! How files and functions look from outside: what opens them, how long they are.

use proc_macro2::{Delimiter, TokenTree};

use crate::paths::trees;
use crate::source::{Source, rust_files};
use crate::{Allowed, Violation, assert_none, except};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer, each with its reason.
const LONG_FILES: &[Allowed] = &[];
/// Functions that may be longer, as `file: function`, each with its reason.
const LONG_FUNCTIONS: &[Allowed] = &[];

const EVERYWHERE: [&str; 4] = ["src", "tests", "benches", "fuzz"];

fn without_opening(files: &[Source]) -> Vec<Violation> {
    let silent = files.iter().filter(|file| !file.text.starts_with("//! "));
    silent.map(|file| Violation::new(&file.path, "does not open with `//!`, its job")).collect()
}

fn long_files(files: &[Source]) -> Vec<Violation> {
    let lines = files.iter().map(|file| (file, file.text.lines().count()));
    let long = lines.filter(|(_, lines)| *lines > FILE_LINES_MAX);
    long.map(|(file, lines)| Violation::new(&file.path, format!("{lines} lines, at most {FILE_LINES_MAX}")))
        .collect()
}

fn long_functions(files: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in files {
        let mut functions = Vec::new();
        functions_in(&trees(file.tokens()), &mut functions);
        for (name, lines) in functions.into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX) {
            let what = format!("{lines} lines, at most {FUNCTION_LINES_MAX}");
            found.push(Violation::new(format!("{}: {name}", file.path), what));
        }
    }
    found
}

/// Every function with a body, and its lines from `fn` to the closing brace; nested ones too.
fn functions_in(trees_here: &[TokenTree], found: &mut Vec<(String, usize)>) {
    for (at, tree) in trees_here.iter().enumerate() {
        if let TokenTree::Group(group) = tree {
            functions_in(&trees(group.stream()), found);
        }
        let [TokenTree::Ident(word), TokenTree::Ident(name), rest @ ..] = &trees_here[at..] else { continue };
        if word != "fn" {
            continue;
        }
        let end = rest.iter().find_map(|tree| match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                Some(Some(group.span_close()))
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => Some(None),
            _ => None,
        });
        if let Some(Some(end)) = end {
            found.push((name.to_string(), end.end().line - word.span().start().line + 1));
        }
    }
}

#[test]
fn every_file_opens_with_its_job() {
    assert_none(&without_opening(&rust_files(&EVERYWHERE)));
    for text in ["", "use std::fmt;\n//! late", "// a comment", "//!\nfn f() {}", "#![allow(x)]\n//! late"] {
        assert_eq!(without_opening(&[Source::new("src/x.rs", text)]).len(), 1, "{text:?}");
    }
}

#[test]
fn files_are_short() {
    assert_none(&except(long_files(&rust_files(&EVERYWHERE)), LONG_FILES));
    let of = |lines: usize| long_files(&[Source::new("src/x.rs", &"//! x\n".repeat(lines))]).len();
    assert_eq!((of(FILE_LINES_MAX), of(FILE_LINES_MAX + 1)), (0, 1));
}

#[test]
fn functions_are_short() {
    assert_none(&except(long_functions(&rust_files(&EVERYWHERE)), LONG_FUNCTIONS));
}

#[test]
fn a_long_function_is_seen_wherever_it_stands() {
    let function =
        |lines: usize| format!("async fn f<T>(x: [u8; 3]) -> T {{\n{}}}\n", "x();\n".repeat(lines - 2));
    let long = function(FUNCTION_LINES_MAX + 1);
    let count = |text: &str| long_functions(&[Source::new("src/x.rs", text)]).len();
    assert_eq!((count(&function(FUNCTION_LINES_MAX)), count(&long)), (0, 1));
    assert_eq!(count(&format!("impl X {{ {long} }}")), 1);
    assert_eq!(count(&format!("#[cfg(test)] mod tests {{ proptest! {{ #[test] {long} }} }}")), 1);
    assert_eq!(count(&format!("fn outer() {{ {long} }}")), 2, "both are long");
    // Neither braces in texts nor the functions of a trait without a body end or begin one.
    assert_eq!(count(&long.replacen("x();", "let s = (\"}\", '}', r#\"}\"#); // }", 3)), 1);
    assert_eq!(count(&format!("trait X {{ fn g(&self); const C: fn(u8) -> u8; {} }}", "\n".repeat(90))), 0);
    let places = long_functions(&[Source::new("src/x.rs", &long)]);
    assert_eq!(places[0].place, "src/x.rs: f");
}
