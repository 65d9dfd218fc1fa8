//! Emptying a prefix is the demo's alone.

use slotwise::http::{document, paths};

use crate::program::{run, slotwise};

#[test]
fn there_is_no_command_and_no_route_that_empties_a_prefix() {
    for args in [&["reset"][..], &["cluster", "reset"], &["cohort", "reset"], &["serve", "--reset"]] {
        run(&mut slotwise(args)).exits(2);
    }
    let help = run(&mut slotwise(["--help"])).exits(0).out;
    assert!(!help.contains("reset"), "{help}");
    assert!(paths().all(|path| !path.contains("reset")));
    for (path, item) in document().paths.paths {
        assert!(item.delete.is_none(), "DELETE {path}");
    }
}
