//! The client's CPU per entity, reads of 1,000 entities × 10 features: one request per entity against the store.
//!
//! Both are measured in one process, in turns, so that what disturbs the machine disturbs both. With `--check`, the
//! exit status is 1 where the store needs more than [`RATIO_MAX`] of the other's CPU. `--only-ours` leaves the other
//! out, for a profiler. Metrics are recorded as in the server.

#![expect(clippy::expect_used, reason = "a bench that can't run says so loudly")]

mod common;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use common::{Bench, FEATURES_READ, Request, requests};

/// The store's share of the CPU that one request per entity needs, at most.
const RATIO_MAX: f64 = 0.30;
const BATCH_ENTITIES: usize = 1_000;
const BATCHES_PER_TURN: usize = 40;
const TURNS: usize = 31;
const SEED: u64 = 20_252;

/// What a turn cost, per entity.
#[derive(Clone, Copy)]
struct Cost {
    user_us: f64,
    system_us: f64,
    wall_us: f64,
}

impl Cost {
    fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }
}

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = arguments.iter().any(|argument| argument == "--check");
    let only_ours = !check && arguments.iter().any(|argument| argument == "--only-ours");

    let metrics = slotwise::metrics::install().expect("the only recorder of this process");
    let bench = Bench::connect().await;
    let requests = requests(SEED, BATCHES_PER_TURN, BATCH_ENTITIES);
    for request in &requests {
        bench.check(request).await;
    }
    let (mut naive, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        if !only_ours {
            naive.push(turn(&requests, async |request| drop(bench.naive(request).await)).await);
        }
        ours.push(turn(&requests, async |request| drop(bench.ours(request).await)).await);
        metrics.upkeep();
    }

    let mut out = io::stdout().lock();
    writeln!(
        out,
        "batches of {BATCH_ENTITIES} entities × {FEATURES_READ} features, medians of {TURNS} turns"
    )?;
    writeln!(
        out,
        "{:<22} {:>8} {:>8} {:>8} {:>12}",
        "per entity, in µs", "CPU", "user", "system", "wall clock"
    )?;
    report(&mut out, "feature store", &ours)?;
    if only_ours {
        return Ok(ExitCode::SUCCESS);
    }
    report(&mut out, "request per entity", &naive)?;
    let turns = ours.iter().zip(&naive);
    let ratio = median(turns.map(|(ours, naive)| ours.cpu_us() / naive.cpu_us()));
    writeln!(out, "CPU, store / request per entity: {ratio:.3} (at most {RATIO_MAX:.2})")?;
    let failed = check && (ratio.is_nan() || ratio > RATIO_MAX);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs all requests, one after the other.
async fn turn(requests: &[Request], read: impl AsyncFn(&Request)) -> Cost {
    let (cpu, wall) = (cpu_times(), Instant::now());
    for request in requests {
        read(request).await;
    }
    let entities: usize = requests.iter().map(|request| request.ids.len()).sum();
    let per_entity = |time: Duration| time.as_secs_f64() * 1e6 / entities as f64;
    let (wall, now) = (wall.elapsed(), cpu_times());
    Cost {
        user_us: per_entity(now.0 - cpu.0),
        system_us: per_entity(now.1 - cpu.1),
        wall_us: per_entity(wall),
    }
}

/// The CPU time of this process so far, in user and in system mode.
fn cpu_times() -> (Duration, Duration) {
    let duration = |time: TimeVal| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
        Duration::from_secs(seconds)
            + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or_default())
    };
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("every process has a usage");
    (duration(usage.user_time()), duration(usage.system_time()))
}

fn report(out: &mut impl Write, name: &str, costs: &[Cost]) -> io::Result<()> {
    let columns: [fn(&Cost) -> f64; 4] =
        [Cost::cpu_us, |cost| cost.user_us, |cost| cost.system_us, |cost| cost.wall_us];
    let [cpu, user, system, wall] = columns.map(|column| median(costs.iter().map(column)));
    writeln!(out, "{name:<22} {cpu:>8.2} {user:>8.2} {system:>8.2} {wall:>12.2}")
}

/// The middle value; not a number where there is none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
