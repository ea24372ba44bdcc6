//! What the server counts about itself, and the text that Prometheus reads.
//!
//! Counters are plain atomics that are created once. To note a request takes a look-up by its route and a few
//! additions, and nothing grows between two readings. Labels come from the route table, from lists in this program, or
//! name a registered resource server, so callers can't create new series.

mod text;

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::thread::PerThread;

pub use text::Text;

/// Upper bounds of the buckets of a histogram, in microseconds.
const BOUNDS: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];
/// The statuses that this server answers with. Any other one counts as `other`.
const STATUSES: [u16; 18] =
    [200, 204, 206, 303, 304, 400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 500, 503];

#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One more than there are bounds: the last one is for all that took longer.
    buckets: [Counter; BOUNDS.len() + 1],
    micros: Counter,
}

impl Histogram {
    pub fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|&bound| micros <= bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].add(1);
        self.micros.add(micros);
    }

    fn add(&self, other: &Self) {
        for (sum, bucket) in self.buckets.iter().zip(&other.buckets) {
            sum.add(bucket.get());
        }
        self.micros.add(other.micros.get());
    }

    fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::get).sum()
    }
}

/// Requests of one method to one route.
#[derive(Debug, Default)]
struct Series {
    statuses: [Counter; STATUSES.len() + 1],
    took: Histogram,
}

impl Series {
    fn add(&self, other: &Self) {
        for (sum, counter) in self.statuses.iter().zip(&other.statuses) {
            sum.add(counter.get());
        }
        self.took.add(&other.took);
    }
}

/// Requests by route, method and status, and the time until their answers began.
#[derive(Debug)]
pub struct Requests {
    /// Path and method of each series.
    labels: Vec<(&'static str, &'static str)>,
    /// The series of each thread.
    counted: PerThread<Box<[Series]>>,
    /// The places of a path's series: GET, POST, any other method.
    by_path: HashMap<&'static str, [usize; 3]>,
}

impl Requests {
    /// `paths` are the templates of the route table. They may repeat.
    pub fn new(paths: impl Iterator<Item = &'static str>) -> Self {
        let (mut labels, mut by_path) = (Vec::new(), HashMap::new());
        for path in std::iter::once("none").chain(paths) {
            by_path.entry(path).or_insert_with(|| {
                let first = labels.len();
                labels.extend(["GET", "POST", "other"].map(|method| (path, method)));
                [first, first + 1, first + 2]
            });
        }
        let counted = PerThread::new(|| labels.iter().map(|_| Series::default()).collect());
        Self { labels, counted, by_path }
    }

    /// Notes one request. `path` is the template that it matched, if any.
    pub fn note(&self, method: &str, path: Option<&str>, status: u16, took: Duration) {
        let of_path = path.and_then(|path| self.by_path.get(path)).unwrap_or(&[0, 1, 2]);
        let series = &self.counted.own()[match method {
            "GET" | "HEAD" => of_path[0],
            "POST" => of_path[1],
            _ => of_path[2],
        }];
        let status = STATUSES.iter().position(|&known| known == status).unwrap_or(STATUSES.len());
        series.statuses[status].add(1);
        series.took.note(took);
    }

    fn write(&self, text: &mut Text) {
        let all: Vec<Series> = self.labels.iter().map(|_| Series::default()).collect();
        for counted in self.counted.iter() {
            for (sum, series) in all.iter().zip(counted) {
                sum.add(series);
            }
        }
        text.head("rescind_requests_total", "counter", "Requests by route, method and status.");
        for (&(route, method), series) in self.labels.iter().zip(&all) {
            for (place, count) in series.statuses.iter().enumerate().filter(|(_, count)| count.get() > 0) {
                let status = STATUSES.get(place).map_or_else(|| "other".to_owned(), u16::to_string);
                let labels = [("route", route), ("method", method), ("status", &status)];
                text.sample("rescind_requests_total", &labels, count.get());
            }
        }
        let name = "rescind_request_duration_seconds";
        text.head(name, "histogram", "Time until an answer began, by route and method.");
        for (&(route, method), series) in self.labels.iter().zip(&all) {
            if series.took.count() > 0 {
                text.histogram(name, &[("route", route), ("method", method)], &series.took);
            }
        }
    }
}

/// Why a sign-in failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInFailure {
    /// Unknown name, wrong password, or an account that is not active.
    Refused,
    /// Too many attempts.
    Limited,
}

/// What the store counts.
#[derive(Debug, Default)]
pub struct StoreMetrics {
    /// From the queuing of a write until it is durable or has failed.
    pub write: Histogram,
    /// Commits. Each has a group of writes.
    pub groups: Counter,
    /// Look-ups that had to wait, because all connections were busy. On PostgreSQL none does.
    pub lookup_waits: Counter,
    /// The time until a page got a connection. On PostgreSQL pages share connections, and only long reads wait for one.
    pub page_wait: Histogram,
    /// With several servers on one database: how long it took to ask whether memory is current. Each time counts for all
    /// requests that waited.
    pub read_index: Histogram,
    pub read_index_requests: Counter,
    pub read_index_failures: Counter,
}

/// Confirmations by guards. Each revocation counts once for each resource server that it concerns.
#[derive(Debug, Default)]
pub struct FeedMetrics {
    /// From the revocation to the last confirmation.
    pub confirmation: Histogram,
    /// Settled: all guards that were running have confirmed it.
    pub confirmed: Counter,
    /// Settled: a guard did not confirm it before its lease ended.
    pub silent: Counter,
    /// Settled: no guard was running.
    pub idle: Counter,
    /// Settled: no guard is expected there, or none has ever connected.
    pub unguarded: Counter,
}

/// A resource server and its guards.
#[derive(Clone, Debug)]
pub struct ServerReading {
    pub id: String,
    pub name: String,
    /// Guards that may accept tokens now.
    pub guards: u64,
    /// Age of the oldest revocation that one of them has not confirmed.
    pub lag: Duration,
}

impl ServerReading {
    fn labels(&self) -> [(&str, &str); 2] {
        [("resource_server", &self.id), ("name", &self.name)]
    }
}

/// The result of the last drill.
#[derive(Clone, Copy, Debug)]
pub struct DrillReading {
    /// Since 1970.
    pub at: Duration,
    /// `None` if it failed.
    pub p99: Option<Duration>,
}

/// What is read from the database and other parts of the server when somebody reads metrics.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Ledger rows by act, since the process began.
    pub acts: Vec<(&'static str, u64)>,
    pub unfinished_purges: u64,
    /// Age of the oldest unfinished purge.
    pub oldest_purge: Duration,
    pub queued_writes: u64,
    pub busy_readers: u64,
    pub servers: Vec<ServerReading>,
    pub drill: Option<DrillReading>,
}

/// The counters that belong to no other part of the server.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Created by the router, which knows the routes.
    pub requests: OnceLock<Requests>,
    sign_in_refused: Counter,
    sign_in_limited: Counter,
}

impl Metrics {
    pub fn sign_in_failed(&self, why: SignInFailure) {
        match why {
            SignInFailure::Refused => self.sign_in_refused.add(1),
            SignInFailure::Limited => self.sign_in_limited.add(1),
        }
    }

    /// The page that Prometheus reads (text format 0.0.4).
    pub fn text(&self, store: &StoreMetrics, feed: &FeedMetrics, reading: &Reading) -> String {
        let mut text = Text::default();
        text.head("rescind_build_info", "gauge", "The version that runs; always 1.");
        text.sample("rescind_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        if let Some(requests) = self.requests.get() {
            requests.write(&mut text);
        }
        let name = "rescind_sign_in_failures_total";
        text.head(name, "counter", "Sign-ins that did not succeed.");
        text.sample(name, &[("reason", "refused")], self.sign_in_refused.get());
        text.sample(name, &[("reason", "limited")], self.sign_in_limited.get());
        text.head("rescind_acts_total", "counter", "Rows of the ledger by act, since the process began.");
        for (act, count) in &reading.acts {
            text.sample("rescind_acts_total", &[("act", act)], count);
        }
        text.gauge("rescind_purges_unfinished", "Purges that wait or run.", reading.unfinished_purges);
        let oldest = reading.oldest_purge.as_secs_f64();
        text.gauge("rescind_purge_oldest_seconds", "How long the oldest of them has waited.", oldest);
        let name = "rescind_write_duration_seconds";
        text.head(name, "histogram", "From the hand-over of a write until it is durable.");
        text.histogram(name, &[], &store.write);
        text.counter("rescind_write_groups_total", "Commits; writes share them.", &store.groups);
        text.gauge("rescind_writes_queued", "Writes that wait for their turn.", reading.queued_writes);
        let name = "rescind_lookup_waits_total";
        text.counter(
            name,
            "Look-ups that found all connections taken. With PostgreSQL they share them.",
            &store.lookup_waits,
        );
        text.gauge(
            "rescind_page_readers_busy",
            "Connections that pages hold, of 4; with PostgreSQL, long reads.",
            reading.busy_readers,
        );
        let name = "rescind_page_wait_seconds";
        text.head(name, "histogram", "Until a page had one of them; with PostgreSQL, a long read.");
        text.histogram(name, &[], &store.page_wait);
        let name = "rescind_read_index_seconds";
        text.head(name, "histogram", "To ask PostgreSQL whether what is in memory is current.");
        text.histogram(name, &[], &store.read_index);
        let name = "rescind_read_index_requests_total";
        text.counter(
            name,
            "Requests that waited for such an answer; they share one.",
            &store.read_index_requests,
        );
        let name = "rescind_read_index_failures_total";
        text.counter(name, "Times that there was no such answer.", &store.read_index_failures);
        feed.write(&mut text);
        reading.write(&mut text);
        text.finish()
    }
}

impl FeedMetrics {
    fn write(&self, text: &mut Text) {
        let name = "rescind_confirmation_seconds";
        text.head(
            name,
            "histogram",
            "From a revocation until the last guard of a resource server confirmed it.",
        );
        text.histogram(name, &[], &self.confirmation);
        let name = "rescind_confirmations_total";
        text.head(name, "counter", "What became of revocations at resource servers, once it is settled.");
        for (outcome, count) in [
            ("confirmed", &self.confirmed),
            ("silent", &self.silent),
            ("idle", &self.idle),
            ("unguarded", &self.unguarded),
        ] {
            text.sample(name, &[("outcome", outcome)], count.get());
        }
    }
}

impl Reading {
    fn write(&self, text: &mut Text) {
        let name = "rescind_guards_running";
        text.head(name, "gauge", "Guards that may accept tokens now.");
        for server in &self.servers {
            text.sample(name, &server.labels(), server.guards);
        }
        let name = "rescind_feed_lag_seconds";
        text.head(name, "gauge", "Age of the oldest revocation that one of these guards has not confirmed.");
        for server in &self.servers {
            text.sample(name, &server.labels(), server.lag.as_secs_f64());
        }
        let Some(drill) = self.drill else { return };
        let at = drill.at.as_secs_f64();
        text.gauge("rescind_drill_timestamp_seconds", "When the last drill ended.", at);
        text.gauge("rescind_drill_passed", "Whether it passed.", u8::from(drill.p99.is_some()));
        if let Some(p99) = drill.p99 {
            let help = "99th percentile of its rounds, from a revocation's answer to the refusal.";
            text.gauge("rescind_drill_p99_seconds", help, p99.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_and_unknown_ones_share_a_series() {
        let metrics = Metrics::default();
        let requests = metrics.requests.get_or_init(|| Requests::new(["/a", "/b/{id}", "/a"].into_iter()));
        requests.note("GET", Some("/b/{id}"), 200, Duration::from_micros(250));
        requests.note("HEAD", Some("/b/{id}"), 200, Duration::from_micros(251));
        requests.note("BREW", Some("/a"), 418, Duration::from_secs(60));
        requests.note("POST", Some("/elsewhere"), 404, Duration::ZERO);
        requests.note("POST", None, 404, Duration::ZERO);
        let text = metrics.text(&StoreMetrics::default(), &FeedMetrics::default(), &Reading::default());
        for line in [
            "rescind_requests_total{route=\"/b/{id}\",method=\"GET\",status=\"200\"} 2",
            "rescind_requests_total{route=\"/a\",method=\"other\",status=\"other\"} 1",
            "rescind_requests_total{route=\"none\",method=\"POST\",status=\"404\"} 2",
            "rescind_request_duration_seconds_bucket{route=\"/b/{id}\",method=\"GET\",le=\"0.00025\"} 1",
            "rescind_request_duration_seconds_bucket{route=\"/b/{id}\",method=\"GET\",le=\"0.0005\"} 2",
            "rescind_request_duration_seconds_bucket{route=\"/a\",method=\"other\",le=\"10\"} 0",
            "rescind_request_duration_seconds_bucket{route=\"/a\",method=\"other\",le=\"+Inf\"} 1",
            "rescind_request_duration_seconds_sum{route=\"/a\",method=\"other\"} 60",
            "rescind_request_duration_seconds_count{route=\"/b/{id}\",method=\"GET\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(!text.contains("elsewhere"));
    }
}
