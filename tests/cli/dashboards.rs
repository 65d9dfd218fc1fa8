//! `slotwise dashboards`: what is written, and what is not written over.

use std::fs;

use crate::program::{run, slotwise};

#[test]
fn dashboards_and_rules_are_written_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("a/b");
    let ran = run(slotwise(["dashboards", "--dir"]).arg(&dir)).exits(0);
    assert_eq!(ran.err, "");
    let written: Vec<&str> = ran.out.lines().collect();
    for name in ["slo.json", "serving.json", "cluster.json", "features.json", "rules/targets.yml"] {
        assert!(written.contains(&&*dir.join(name).to_string_lossy()), "{name} is not in {}", ran.out);
    }
    for file in written {
        let name = file.strip_prefix(&*dir.to_string_lossy()).unwrap();
        let here = format!("{}/dashboards{name}", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(fs::read(file).unwrap(), fs::read(here).unwrap(), "{name}");
    }
    // Again: nothing differs.
    run(slotwise(["dashboards", "--dir"]).arg(&dir)).exits(0);
}

#[test]
fn the_folder_is_called_dashboards_where_nothing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(slotwise(["dashboards"]).current_dir(folder.path())).exits(0);
    assert!(ran.out.starts_with("dashboards/slo.json\n"), "{}", ran.out);
    assert!(folder.path().join("dashboards/rules/alerts.yml").exists());
}

#[test]
fn files_that_were_changed_are_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let ours = folder.path().join("rules/slo.yml");
    fs::create_dir(folder.path().join("rules")).unwrap();
    fs::write(&ours, "ours").unwrap();
    let ran = run(slotwise(["dashboards", "--dir"]).arg(folder.path())).exits(1);
    ran.says_in_one_line(&["--force", &*ours.to_string_lossy()]);
    assert!(!ran.err.contains("slo.json"), "{}", ran.err);
    assert_eq!(fs::read_to_string(&ours).unwrap(), "ours");
    assert!(!folder.path().join("slo.json").exists(), "some were written");
    run(slotwise(["dashboards", "--reset-targets", "--dir"]).arg(folder.path())).exits(1);
    run(slotwise(["dashboards", "--force", "--dir"]).arg(folder.path())).exits(0);
    assert!(fs::read_to_string(&ours).unwrap().contains("slotwise:slo_burn_rate"));
}

#[test]
fn targets_that_were_changed_stay_until_they_are_reset() {
    let folder = tempfile::tempdir().unwrap();
    run(slotwise(["dashboards", "--dir"]).arg(folder.path())).exits(0);
    let targets = folder.path().join("rules/targets.yml");
    let written = fs::read_to_string(&targets).unwrap();
    let ours = written.replace("vector(0.99)", "vector(0.95)").replace("slo_bad_events_min", "bygone");
    assert_ne!(ours, written);
    fs::write(&targets, &ours).unwrap();
    let slo = folder.path().join("rules/slo.yml");
    for more in [&[][..], &["--force"]] {
        fs::remove_file(&slo).unwrap();
        let ran = run(slotwise(["dashboards", "--dir"]).arg(folder.path()).args(more)).exits(0);
        let name = &*targets.to_string_lossy();
        for said in [name, "--reset-targets", "lacks slotwise:slo_bad_events_min\n"] {
            assert!(ran.err.contains(said), "{said:?} is not in {}", ran.err);
        }
        assert!(!ran.out.contains(name) && slo.exists(), "{}", ran.out);
        assert_eq!(fs::read_to_string(&targets).unwrap(), ours);
    }
    let ran = run(slotwise(["dashboards", "--reset-targets", "--dir"]).arg(folder.path())).exits(0);
    assert_eq!(ran.err, "");
    assert_eq!(fs::read_to_string(&targets).unwrap(), written);
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let dir = file.path().join("below");
    let ran = run(slotwise(["dashboards", "--dir"]).arg(&dir)).exits(1);
    ran.says_in_one_line(&[&*dir.to_string_lossy()]);
}
