//! The panels and variables of the dashboards that the program writes, with their queries as Grafana would send them.

use std::path::Path;

use serde_json::Value;

/// One query of a panel, or of a variable.
pub(crate) struct PanelQuery {
    /// Dashboard, title and reference.
    pub(crate) place: String,
    pub(crate) expression: String,
}

/// Every query of every dashboard in the folder.
pub(crate) fn queries(folder: &Path) -> Vec<PanelQuery> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let dashboard: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let panels = dashboard["panels"].as_array().unwrap();
        let inner = panels.iter().filter_map(|panel| panel["panels"].as_array()).flatten();
        for panel in panels.iter().chain(inner) {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let text = |key: &str| target[key].as_str().unwrap_or_default();
                found.push(PanelQuery {
                    place: format!("{name}: {} {}", panel["title"].as_str().unwrap(), text("refId")),
                    expression: filled(text("expr")),
                });
            }
        }
    }
    assert!(!found.is_empty(), "no panels in {}", folder.display());
    found
}

/// The expression with Grafana's variables filled in: all of everything, over the last few scrapes.
fn filled(expression: &str) -> String {
    let mut text = String::new();
    let mut rest = expression;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let (name, after) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}').unwrap(),
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                after.split_at(end)
            }
        };
        text.push_str(match name.split(':').next().unwrap() {
            "__rate_interval" => "15s",
            "__interval" => "5s",
            "__range" => "5m",
            "__range_s" => "300",
            _ => ".+",
        });
        rest = after;
    }
    text + rest
}
