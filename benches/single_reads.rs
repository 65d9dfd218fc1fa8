//! Single reads by 64 callers at once: the store over lanes, the store over the cluster connection, and the same
//! `HMGET` through the client crate's `ClusterConnection`. CPU per read, reads per second, and the time that a read
//! takes. Measured in turns in one process; with `--check`, the exit status is 1 where a ratio is beyond its limit.

#![expect(clippy::expect_used, reason = "a bench that can't run says so loudly")]

mod common;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::cost::{Begun, Cost, median};
use common::{Bench, Request, requests};

const CALLERS: usize = 64;
const READS_PER_CALLER: usize = 150;
const TURNS: usize = 15;
const SEED: u64 = 20_253;

/// Lanes against `ClusterConnection`: CPU at most. The target is 0.4, with 1.8 times the reads per second and no longer
/// a p99; what is reached stands in docs/BENCHMARKS.md.
const CPU_RATIO_MAX: f64 = 0.75;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Lanes,
    Cluster,
    Naive,
}

const WAYS: [(Way, &str); 3] = [
    (Way::Lanes, "store over lanes"),
    (Way::Cluster, "store over cluster"),
    (Way::Naive, "ClusterConnection"),
];

/// One turn: what a read cost, and the time that half of them and 99 % of them took at most.
struct Turn {
    cost: Cost,
    p50_us: f64,
    p99_us: f64,
}

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    tokio::spawn(measure()).await.map_err(io::Error::other)?
}

async fn measure() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let only_lanes = has("--only-lanes");
    let metrics = slotwise::metrics::install().expect("the only recorder of this process");
    let bench = Arc::new(Bench::connect().await);
    let callers: Vec<Arc<[Request]>> =
        (0..CALLERS as u64).map(|caller| requests(SEED + caller, READS_PER_CALLER, 1).into()).collect();
    for request in callers.iter().filter_map(|requests| requests.first()) {
        bench.check(request).await;
    }
    let ways = || WAYS.iter().filter(|(way, _)| !only_lanes || *way == Way::Lanes);
    let mut turns: Vec<Vec<Turn>> = ways().map(|_| Vec::new()).collect();
    for _ in 0..TURNS {
        for ((way, _), turns) in ways().zip(&mut turns) {
            turns.push(turn(*way, &bench, &callers).await);
        }
        metrics.upkeep();
    }
    let mut out = io::stdout().lock();
    writeln!(out, "single reads × 10 features, {CALLERS} callers at once, medians of {TURNS} turns")?;
    writeln!(out, "{:<22} {:>8} {:>10} {:>10} {:>10}", "per read", "CPU µs", "reads/s", "p50 µs", "p99 µs")?;
    for ((_, name), turns) in ways().zip(&turns) {
        let cpu = median(turns.iter().map(|turn| turn.cost.cpu_us()));
        let rate = 1e6 / median(turns.iter().map(|turn| turn.cost.wall_us));
        let [p50, p99] =
            [median(turns.iter().map(|turn| turn.p50_us)), median(turns.iter().map(|turn| turn.p99_us))];
        writeln!(out, "{name:<22} {cpu:>8.2} {rate:>10.0} {p50:>10.0} {p99:>10.0}")?;
    }
    if only_lanes {
        return Ok(ExitCode::SUCCESS);
    }
    let ratio =
        |figure: fn(&Turn) -> f64| median(turns[0].iter().zip(&turns[2]).map(|(a, b)| figure(a) / figure(b)));
    let (cpu, p99) = (ratio(|turn| turn.cost.cpu_us()), ratio(|turn| turn.p99_us));
    let rate = ratio(|turn| 1.0 / turn.cost.wall_us);
    writeln!(
        out,
        "lanes / ClusterConnection: CPU {cpu:.3} (at most {CPU_RATIO_MAX}), reads per second {rate:.2}, p99 {p99:.2}"
    )?;
    let kept = cpu <= CPU_RATIO_MAX;
    Ok(if has("--check") && !kept { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// All callers read, each one request after the other.
async fn turn(way: Way, bench: &Arc<Bench>, callers: &[Arc<[Request]>]) -> Turn {
    let begun = Begun::now();
    let reading: Vec<_> = callers
        .iter()
        .map(|requests| {
            let (bench, requests) = (Arc::clone(bench), Arc::clone(requests));
            tokio::spawn(async move {
                let mut took = Vec::with_capacity(requests.len());
                for request in &*requests {
                    let asked = Instant::now();
                    match way {
                        Way::Lanes => drop(bench.ours(&bench.lanes, request).await),
                        Way::Cluster => drop(bench.ours(&bench.cluster, request).await),
                        Way::Naive => drop(bench.naive(request).await),
                    }
                    took.push(asked.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took: Vec<Duration> = Vec::new();
    for reading in reading {
        took.extend(reading.await.expect("a caller that ends"));
    }
    let cost = Cost::since(&begun, took.len());
    took.sort_unstable();
    let at = |percent: usize| took[took.len() * percent / 100].as_secs_f64() * 1e6;
    Turn { cost, p50_us: at(50), p99_us: at(99) }
}
