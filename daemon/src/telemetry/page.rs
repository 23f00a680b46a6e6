//! Prometheus' text format.

use std::fmt::{Display, Write};

use super::metrics::Times;

#[derive(Default)]
pub(super) struct Page(pub String);

impl Page {
    /// Begins the lines of the metric `name`.
    pub(super) fn family(&mut self, name: &str, kind: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
    }

    /// Values of labels are words without quotes and backslashes.
    pub(super) fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    pub(super) fn times(&mut self, name: &str, labels: &[(&str, &str)], times: Times) {
        self.line(&format!("{name}_sum"), labels, times.seconds);
        self.line(&format!("{name}_count"), labels, times.count);
    }

    /// A metric of one line.
    pub(super) fn number(&mut self, name: &str, kind: &str, value: impl Display) {
        self.family(name, kind);
        self.line(name, &[], value);
    }

    pub(super) fn both_ways(&mut self, name: &str, [came, went]: [u64; 2]) {
        self.family(name, "counter");
        self.line(name, &[("direction", "in")], came);
        self.line(name, &[("direction", "out")], went);
    }
}
