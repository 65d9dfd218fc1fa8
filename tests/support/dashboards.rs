//! What is in the folder: panels with their queries, recording rules, alerts.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// A file of this repository.
pub(crate) fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder whose names end like this.
pub(crate) fn names(folder: &str, extension: &str) -> Vec<String> {
    let entries = fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(extension)).collect();
    names.sort_unstable();
    names
}

/// Each dashboard, with the name of its file.
pub(crate) fn dashboards() -> Vec<(String, Value)> {
    let read =
        |name: String| (name.clone(), serde_json::from_str(&read(&format!("dashboards/{name}"))).unwrap());
    names("dashboards", ".json").into_iter().map(read).collect()
}

/// The panels of a dashboard, without those that only head a row.
pub(crate) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

/// A recording rule or an alert.
#[derive(Debug)]
pub(crate) struct Rule {
    /// What it records, or the alert's name.
    pub(crate) name: String,
    pub(crate) expr: String,
    pub(crate) labels: Vec<String>,
    /// The rule as it is written.
    pub(crate) text: Value,
}

fn rules(what: &str) -> Vec<Rule> {
    let mut rules = Vec::new();
    for name in names("dashboards/rules", ".yml") {
        let file: Value = serde_norway::from_str(&read(&format!("dashboards/rules/{name}"))).unwrap();
        for rule in
            file["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap())
        {
            let Some(name) = rule[what].as_str() else { continue };
            let labels = rule["labels"].as_object().into_iter().flat_map(|labels| labels.keys().cloned());
            let expr = rule["expr"].as_str().unwrap().to_owned();
            rules.push(Rule { name: name.to_owned(), expr, labels: labels.collect(), text: rule.clone() });
        }
    }
    assert!(!rules.is_empty());
    rules
}

/// Every recording rule.
pub(crate) fn recorded() -> Vec<Rule> {
    rules("record")
}

/// Every alert.
pub(crate) fn alerts() -> Vec<Rule> {
    rules("alert")
}

/// A query of a panel.
pub(crate) struct Query {
    /// Dashboard and panel.
    pub(crate) place: String,
    pub(crate) expr: String,
    pub(crate) legend: String,
}

/// Every query of every panel, annotation and variable, in PromQL.
pub(crate) fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for (file, dashboard) in dashboards() {
        let mut add = |place: &Value, expr: &str, legend: &str| {
            let place = format!("{file}: {}", place.as_str().unwrap());
            let expr = expr.replace("$__rate_interval", "5m");
            queries.push(Query { place, expr, legend: legend.to_owned() });
        };
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().unwrap() {
                let legend = target["legendFormat"].as_str().unwrap();
                add(&panel["title"], target["expr"].as_str().unwrap(), legend);
            }
        }
        for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
            add(
                &annotation["name"],
                annotation["expr"].as_str().unwrap(),
                annotation["titleFormat"].as_str().unwrap(),
            );
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let Some(query) = variable["query"]["query"].as_str() else { continue };
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
            let (expr, label) = inner.rsplit_once(", ").unwrap();
            add(&variable["name"], expr, &format!("{{{{{label}}}}}"));
        }
    }
    queries
}
