//! What every panel has: a question, a unit, what is normal, what it says where there is no data.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::dashboards::{dashboards, panels};

fn check(panel: &Value) -> Vec<&'static str> {
    let defaults = &panel["fieldConfig"]["defaults"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let datasource = json!({"type": "prometheus", "uid": "${datasource}"});
    let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, what| {
        if !holds {
            wrong.push(what);
        }
    };
    hold(text(&panel["title"]).ends_with('?'), "its title is no question");
    hold(!text(&defaults["unit"]).is_empty(), "it has no unit");
    hold(text(&panel["description"]).len() > 40, "its description does not say what is normal");
    hold(!text(&defaults["noValue"]).is_empty(), "it says nothing where there is no data");
    hold(defaults["thresholds"]["steps"].is_array(), "it has no thresholds");
    hold(panel["datasource"] == datasource, "its datasource is not the variable");
    hold(!targets.is_empty(), "it asks nothing");
    hold(
        targets.iter().all(|target| target["datasource"] == datasource),
        "a query's datasource is not the variable",
    );
    hold(
        panel["type"] != "timeseries" || defaults["custom"]["spanNulls"] == false,
        "its gaps are drawn over",
    );
    wrong
}

#[test]
fn every_panel_is_a_question_with_an_answer_for_every_case() {
    for (file, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            assert_eq!(check(panel), Vec::<&str>::new(), "{file}: {}", panel["title"]);
        }
    }
    assert_eq!(check(&json!({"title": "Latency", "type": "timeseries"})).len(), 8);
}

#[test]
fn ids_are_unique_and_panels_do_not_overlap() {
    for (file, dashboard) in dashboards() {
        let mut ids = BTreeSet::new();
        let mut cells = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{file}: {}", panel["title"]);
            let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{file}: {}", panel["title"]);
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(cells.insert((x, y)), "{file}: {} overlaps", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn a_dashboard_can_be_imported_and_leads_to_the_others() {
    let mut uids = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        let uid = dashboard["uid"].as_str().unwrap().to_owned();
        assert_eq!(format!("{uid}.json"), format!("slotwise-{file}"));
        assert!(uids.insert(uid));
        assert_eq!((&dashboard["tags"], &dashboard["id"]), (&json!(["slotwise"]), &Value::Null), "{file}");
        assert_eq!(dashboard["links"][0]["tags"], json!(["slotwise"]), "{file}");
        assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 38, "{file}");
        assert!(dashboard["refresh"].is_string() && dashboard["time"]["from"].is_string(), "{file}");
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let names: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        assert_eq!(names[..3], ["datasource", "job", "instance"], "{file}");
        for variable in &variables[1..] {
            assert_eq!(variable["datasource"]["uid"], "${datasource}", "{file}");
            assert_eq!((&variable["multi"], &variable["includeAll"]), (&json!(true), &json!(true)), "{file}");
        }
    }
    assert_eq!(uids.len(), 4);
}
