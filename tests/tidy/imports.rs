//! Imports go down only: the levels of DESIGN.md.

use crate::paths::{NamedPath, paths};
use crate::source::{Source, rust_files};
use crate::{Allowed, Violation, assert_none, except};

/// What a room may import of the house.
enum Imports {
    /// Every room of a lower level, and those beside the levels that are open to all.
    Below(u8),
    /// These rooms, and no others.
    Only(&'static [&'static str]),
}

use Imports::{Below, Only};

/// Every room of the house: name, what it may import.
const ROOMS: [(&str, Imports); 13] = [
    ("model", Below(0)),
    ("slot", Below(1)),
    ("shard", Below(2)),
    ("store", Below(3)),
    ("ingest", Below(4)),
    ("encode", Below(4)),
    ("http", Below(5)),
    ("load", Below(5)),
    ("devcluster", Below(5)),
    ("cli", Below(6)),
    // Validated structs are made of the options that the rooms offer; http is in for its options.
    ("config", Only(&["model", "slot", "shard", "store", "http"])),
    ("metrics", Only(&[])),
    ("telemetry", Only(&[])),
];
/// Rooms without a level that only these may import; `None`: everybody.
const VISITORS: [(&str, Option<&[&str]>); 3] =
    [("config", Some(&["cli"])), ("metrics", None), ("telemetry", Some(&["http", "config", "cli"]))];

/// Imports that break the order, as `file -> room`, each with its reason.
const ALLOWED: &[Allowed] = &[];

fn may_import(from: &str, to: &str) -> bool {
    if from == to {
        return true;
    }
    if let Some((_, visitors)) = VISITORS.iter().find(|(room, _)| *room == to) {
        return visitors.is_none_or(|visitors| visitors.contains(&from));
    }
    let imports = |name: &str| ROOMS.iter().find(|(room, _)| *room == name).map(|(_, imports)| imports);
    match (imports(from), imports(to)) {
        (Some(Below(from)), Some(Below(to))) => to < from,
        (Some(Only(rooms)), _) => rooms.contains(&to),
        _ => false,
    }
}

/// Imports that go up or sideways, and rooms that nobody has given a place.
fn upward_imports(files: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in files {
        let module = file.module();
        // The root says what the library offers; a file in it is no room.
        let Some(room) = module.first() else { continue };
        if !ROOMS.iter().any(|(known, _)| known == room) {
            found.push(Violation::new(&file.path, format!("the room {room} has no place in ROOMS")));
            continue;
        }
        for path in paths(file.tokens(), &module) {
            found.extend(upward_import(&file.path, room, &path));
        }
    }
    found
}

fn upward_import(file: &str, room: &str, path: &NamedPath) -> Option<Violation> {
    let target = path.rooted()?;
    let target = target.first().map_or("*", String::as_str);
    let line = path.line;
    if !ROOMS.iter().any(|(known, _)| *known == target) {
        // A name that the root passes on would hide which room it comes from.
        return Some(Violation::new(
            file,
            format!("line {line} takes {target} from the root; name its room"),
        ));
    }
    let place = format!("{file} -> {target}");
    (!may_import(room, target))
        .then(|| Violation::new(place, format!("line {line}: {room} may not import it")))
}

/// The program's own root: parse, dispatch, exit code. All else is behind `cli`.
fn thin_main(file: &Source) -> Vec<Violation> {
    let named = paths(file.tokens(), &[]);
    let house =
        named.iter().filter_map(|path| (path.segments[0] == "slotwise").then(|| path.rooted()).flatten());
    house
        .filter(|path| path.first().is_none_or(|room| room != "cli"))
        .map(|path| Violation::new(&file.path, format!("main may use cli only, not {}", path.join("::"))))
        .collect()
}

#[test]
fn imports_go_down_only() {
    assert_none(&except(upward_imports(&rust_files(&["src"])), ALLOWED));
}

#[test]
fn the_program_only_hands_over_to_its_commands() {
    let files = rust_files(&["src"]);
    let main = files.iter().find(|file| file.path == "src/main.rs").unwrap();
    assert_none(&thin_main(main));
    assert_eq!(thin_main(&Source::new("src/main.rs", "fn main() { slotwise::store::read(); }")).len(), 1);
    assert!(thin_main(&Source::new("src/main.rs", "use slotwise::cli::{self, Args};")).is_empty());
}

#[test]
fn an_import_that_goes_up_or_sideways_is_seen() {
    let count = |path: &str, text: &str| upward_imports(&[Source::new(path, text)]).len();
    for (path, text) in [
        ("src/slot/plan.rs", "use crate::store::FeatureStore;"),
        ("src/slot/plan.rs", "fn f() { crate::shard::x() }"),
        ("src/slot/plan.rs", "use super::super::shard::X;"),
        ("src/slot/plan.rs", "#[cfg(test)] mod tests { use super::super::super::encode::X; }"),
        ("src/slot/plan.rs", "use crate::{model::X, store};"),
        ("src/slot/plan.rs", "use crate::*;"),
        ("src/slot/plan.rs", "use crate::FeatureStore;"),
        ("src/encode/csv.rs", "use crate::ingest::X;"),
        ("src/ingest/csv.rs", "use slotwise::encode::X;"),
        ("src/http/mod.rs", "use crate::devcluster::X;"),
        ("src/http/mod.rs", "use crate::config::X;"),
        ("src/config/mod.rs", "use crate::ingest::X;"),
        ("src/metrics/mod.rs", "use crate::model::X;"),
        ("src/attic/mod.rs", ""),
        ("src/attic.rs", ""),
    ] {
        assert_eq!(count(path, text), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("src/store/read.rs", "use crate::{model::X, slot::{self, Y}, shard};"),
        (
            "src/store/read.rs",
            "use super::error::E; #[cfg(test)] mod tests { use super::super::options::O; }",
        ),
        ("src/model/mod.rs", "use crate::metrics; // use crate::store"),
        ("src/config/mod.rs", "use crate::http::Options;"),
        ("src/cli/serve.rs", "use crate::{config, devcluster, encode, http, load};"),
        ("src/lib.rs", "pub use store::FeatureStore; pub mod http;"),
    ] {
        assert_eq!(count(path, text), 0, "{path}: {text}");
    }
}
