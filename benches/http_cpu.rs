//! The server's CPU per entity in `POST /v1/features/batch` of 1,000 entities × 10 features, for every format, with and
//! without a schema: the program itself in a process of its own, one caller over one connection.
//!
//! The caller's CPU is not counted. All are measured in turns, so that what disturbs the machine disturbs all. With
//! `--check`, the exit status is 1 where one is beyond its limit. `--against PROGRAM` measures another build of the program
//! beside this one. `--only NAME` leaves the other ways out and says the server's process, for a profiler.

#![allow(clippy::expect_used, clippy::panic, reason = "a bench that can't run says so loudly")]

#[path = "http_cpu/answers.rs"]
mod answers;
mod common;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::cost::median;
use common::served::{Caller, Served, post};
use common::{Bench, FEATURES, FEATURES_READ, PREFIX, Request, requests};
use slotwise::encode::Format;

const ENTITIES: usize = 1_000;
const BATCHES: usize = 20;
const TURNS: usize = 25;
const SEED: u64 = 20_254;
/// CPU per entity at most, in µs.
const JSON_US_MAX: f64 = 2.5;
#[cfg(feature = "arrow")]
const ARROW_US_MAX: f64 = 1.5;

/// The features' types where there is a schema.
const TYPES: [&str; FEATURES_READ] =
    ["string", "string", "int64", "int64", "float64", "int64", "timestamp_ms", "string", "int64", "int64"];

/// One way to be answered, and what it cost.
struct Way {
    name: String,
    format: Format,
    typed: bool,
    server: Rc<Served>,
    bodies: Vec<Vec<u8>>,
    caller: Caller,
    answer_bytes: usize,
    cpu_us: Vec<f64>,
    wall_us: Vec<f64>,
}

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = arguments.iter().any(|argument| argument == "--check");
    let after = |flag: &str| arguments.iter().skip_while(move |argument| *argument != flag).nth(1);
    let only = after("--only");

    // Its stores are for other benches; this one has what they loaded.
    let runtime = tokio::runtime::Runtime::new()?;
    let bench = runtime.block_on(Bench::connect());
    let requests = requests(SEED, BATCHES, ENTITIES);
    runtime.block_on(bench.check(&requests[0]));

    let folder = tempfile::tempdir()?;
    let configs = [false, true].map(|typed| config(folder.path(), &bench.url, typed));
    let ways_of = |program: &str| {
        let mut ways =
            ways(&configs.each_ref().map(|config| Rc::new(Served::start(program, config))), &requests);
        ways.retain(|way| only.is_none_or(|only| way.name == *only));
        ways
    };
    let mut ours = ways_of(env!("CARGO_BIN_EXE_slotwise"));
    let mut others = after("--against").map_or_else(Vec::new, |program| ways_of(program));
    let mut out = io::stdout().lock();
    for way in ours.iter_mut().chain(&mut others) {
        if only.is_some() {
            writeln!(out, "{} is answered by process {}", way.name, way.server.pid())?;
        }
        way.check(&requests);
    }
    for turn in 0..TURNS {
        // Both programs one right after the other, now this one first and now that.
        for index in 0..ours.len() {
            let mut pair: Vec<&mut Way> =
                ours.get_mut(index).into_iter().chain(others.get_mut(index)).collect();
            if turn % 2 == 1 {
                pair.reverse();
            }
            pair.into_iter().for_each(Way::turn);
        }
    }
    let beyond = report(&mut out, &ours)?;
    compare(&mut out, &ours, &others)?;
    Ok(if check && beyond { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The config of a server of the loaded entities, with a schema or without.
fn config(folder: &Path, url: &str, typed: bool) -> PathBuf {
    let mut text = format!("[redis]\nurls = [{url:?}]\n[[entity]]\nname = \"bench\"\nprefix = {PREFIX:?}\n");
    for (number, (name, of)) in FEATURES.iter().zip(TYPES).enumerate().filter(|_| typed) {
        let kind = if number < 6 { "batch" } else { "streaming" };
        let section = format!("[[entity.feature]]\nname = {name:?}\ntype = {of:?}\nkind = {kind:?}\n");
        text.push_str(&section);
    }
    let path = folder.join(if typed { "typed.toml" } else { "untyped.toml" });
    std::fs::write(&path, text).expect("a config that is written");
    path
}

/// Every format, from a server without a schema and from one with it.
fn ways(servers: &[Rc<Served>; 2], requests: &[Request]) -> Vec<Way> {
    let mut ways = Vec::new();
    for format in Format::ALL {
        for (typed, server) in [false, true].into_iter().zip(servers) {
            let body = |request: &Request| post("/v1/features/batch", format.content_type(), &body(request));
            ways.push(Way {
                name: format!("{format}{}", if typed { "-typed" } else { "" }),
                format,
                typed,
                server: Rc::clone(server),
                bodies: requests.iter().map(body).collect(),
                caller: server.caller(),
                answer_bytes: 0,
                cpu_us: Vec::new(),
                wall_us: Vec::new(),
            });
        }
    }
    ways
}

fn body(request: &Request) -> String {
    let quoted = |list: &mut dyn Iterator<Item = &str>| {
        list.map(|text| format!("{text:?}")).collect::<Vec<_>>().join(",")
    };
    let mut body = String::new();
    let ids = quoted(&mut request.ids.iter().map(|id| id.as_str()));
    let features = quoted(&mut FEATURES[..FEATURES_READ].iter().copied());
    write!(body, "{{\"ids\":[{ids}],\"features\":[{features}],\"timeout_ms\":5000}}")
        .expect("a String takes all");
    body
}

impl Way {
    /// Sends all requests once and holds the answers against what was loaded.
    fn check(&mut self, requests: &[Request]) {
        for (request, body) in requests.iter().zip(&self.bodies) {
            let answer = self.caller.call(body);
            answers::check(self.format, self.typed, answer, request);
            self.answer_bytes = answer.len();
        }
    }

    /// Sends all requests, one after the other.
    fn turn(&mut self) {
        let entities = (self.bodies.len() * ENTITIES) as f64;
        let per_entity = |time: Duration| time.as_secs_f64() * 1e6 / entities;
        let (cpu, wall) = (self.server.cpu(), Instant::now());
        for body in &self.bodies {
            self.caller.call(body);
        }
        self.wall_us.push(per_entity(wall.elapsed()));
        self.cpu_us.push(per_entity(self.server.cpu() - cpu));
    }

    fn limit_us(&self) -> Option<f64> {
        match self.format {
            Format::Json => Some(JSON_US_MAX),
            #[cfg(feature = "arrow")]
            Format::Arrow => Some(ARROW_US_MAX),
            Format::Ndjson | Format::Csv => None,
        }
    }
}

/// Writes the table; true where a way is beyond its limit.
fn report(out: &mut impl Write, ways: &[Way]) -> io::Result<bool> {
    writeln!(
        out,
        "POST /v1/features/batch, {ENTITIES} entities × {FEATURES_READ} features, medians of {TURNS} turns\n{:<22} \
         {:>10} {:>8} {:>12} {:>12}",
        "per entity", "server µs", "limit", "wall µs", "answer bytes"
    )?;
    let mut beyond = false;
    for way in ways {
        let [cpu, wall] = [&way.cpu_us, &way.wall_us].map(|times| median(times.iter().copied()));
        let limit = way.limit_us().map_or_else(String::new, |limit| format!("{limit:.1}"));
        let bytes = way.answer_bytes as f64 / ENTITIES as f64;
        writeln!(out, "{:<22} {cpu:>10.2} {limit:>8} {wall:>12.2} {bytes:>12.0}", way.name)?;
        beyond |= way.limit_us().is_some_and(|limit| cpu.is_nan() || cpu > limit);
    }
    Ok(beyond)
}

/// Writes what each way costs in both programs.
fn compare(out: &mut impl Write, ours: &[Way], others: &[Way]) -> io::Result<()> {
    for (way, other) in ours.iter().zip(others) {
        let ratio = median(way.cpu_us.iter().zip(&other.cpu_us).map(|(way, other)| way / other));
        let cpu = [way, other].map(|way| median(way.cpu_us.iter().copied()));
        let name = &way.name;
        writeln!(
            out,
            "{name:<22} {:>6.2} µs, the other program {:>6.2} µs: {ratio:.3} of it",
            cpu[0], cpu[1]
        )?;
    }
    Ok(())
}
