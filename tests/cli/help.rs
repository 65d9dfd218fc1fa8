//! What the program says of itself: help, version, completions.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::program::{run, slotwise};

/// The commands that a help text lists.
fn commands_in(help: &str) -> Vec<String> {
    let Some((_, listed)) = help.split_once("Commands:\n") else { return Vec::new() };
    let lines = listed.lines().take_while(|line| !line.is_empty());
    // Longer descriptions go on further to the right.
    let names = lines.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_has_help_with_examples() {
    let mut waiting = vec![Vec::<String>::new()];
    let mut seen = Vec::new();
    while let Some(path) = waiting.pop() {
        let ran = run(slotwise(&path).arg("--help")).exits(0);
        assert!(ran.err.is_empty() && ran.out.contains("Examples:\n  "), "{path:?}: {}", ran.out);
        waiting.extend(commands_in(&ran.out).into_iter().map(|name| [path.as_slice(), &[name]].concat()));
        seen.push(path.join(" "));
    }
    for command in
        ["", "demo", "serve", "load", "batch", "get", "inspect", "slots", "dashboards", "completions"]
    {
        assert!(seen.iter().any(|path| path == command), "{command} is not in {seen:?}");
    }
    for command in ["cohort list", "cohort move", "cluster up", "cluster status", "cluster down"] {
        assert!(seen.iter().any(|path| path == command), "{command} is not in {seen:?}");
    }
}

#[test]
fn the_commands_of_the_examples_are_understood_as_far_as_their_words_go() {
    let help = run(&mut slotwise(["--help"])).out;
    for command in commands_in(&help) {
        let text = run(&mut slotwise([command.as_str(), "--help"])).out;
        let (_, examples) = text.split_once("Examples:\n").unwrap();
        for line in examples.lines().filter(|line| line.contains("slotwise ")) {
            let mut words = line.split("slotwise ").nth(1).unwrap().split([' ', ')', '<']);
            let known = words.any(|word| word == command || word == "cluster");
            assert!(known, "{line:?} is no example of {command}");
        }
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let ran = run(&mut slotwise(["--version"])).exits(0);
    assert_eq!(ran.out, format!("slotwise {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_goes_to_standard_error_and_exits_with_2() {
    let cases: [&[&str]; 6] =
        [&[], &["bogus"], &["get"], &["cohort"], &["get", "u1", "--bogus"], &["completions", "x"]];
    for args in cases {
        let ran = run(&mut slotwise(args)).exits(2);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{args:?}: {ran:?}");
    }
}

#[test]
fn completions_are_scripts_that_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&mut slotwise(["completions", shell])).exits(0).out;
        for word in ["slotwise", "inspect", "batch-ttl-seconds", "redis-url"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    let script = run(&mut slotwise(["completions", "bash"])).out;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}

#[test]
fn a_reader_that_has_gone_is_no_reason_to_complain() {
    for args in [&["completions", "bash"][..], &["--help"], &["load", "--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = slotwise(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{args:?}");
    }
}
