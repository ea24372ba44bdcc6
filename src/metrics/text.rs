//! The text format of Prometheus.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::{BOUNDS, Counter, Histogram};

#[derive(Debug, Default)]
pub struct Text(String);

// Writing to a String can't fail, so the results are ignored.
impl Text {
    pub fn finish(self) -> String {
        self.0
    }

    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.0.push(if place == 0 { '{' } else { ',' });
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{label}=\"{text}\"");
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.sample(name, &[], value);
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, counter: &Counter) {
        self.head(name, "counter", help);
        self.sample(name, &[], counter.get());
    }

    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut upto = 0;
        for (place, bucket) in histogram.buckets.iter().enumerate() {
            upto += bucket.get();
            let bound = BOUNDS.get(place).map_or_else(
                || "+Inf".to_owned(),
                |&micros| Duration::from_micros(micros).as_secs_f64().to_string(),
            );
            let labels = [labels, &[("le", &bound)]].concat();
            self.sample(&format!("{name}_bucket"), &labels, upto);
        }
        let sum = Duration::from_micros(histogram.micros.get()).as_secs_f64();
        self.sample(&format!("{name}_sum"), labels, sum);
        self.sample(&format!("{name}_count"), labels, upto);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text(String::new());
        text.sample("x", &[("a", "b\"c\\d\ne")], 1);
        assert_eq!(text.0, "x{a=\"b\\\"c\\\\d\\ne\"} 1\n");
    }
}
