//! `slotwise dashboards`: writes the Grafana dashboards and Prometheus rules that belong to this version.

use std::fs;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  slotwise dashboards                                  into the folder dashboards
  slotwise dashboards --dir /etc/slotwise/dashboards
  slotwise dashboards --force                          over files that were changed, but for rules/targets.yml
  slotwise dashboards --reset-targets                  over targets that were changed in rules/targets.yml

Then, in prometheus.yml, with a scrape_interval of 15s:
  rule_files: [/etc/slotwise/dashboards/rules/*.yml]

And in Grafana's provisioning/dashboards/slotwise.yml, or import the four .json by hand:
  apiVersion: 1
  providers:
    - name: slotwise
      type: file
      options: {path: /etc/slotwise/dashboards}";

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!("../../dashboards/", $path)))),+]
    };
}

/// Path below the folder, and text, of each. A test holds that none is forgotten.
const FILES: [(&str, &str); 8] = files![
    "slo.json",
    "serving.json",
    "cluster.json",
    "features.json",
    "rules/targets.yml",
    "rules/slo.yml",
    "rules/features.yml",
    "rules/alerts.yml",
];

/// Where targets are set: changed by whom they are for, and left alone.
const TARGETS: &str = "rules/targets.yml";

/// Arguments of `slotwise dashboards`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DashboardsArgs {
    /// Folder to write to; made where it is missing
    #[arg(long, value_name = "DIR", default_value = "dashboards")]
    dir: PathBuf,
    /// Write over files that differ, but for rules/targets.yml
    #[arg(long)]
    force: bool,
    /// Write over rules/targets.yml where it differs; it is left as it is otherwise
    #[arg(long)]
    reset_targets: bool,
}

/// Runs the command.
pub(super) fn run(args: &DashboardsArgs) -> anyhow::Result<ExitCode> {
    let targets = args.dir.join(TARGETS);
    let mut places: Vec<(PathBuf, &str)> =
        FILES.iter().map(|(path, text)| (args.dir.join(path), *text)).collect();
    let mut kept = None;
    if !args.reset_targets {
        let ours = places.iter().find(|(place, _)| *place == targets).map_or("", |(_, text)| *text);
        if differs(&targets, ours)? {
            kept = Some(unset_in(&targets, ours)?);
            places.retain(|(place, _)| *place != targets);
        }
    }
    // All are looked at before any is written: no folder ends up half of one version.
    let mut differing = Vec::new();
    for (place, text) in &places {
        if !args.force && *place != targets && differs(place, text)? {
            differing.push(place.display().to_string());
        }
    }
    if !differing.is_empty() {
        bail!(
            "there and different, nothing was written (--force writes over them): {}",
            differing.join(", ")
        );
    }
    let mut out = stdout().lock();
    for (place, text) in &places {
        write(place, text)?;
        writeln!(out, "{}", place.display())?;
    }
    if let Some(unset) = kept {
        let lacks = if unset.is_empty() { String::new() } else { format!("; it lacks {}", unset.join(", ")) };
        let told = format!("{} differs and was left as it is", targets.display());
        writeln!(stderr(), "{told} (--reset-targets writes over it){lacks}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn differs(place: &Path, text: &str) -> anyhow::Result<bool> {
    match fs::read(place) {
        Ok(there) => Ok(there != text.as_bytes()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("{} can't be read", place.display())),
    }
}

/// The targets of `ours` that the file does not record.
fn unset_in<'a>(place: &Path, ours: &'a str) -> anyhow::Result<Vec<&'a str>> {
    let there = fs::read(place).with_context(|| format!("{} can't be read", place.display()))?;
    let there = String::from_utf8_lossy(&there);
    let set: Vec<&str> = recorded(&there).collect();
    Ok(recorded(ours).filter(|name| !set.contains(name)).collect())
}

fn recorded(rules: &str) -> impl Iterator<Item = &str> {
    rules.lines().filter_map(|line| line.trim_start().strip_prefix("- record: ")).map(str::trim_end)
}

fn write(place: &Path, text: &str) -> anyhow::Result<()> {
    let folder = place.parent().unwrap_or(place);
    fs::create_dir_all(folder).with_context(|| format!("the folder {} can't be made", folder.display()))?;
    fs::write(place, text).with_context(|| format!("{} can't be written", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths_in(folder: &Path, extension: &str) -> impl Iterator<Item = PathBuf> {
        let entries: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.into_iter().filter(move |path| path.extension().is_some_and(|it| it == extension))
    }

    #[test]
    fn every_dashboard_and_rule_file_is_written() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards"));
        let mut there: Vec<PathBuf> =
            paths_in(folder, "json").chain(paths_in(&folder.join("rules"), "yml")).collect();
        let mut listed: Vec<PathBuf> = FILES.iter().map(|(path, _)| folder.join(path)).collect();
        there.sort_unstable();
        listed.sort_unstable();
        assert_eq!(there, listed);
    }
}
