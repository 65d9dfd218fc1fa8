//! The metrics page as a scraper reads it, held to what is declared.

use std::collections::{BTreeMap, BTreeSet};

use slotwise::metrics::{ALL, Kind, Metric};

/// A metrics page.
#[derive(Debug)]
pub(crate) struct Page {
    /// Name and what it is: `counter`, `gauge`, `histogram`, `summary`.
    types: BTreeMap<String, String>,
    helps: BTreeMap<String, String>,
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Page {
    /// The page that a server shows now.
    pub(crate) async fn of(address: &str) -> Self {
        let answer = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
        assert_eq!(answer.status(), 200);
        Self::parse(&answer.text().await.unwrap())
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut page = Self { types: BTreeMap::new(), helps: BTreeMap::new(), series: Vec::new() };
        let word = |text: &str| text.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = word(rest);
                assert!(page.types.insert(name, kind).is_none(), "twice: {line}");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = word(rest);
                assert!(page.helps.insert(name, help).is_none(), "twice: {line}");
            } else {
                page.series.push(Series::parse(line));
            }
        }
        page
    }

    /// The value of the one series that has exactly these labels.
    pub(crate) fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
        self.series.iter().find(|series| series.name == name && series.labels == labels).map(|it| it.value)
    }

    /// The same, which has to be there.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?} in {self:#?}"))
    }

    /// All series of a name that have these labels, among others, added up.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |series: &Series| {
            labels.iter().all(|(label, value)| series.labels.get(*label).is_some_and(|it| it == value))
        };
        self.series
            .iter()
            .filter(|series| series.name == name && has(series))
            .map(|series| series.value)
            .sum()
    }

    /// Fails unless everything on the page is declared, is of the kind that it is declared to be, and has exactly the
    /// labels and the text.
    #[track_caller]
    pub(crate) fn assert_declared(&self) {
        for (name, kind) in &self.types {
            let metric = ALL.iter().find(|metric| metric.name == name);
            let metric = metric.unwrap_or_else(|| panic!("{name} is not declared"));
            assert_eq!(kind, word_of(metric.kind), "{name}");
            assert_eq!(self.helps.get(name).map(String::as_str), Some(metric.help), "{name}");
        }
        for series in &self.series {
            let declared = ALL.iter().find_map(|metric| labels_of(metric, series));
            let declared = declared.unwrap_or_else(|| panic!("{series:?} is not declared"));
            assert_eq!(
                series.labels.keys().map(String::as_str).collect::<BTreeSet<_>>(),
                declared,
                "{series:?}"
            );
        }
    }

    /// The names that are declared and of which the page shows nothing. Native histograms are not for pages of text.
    pub(crate) fn not_shown(&self) -> Vec<&'static str> {
        let text = ALL.iter().filter(|metric| metric.kind != Kind::NativeHistogram);
        text.map(|metric| metric.name).filter(|name| !self.types.contains_key(*name)).collect()
    }
}

impl Series {
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, mut rest) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
            None => (series, ""),
        };
        let mut labels = BTreeMap::new();
        while let Some((label, quoted)) = rest.split_once("=\"") {
            let (value, after) = unquoted(quoted);
            assert!(labels.insert(label.to_owned(), value).is_none(), "twice: {line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        assert_eq!(rest, "", "{line}");
        Self { name: name.to_owned(), labels, value: value.parse().unwrap() }
    }
}

/// A label's value up to its closing quote, and what comes after that.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => match characters.next().unwrap().1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    panic!("no closing quote: {text}");
}

fn word_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) | Kind::NativeHistogram => "histogram",
        Kind::Recent => "summary",
    }
}

/// The labels that a series of this metric has to have; nothing where it is none of its.
fn labels_of(metric: &Metric, series: &Series) -> Option<BTreeSet<&'static str>> {
    let suffix = series.name.strip_prefix(metric.name)?;
    let more = match (metric.kind, suffix) {
        (Kind::Counter | Kind::Gauge, "") => None,
        (Kind::Histogram(_), "_bucket") => Some("le"),
        (Kind::Recent, "") => Some("quantile"),
        (Kind::Histogram(_) | Kind::Recent, "_sum" | "_count") => None,
        _ => return None,
    };
    Some(metric.labels.iter().copied().chain(more).collect())
}
