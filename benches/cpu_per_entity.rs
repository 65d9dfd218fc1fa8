//! The client's CPU per entity, in batches of 1,000 and of 100 entities × 10 features: bare sockets, the store over
//! lanes, the store over the cluster connection, and one request per entity.
//!
//! All are measured in one process, in turns, so that what disturbs the machine disturbs all. With `--check`, the exit
//! status is 1 where a ratio is beyond its limit. `--only-lanes` leaves the others out, for a profiler. Metrics are
//! recorded as in the server.

#![expect(clippy::expect_used, reason = "a bench that can't run says so loudly")]

mod common;

use common::cost::{Begun, Cost, median};
use common::floor::Floor;
use common::{Bench, FEATURES_READ, Request, requests};
use std::io::{self, Write};
use std::process::ExitCode;

/// Entities of a batch, and batches of a turn.
const SHAPES: [(usize, usize); 2] = [(1_000, 40), (100, 200)];
const TURNS: usize = 31;
const SEED: u64 = 20_252;

/// What the CPU of one way is at most of that of another, for batches of so many entities.
const LIMITS: [(usize, Way, Way, f64); 3] = [
    // The target is 1.5; a busy machine puts the two further apart.
    (1_000, Way::Lanes, Way::Floor, 1.8),
    (1_000, Way::Lanes, Way::Cluster, 0.35),
    (1_000, Way::Lanes, Way::Naive, 0.30),
];

/// A way to read a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Floor,
    Lanes,
    Cluster,
    Naive,
}

impl Way {
    const ALL: [Self; 4] = [Self::Floor, Self::Lanes, Self::Cluster, Self::Naive];

    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor: bare sockets",
            Self::Lanes => "store over lanes",
            Self::Cluster => "store over cluster",
            Self::Naive => "request per entity",
        }
    }
}

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    // As a server's handlers do, on a worker of the runtime.
    tokio::spawn(measure()).await.map_err(io::Error::other)?
}

async fn measure() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = arguments.iter().any(|argument| argument == "--check");
    let only_lanes = !check && arguments.iter().any(|argument| argument == "--only-lanes");
    let ways = if only_lanes { &[Way::Lanes][..] } else { &Way::ALL };

    let metrics = slotwise::metrics::install().expect("the only recorder of this process");
    let bench = Bench::connect().await;
    let mut floor = bench.floor();
    let mut failed = false;
    for (entities, batches) in SHAPES {
        let requests = requests(SEED, batches, entities);
        for request in &requests {
            bench.check(request).await;
        }
        let mut costs: Vec<(Way, Vec<Cost>)> = ways.iter().map(|way| (*way, Vec::new())).collect();
        for _ in 0..TURNS {
            for (way, costs) in &mut costs {
                costs.push(turn(*way, &bench, &mut floor, &requests).await);
            }
            metrics.upkeep();
        }
        failed |= report(&mut io::stdout().lock(), entities, &costs)?;
    }
    Ok(if check && failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs all requests, one after the other.
async fn turn(way: Way, bench: &Bench, floor: &mut Floor, requests: &[Request]) -> Cost {
    let begun = Begun::now();
    for request in requests {
        match way {
            Way::Floor => floor.read(&request.ids),
            Way::Lanes => drop(bench.ours(&bench.lanes, request).await),
            Way::Cluster => drop(bench.ours(&bench.cluster, request).await),
            Way::Naive => drop(bench.naive(request).await),
        }
    }
    let entities: usize = requests.iter().map(|request| request.ids.len()).sum();
    Cost::since(&begun, entities)
}

/// Writes the table of one shape, and its ratios; true where one is beyond its limit.
fn report(out: &mut impl Write, entities: usize, costs: &[(Way, Vec<Cost>)]) -> io::Result<bool> {
    writeln!(out, "batches of {entities} entities × {FEATURES_READ} features, medians of {TURNS} turns")?;
    writeln!(
        out,
        "{:<22} {:>8} {:>8} {:>8} {:>12} {:>12}",
        "per entity, in µs", "CPU", "user", "system", "wall clock", "entities/s"
    )?;
    for (way, costs) in costs {
        let columns: [fn(&Cost) -> f64; 4] =
            [Cost::cpu_us, |cost| cost.user_us, |cost| cost.system_us, |cost| cost.wall_us];
        let [cpu, user, system, wall] = columns.map(|column| median(costs.iter().map(column)));
        let name = way.name();
        writeln!(out, "{name:<22} {cpu:>8.2} {user:>8.2} {system:>8.2} {wall:>12.2} {:>12.0}", 1e6 / wall)?;
    }
    let mut beyond = false;
    let of = |way| costs.iter().find(|(other, _)| *other == way).map(|(_, costs)| costs);
    for (_, way, other, limit) in LIMITS.into_iter().filter(|(shape, ..)| *shape == entities) {
        let (Some(costs), Some(others)) = (of(way), of(other)) else { continue };
        let turns = || costs.iter().zip(others);
        let ratio = median(turns().map(|(cost, other)| cost.cpu_us() / other.cpu_us()));
        let rate = median(turns().map(|(cost, other)| other.wall_us / cost.wall_us));
        writeln!(
            out,
            "{} / {}: CPU {ratio:.3} (at most {limit:.2}), entities per second {rate:.2}",
            way.name(),
            other.name()
        )?;
        beyond |= ratio.is_nan() || ratio > limit;
    }
    writeln!(out)?;
    Ok(beyond)
}
