//! Alerts: each says how bad it is and what to do, and somebody has tried it.

use std::collections::BTreeSet;

use crate::support::dashboards::{alerts, dashboards, names, read, recorded};

const RUNBOOKS: &str = "docs/OPERATIONS.md";

/// The names of the headings for alerts.
fn runbooks(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix("### "));
    headings.filter(|heading| heading.starts_with("Slotwise")).map(str::to_owned).collect()
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts: BTreeSet<String> = alerts().into_iter().map(|rule| rule.name).collect();
    assert_eq!(runbooks(&read(RUNBOOKS)), alerts);
}

#[test]
fn every_alert_says_what_it_is_and_where_to_look() {
    let uids: Vec<String> =
        dashboards().iter().map(|(_, dashboard)| dashboard["uid"].as_str().unwrap().to_owned()).collect();
    for rule in alerts() {
        let name = &rule.name;
        assert!(["page", "ticket"].contains(&rule.text["labels"]["severity"].as_str().unwrap()), "{name}");
        let annotation = |what: &str| rule.text["annotations"][what].as_str().unwrap_or_default().to_owned();
        assert!(!annotation("summary").is_empty(), "{name}");
        assert!(annotation("description").contains("$value"), "{name} does not tell the value");
        assert_eq!(annotation("runbook"), format!("{RUNBOOKS}#{}", name.to_lowercase()));
        let dashboard = annotation("dashboard");
        assert!(uids.iter().any(|uid| dashboard.starts_with(&format!("/d/{uid}"))), "{name}: {dashboard}");
        assert!(!name.contains("Burn") || rule.text["for"].is_null(), "{name}: its windows are enough");
    }
}

#[test]
fn every_alert_is_tried_by_promtool() {
    let folder = "dashboards/rules/tests";
    let tests: String = names(folder, ".yml").iter().map(|name| read(&format!("{folder}/{name}"))).collect();
    for rule in alerts() {
        let firing = tests.contains(&format!("{{alertname=\"{}\"", rule.name))
            || tests.contains(&format!("alertname: {}\n", rule.name));
        assert!(firing, "{} fires in no test", rule.name);
    }
}

#[test]
fn every_target_that_is_not_recorded_is_told() {
    let unmeasured = alerts().into_iter().find(|rule| rule.name == "SlotwiseSloUnmeasured").unwrap().expr;
    let targets = read("dashboards/rules/targets.yml");
    let targets = recorded().into_iter().filter(|rule| targets.contains(&format!("record: {}\n", rule.name)));
    let forgotten: Vec<String> = targets
        .map(|rule| rule.name)
        .filter(|name| !unmeasured.contains(&format!("absent({name})")))
        .collect();
    assert_eq!(forgotten, Vec::<String>::new());
}
