//! The scenario: what a server can do, then several times as much asked of it, turn by turn.
//!
//! Requests of the overload start when they are due, whatever has become of those before them, and are timed from then.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::caller::{Answered, Caller, get, post};
use crate::support::served::Served;

/// Callers that ask one after the other, to find out what the server can do.
const CALLERS: usize = 6;
/// Different requests.
const REQUESTS: usize = 64;
/// Time between two looks at which requests are due.
const TICK: Duration = Duration::from_millis(1);
/// Time between two requests to each health route.
const HEALTH_INTERVAL: Duration = Duration::from_millis(100);
/// Whatever takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Ids and features of a batch, and its deadline.
    pub(crate) ids: usize,
    pub(crate) features: usize,
    pub(crate) timeout: Duration,
    /// How many times as much as the server can do.
    pub(crate) times: f64,
    /// Time of each turn, at capacity and in overload, and how many there are.
    pub(crate) window: Duration,
    pub(crate) rounds: usize,
}

/// What was seen, in the round with the most goodput; `best_per_s` is that of the best turn at capacity.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) offered_per_s: f64,
    /// Whole answers in time, under overload and at most.
    pub(crate) goodput_per_s: f64,
    pub(crate) best_per_s: f64,
    /// Answers that were 503, that came late or not whole, and requests that got none.
    pub(crate) shed_per_s: f64,
    pub(crate) late_per_s: f64,
    pub(crate) failed: u64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) rss_before_bytes: u64,
    pub(crate) rss_max_bytes: u64,
    pub(crate) health_asked: u64,
    pub(crate) health_worst: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        write!(
            f,
            "offered {:.0}/s, goodput {:.1}/s of {:.1}/s at best ({:.2}), shed {:.0}/s, late {:.1}/s, failed {}, \
             p50 {:?}, p99 {:?}, RSS {} MiB, then {} MiB, {} times asked for health, {:?} at worst",
            self.offered_per_s,
            self.goodput_per_s,
            self.best_per_s,
            self.goodput_per_s / self.best_per_s,
            self.shed_per_s,
            self.late_per_s,
            self.failed,
            self.p50,
            self.p99,
            mib(self.rss_before_bytes),
            mib(self.rss_max_bytes),
            self.health_asked,
            self.health_worst
        )
    }
}

/// What became of the requests of a turn.
#[derive(Default)]
struct Tally {
    good: AtomicU64,
    shed: AtomicU64,
    late: AtomicU64,
    failed: AtomicU64,
    took_us: Mutex<Vec<u64>>,
}

impl Tally {
    fn add(&self, answer: std::io::Result<Answered>, took: Duration, plan: &Plan) -> bool {
        let of = match &answer {
            Err(_) => &self.failed,
            Ok(answer) if answer.status == 503 => &self.shed,
            Ok(answer) if is_whole(answer) && took <= plan.timeout => {
                self.took_us.lock().unwrap().push(u64::try_from(took.as_micros()).unwrap());
                &self.good
            }
            Ok(_) => &self.late,
        };
        of.fetch_add(1, Ordering::Relaxed);
        answer.is_ok_and(|answer| answer.stays)
    }

    fn per_s(count: &AtomicU64, took: Duration) -> f64 {
        f64::from(u32::try_from(count.load(Ordering::Relaxed)).unwrap()) / took.as_secs_f64()
    }
}

fn is_whole(answer: &Answered) -> bool {
    answer.status == 200 && String::from_utf8_lossy(&answer.end).contains("\"missing\":0,\"unavailable\":0,")
}

/// Measures what the server can do, and what it does of much more, in turns.
pub(crate) async fn overload(server: &Served, plan: &Plan) -> Seen {
    let (requests, plan) = (Arc::new(requests(plan)), Arc::new(*plan));
    at_capacity(server, &plan, &requests).await;
    let rss_before_bytes = server.memory_bytes("VmRSS");
    let mut rounds = Vec::new();
    let (mut health_asked, mut health_worst) = (0, Duration::ZERO);
    for _ in 0..plan.rounds {
        let best = at_capacity(server, &plan, &requests).await;
        let per_s = best * plan.times;
        let (health, round) =
            tokio::join!(watch_health(server, plan.window), beyond(server, &plan, &requests, per_s));
        health_asked += health.0;
        health_worst = health_worst.max(health.1);
        rounds.push((best, round));
    }
    // What else runs on the machine only takes away: the best of each kind is the truest.
    let best_per_s = rounds.iter().map(|(best, _)| *best).fold(0.0, f64::max);
    let rounds = rounds.into_iter().map(|(_, round)| round);
    let round = rounds.max_by(|one, other| one.goodput_per_s.total_cmp(&other.goodput_per_s)).unwrap();
    Seen {
        best_per_s,
        rss_before_bytes,
        rss_max_bytes: server.memory_bytes("VmHWM"),
        health_asked,
        health_worst,
        ..round
    }
}

/// Batches of users that `load --synthetic 5000` has made.
fn requests(plan: &Plan) -> Vec<Vec<u8>> {
    // Four of them are streaming features, which nobody has written: absent, and answered all the same.
    const FEATURES: [&str; 10] = [
        "country_iso",
        "risk_segment",
        "account_age_days",
        "tx_count_7d",
        "avg_amount_30d",
        "chargeback_count_180d",
        "tx_count_5m",
        "last_login_ts",
        "last_device_id",
        "session_country",
    ];
    let features: Vec<&str> = FEATURES.into_iter().take(plan.features).collect();
    let request = |number: usize| {
        let ids: Vec<String> =
            (0..plan.ids).map(|place| format!("u{:04}", 1 + (number * 977 + place * 7) % 5_000)).collect();
        let body = json!({"ids": ids, "features": features, "timeout_ms": plan.timeout.as_millis()});
        post("/v1/features/batch", &body.to_string())
    };
    (0..REQUESTS).map(request).collect()
}

/// A few callers, each asking again when it has its answer; good answers in a second.
async fn at_capacity(server: &Served, plan: &Arc<Plan>, requests: &Arc<Vec<Vec<u8>>>) -> f64 {
    let tally = Arc::new(Tally::default());
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for first in 0..CALLERS {
        let (tally, plan, requests) = (Arc::clone(&tally), Arc::clone(plan), Arc::clone(requests));
        let mut caller = Caller::connect(&server.address).await.unwrap();
        callers.spawn(async move {
            let mut number = first;
            while begun.elapsed() < plan.window {
                let asked = Instant::now();
                let answer = caller.call(&requests[number % REQUESTS]).await;
                tally.add(answer, asked.elapsed(), &plan);
                number += CALLERS;
            }
        });
    }
    callers.join_all().await;
    Tally::per_s(&tally.good, begun.elapsed())
}

/// So many requests a second, each when it is due.
async fn beyond(server: &Served, plan: &Arc<Plan>, requests: &Arc<Vec<Vec<u8>>>, per_s: f64) -> Seen {
    let tally = Arc::new(Tally::default());
    let idle: Arc<Mutex<Vec<Caller>>> = Arc::default();
    let address: Arc<str> = server.address.as_str().into();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (begun, mut sent, mut under_way) = (Instant::now(), 0_u32, JoinSet::new());
    while begun.elapsed() < plan.window {
        ticks.tick().await;
        while f64::from(sent) < begun.elapsed().as_secs_f64() * per_s {
            let due = begun + Duration::from_secs_f64(f64::from(sent) / per_s);
            let (tally, idle, plan) = (Arc::clone(&tally), Arc::clone(&idle), Arc::clone(plan));
            let (requests, number) = (Arc::clone(requests), sent as usize % REQUESTS);
            let address = Arc::clone(&address);
            under_way.spawn(async move {
                let kept = idle.lock().unwrap().pop();
                let mut caller = match kept {
                    Some(caller) => caller,
                    None => Caller::connect(&address).await.unwrap(),
                };
                let answer = timeout(PATIENCE, caller.call(&requests[number])).await;
                let answer = answer.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
                if tally.add(answer, due.elapsed(), &plan) {
                    idle.lock().unwrap().push(caller);
                }
            });
            sent += 1;
        }
        while under_way.try_join_next().is_some() {}
    }
    // Those that were due in the window count, also where they end after it.
    under_way.join_all().await;
    let took = plan.window;
    let mut took_us = std::mem::take(&mut *tally.took_us.lock().unwrap());
    took_us.sort_unstable();
    let at = |part: usize| {
        took_us.get(took_us.len() * part / 100).copied().map_or(Duration::ZERO, Duration::from_micros)
    };
    Seen {
        offered_per_s: f64::from(sent) / took.as_secs_f64(),
        goodput_per_s: Tally::per_s(&tally.good, took),
        best_per_s: 0.0,
        shed_per_s: Tally::per_s(&tally.shed, took),
        late_per_s: Tally::per_s(&tally.late, took),
        failed: tally.failed.load(Ordering::Relaxed),
        p50: at(50),
        p99: at(99),
        rss_before_bytes: 0,
        rss_max_bytes: 0,
        health_asked: 0,
        health_worst: Duration::ZERO,
    }
}

/// Asks each health route again and again, on new connections as probes do; how often, and the longest wait.
async fn watch_health(server: &Served, window: Duration) -> (u64, Duration) {
    let mut ticks = interval(HEALTH_INTERVAL);
    let (begun, mut asked, mut worst) = (Instant::now(), 0, Duration::ZERO);
    while begun.elapsed() < window {
        ticks.tick().await;
        for path in ["/healthz", "/readyz", "/metrics"] {
            let since = Instant::now();
            let answer = Caller::connect(&server.address).await.unwrap().call(&get(path)).await.unwrap();
            assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.end));
            worst = worst.max(since.elapsed());
            asked += 1;
        }
    }
    (asked, worst)
}
