//! Which labels the series of an expression can have, and whether it names others.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::parser::{
    self, AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorSelector, token,
};
use slotwise::metrics::{ALL, Kind};

use crate::support::dashboards::{Rule, alerts, recorded};

pub(crate) type Labels = BTreeSet<String>;

fn set<'a>(labels: impl IntoIterator<Item = &'a str>) -> Labels {
    labels.into_iter().map(str::to_owned).collect()
}

/// What series there are, and what was found wrong with expressions about them.
pub(crate) struct Known {
    recorded: Vec<Rule>,
    alerts: Vec<Rule>,
    /// Labels of the series that were looked at.
    seen: BTreeMap<String, Labels>,
    /// Declared metrics that an expression names.
    pub(crate) named: BTreeSet<&'static str>,
    /// Recorded series that an expression names.
    pub(crate) recorded_named: BTreeSet<String>,
    pub(crate) wrong: Vec<String>,
}

impl Known {
    pub(crate) fn new() -> Self {
        Self {
            recorded: recorded(),
            alerts: alerts(),
            seen: BTreeMap::new(),
            named: BTreeSet::new(),
            recorded_named: BTreeSet::new(),
            wrong: Vec::new(),
        }
    }

    /// The labels that series of `expr` can have. What is wrong is told with its `place`.
    pub(crate) fn labels_of(&mut self, place: &str, expr: &str) -> Labels {
        match parser::parse(expr) {
            Ok(parsed) => self.walk(place, &parsed),
            Err(error) => {
                self.wrong.push(format!("{place}: {expr}: {error}"));
                Labels::new()
            }
        }
    }

    fn walk(&mut self, place: &str, expr: &Expr) -> Labels {
        match expr {
            Expr::Aggregate(aggregate) => self.aggregate(place, aggregate),
            Expr::Unary(unary) => self.walk(place, &unary.expr),
            Expr::Binary(binary) => self.binary(place, binary),
            Expr::Paren(paren) => self.walk(place, &paren.expr),
            Expr::Subquery(subquery) => self.walk(place, &subquery.expr),
            Expr::VectorSelector(selector) => self.selector(place, selector),
            Expr::MatrixSelector(matrix) => self.selector(place, &matrix.vs),
            Expr::Call(call) => self.call(place, call),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Labels::new(),
        }
    }

    fn expect(&mut self, place: &str, there: &Labels, named: &[String]) {
        for label in named.iter().filter(|label| !there.contains(*label)) {
            self.wrong.push(format!("{place}: there is no label {label:?} among {there:?}"));
        }
    }

    fn aggregate(&mut self, place: &str, aggregate: &AggregateExpr) -> Labels {
        let mut inner = self.walk(place, &aggregate.expr);
        if let Some(modifier) = &aggregate.modifier {
            self.expect(place, &inner, &modifier.labels().labels);
        }
        let mut outer = match &aggregate.modifier {
            Some(LabelModifier::Include(labels)) => labels.labels.iter().cloned().collect(),
            Some(LabelModifier::Exclude(labels)) => {
                inner.retain(|label| !labels.labels.contains(label));
                inner
            }
            None => Labels::new(),
        };
        // count_values makes a label of values.
        if let Some(Expr::StringLiteral(label)) = aggregate.param.as_deref() {
            outer.insert(label.val.clone());
        }
        outer
    }

    fn binary(&mut self, place: &str, binary: &BinaryExpr) -> Labels {
        let (mut left, right) = (self.walk(place, &binary.lhs), self.walk(place, &binary.rhs));
        let Some(modifier) = &binary.modifier else {
            if binary.op.id() == token::T_LOR || left.is_empty() {
                left.extend(right);
            }
            return left;
        };
        let many = modifier.card.labels().is_some();
        match &modifier.matching {
            Some(LabelModifier::Include(labels)) => {
                self.expect(place, &left, &labels.labels);
                self.expect(place, &right, &labels.labels);
                if !many && !binary.op.is_set_operator() {
                    return labels.labels.iter().cloned().collect();
                }
            }
            Some(LabelModifier::Exclude(labels)) => {
                self.expect(place, &left.union(&right).cloned().collect(), &labels.labels);
            }
            None => {}
        }
        if binary.op.id() == token::T_LOR || left.is_empty() {
            left.extend(right);
        }
        left
    }

    fn call(&mut self, place: &str, call: &Call) -> Labels {
        let mut labels = Labels::new();
        for argument in &call.args.args {
            labels.extend(self.walk(place, argument));
        }
        match (call.func.name, call.args.args.get(1).map(AsRef::as_ref)) {
            ("label_replace", Some(Expr::StringLiteral(label))) => {
                labels.insert(label.val.clone());
            }
            ("histogram_quantile", _) => {
                labels.remove("le");
            }
            _ => {}
        }
        labels
    }

    fn selector(&mut self, place: &str, selector: &VectorSelector) -> Labels {
        let Some(name) = &selector.name else {
            self.wrong.push(format!("{place}: a selector without a metric"));
            return Labels::new();
        };
        let labels = self.series(place, name);
        let matched: Vec<String> =
            selector.matchers.matchers.iter().map(|matcher| matcher.name.clone()).collect();
        self.expect(place, &labels, &matched);
        labels
    }

    fn series(&mut self, place: &str, name: &str) -> Labels {
        if name == "up" {
            return set(["job", "instance"]);
        }
        if name == "ALERTS" {
            let rules: Vec<(String, Vec<String>)> =
                self.alerts.iter().map(|rule| (rule.expr.clone(), rule.labels.clone())).collect();
            return self
                .series_of(place, rules)
                .into_iter()
                .chain(set(["alertname", "alertstate"]))
                .collect();
        }
        if let Some(labels) = self.declared(name) {
            return labels;
        }
        if let Some(labels) = self.seen.get(name) {
            return labels.clone();
        }
        let rules = self.recorded.iter().filter(|rule| rule.name == name);
        let rules: Vec<_> = rules.map(|rule| (rule.expr.clone(), rule.labels.clone())).collect();
        if rules.is_empty() {
            self.wrong.push(format!("{place}: {name} is neither declared nor recorded"));
        }
        self.recorded_named.insert(name.to_owned());
        let labels = self.series_of(place, rules);
        self.seen.insert(name.to_owned(), labels.clone());
        labels
    }

    fn series_of(&mut self, place: &str, rules: Vec<(String, Vec<String>)>) -> Labels {
        let mut all = Labels::new();
        for (expr, labels) in rules {
            all.extend(self.labels_of(place, &expr));
            all.extend(labels);
        }
        all
    }

    /// The labels of a declared metric's series, by the series' name.
    fn declared(&mut self, name: &str) -> Option<Labels> {
        for metric in ALL {
            let part = name.strip_prefix(metric.name);
            let own: &[&str] = match (metric.kind, part) {
                (Kind::Counter | Kind::Gauge, Some("")) => &[],
                (Kind::Histogram(_), Some("_bucket")) => &["le"],
                (Kind::Histogram(_) | Kind::Recent, Some("_sum" | "_count")) => &[],
                (Kind::Recent, Some("")) => &["quantile"],
                _ => continue,
            };
            self.named.insert(metric.name);
            return Some(set(metric.labels.iter().chain(own).chain(&["job", "instance"]).copied()));
        }
        None
    }
}

#[test]
fn what_is_not_there_is_seen() {
    let cases = [
        ("slotwise_bogus_total", "neither declared"),
        ("slotwise_rows_total{shard=\"a\"}", "\"shard\""),
        ("sum by (status, shard) (rate(slotwise_rows_total[5m]))", "\"shard\""),
        ("sum by (job) (slotwise_topology_age_seconds) * on (instance) up", "\"instance\""),
        ("slotwise_read_duration_seconds", "neither declared"),
        ("sum without (le) (slotwise_read_duration_seconds_count)", "\"le\""),
        ("slotwise:slo_burn_rate{shard=\"a\"}", "\"shard\""),
        ("sum by (job", "sum by (job"),
    ];
    for (expr, says) in cases {
        let mut known = Known::new();
        known.labels_of("here", expr);
        assert!(known.wrong.iter().any(|wrong| wrong.contains(says)), "{expr}: {:?}", known.wrong);
    }
    let mut known = Known::new();
    let labels = known
        .labels_of("here", "sum by (shard) (slotwise_shard_slots) and on (shard) slotwise_shard_connected");
    assert_eq!((labels, known.wrong), (set(["shard"]), Vec::new()));
}
