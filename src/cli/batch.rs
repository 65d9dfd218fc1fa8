//! `slotwise batch`: features of many entities, in input order, in the memory of a few windows.

use std::fs::File;
use std::io::{BufWriter, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use anyhow::{Context, bail};
use clap::builder::RangedU64ValueParser;
use clap::{ArgGroup, Args};
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::encode::Format;
use crate::ingest::{IdsError, IdsFormat, IdsReader};
use crate::model::{BatchSummary, EntityId, FeatureBatch, FeatureType, Projection, UnavailableReason};
use crate::slot::PlanError;
use crate::store::{FeatureStore, RequestError};

use super::common::{
    Common, UsageError, end_line, feature_names, projection, refuse_binary_on_terminal, same_file,
    wrong_request,
};
use super::progress::{self, Unit, per_second};

const EXAMPLES: &str = "\
Examples:
  slotwise batch --ids ids.txt --features risk_segment,tx_count_7d > features.ndjson
  slotwise batch --ids - --features country_iso --format csv --output features.csv < ids.txt
  slotwise batch --ids ids.txt --features tx_count_7d --format arrow --output features.arrows
  slotwise batch --ids ids.json --ids-format json --feature 'a,b' --feature c
  slotwise batch --config slotwise.toml --ids ids.txt --feature-set fraud_v3 --defaults

One row per id, in the order given; status is found, partial, missing or unavailable. A line that is no id (blank, too \
long, not UTF-8) ends the run and is named. Exit status 3 where a row is \
unavailable or a value is not of its type; the closing lines count both. An output file gets its name when it is complete; until then it is called FILE.partial.";

/// Windows that are read from Redis while an earlier one is written out.
const WINDOWS_IN_FLIGHT: usize = 2;
/// Windows of ids that are read ahead.
const WINDOWS_READ_AHEAD: usize = 2;
/// Deadline of one window where none is given: long enough to outlast a failover.
const WINDOW_TIMEOUT: Duration = Duration::from_secs(10);
/// Ids of one window where nothing is said.
const WINDOW_IDS: usize = 10_000;
/// Different reasons that are told apart in the closing lines.
const REASONS_SHOWN_MAX: usize = 8;
const OUTPUT_BUFFER_BYTES: usize = 1 << 18;

/// Arguments of `slotwise batch`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("asked").required(true).multiple(true)
    .args(["features", "feature", "feature_set"]))]
pub(super) struct BatchArgs {
    /// The ids, one a line; - is standard input
    #[arg(long, value_name = "FILE")]
    ids: PathBuf,
    /// How ids are written: lines, or json (one JSON string a line, for ids with line breaks)
    #[arg(long, default_value_t = IdsFormat::Lines)]
    ids_format: IdsFormat,
    /// Features, separated by commas
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    features: Vec<String>,
    /// One more feature, taken as it is; may be repeated
    #[arg(long, value_name = "NAME")]
    feature: Vec<String>,
    /// A set of features that the config names, in the place of --features
    #[arg(long, value_name = "NAME", conflicts_with_all = ["features", "feature"])]
    feature_set: Option<String>,
    /// Put the schema's defaults in the place of absent values
    #[arg(long)]
    defaults: bool,
    /// Output format: ndjson, csv, json or arrow (an Arrow IPC stream, binary)
    #[arg(long, default_value_t = Format::Ndjson)]
    format: Format,
    /// Where the rows go; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Ids that are read together [default: 10000, or what the config's limits allow]
    #[arg(long, value_name = "IDS", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    batch_size: Option<usize>,
    /// Deadline of each such read, in milliseconds [default: 10000, or the config's longest]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout_ms: Option<u64>,
}

/// Runs the command.
pub(super) async fn run(common: &Common, args: BatchArgs) -> anyhow::Result<ExitCode> {
    let texts = args.features.iter().chain(&args.feature).map(String::as_str);
    let features = feature_names(texts)?;
    if args.output.as_os_str() == "-" {
        refuse_binary_on_terminal(args.format)?;
    }
    // What can be wrong about files shows before anything is connected.
    let ids = IdsReader::open(&args.ids, args.ids_format)?;
    let input_bytes = std::fs::metadata(&args.ids).ok().filter(|file| file.is_file()).map(|file| file.len());
    let store = common.store().await?;
    let projection = projection(&store, args.feature_set.as_deref(), features, args.defaults)?;
    let batch_size = batch_size(&store, &args, projection.len())?;
    let timeout = args.timeout_ms.map(Duration::from_millis);
    let timeout = timeout.unwrap_or_else(|| WINDOW_TIMEOUT.min(store.limits().request_timeout_max));
    // A read of nothing says what is wrong with all of them, before there is an output file.
    store.batch_get_projection([], Arc::clone(&projection), Some(timeout)).await.map_err(wrong_request)?;
    let mut output = Output::create(&args.output, &args.ids)?;

    let bar = progress::bar(input_bytes, if input_bytes.is_some() { Unit::Bytes } else { Unit::Rows });
    let started = Instant::now();
    let mut summary = BatchSummary::default();
    let mut reasons = Reasons::default();
    let mut unparsable = vec![0; projection.len()];
    let mut encoder = args.format.encoder(&projection)?;
    let mut encoded = Vec::new();
    encoder.begin(&mut encoded);
    let (windows, reader) = read_ahead(ids, batch_size);
    let source = args.ids.to_string_lossy();
    let reads = windows.map(|window| read(&store, Arc::clone(&projection), timeout, window, &source));
    let mut answers = reads.buffered(WINDOWS_IN_FLIGHT);
    while let Some(answer) = answers.next().await {
        let (batch, bytes_read) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                output.write(&mut encoded)?;
                output.keep_partial()?;
                let rows = summary.rows();
                return Err(error.context(format!("stopped after {rows} rows")));
            }
        };
        summary.add(batch.summary());
        reasons.add(&batch);
        batch.count_unparsable(&mut unparsable);
        encoder.batch(&mut encoded, &batch)?;
        output.write(&mut encoded)?;
        bar.set_position(if input_bytes.is_some() { bytes_read } else { summary.rows() as u64 });
    }
    // A reader that broke down looks like the end of the list.
    reader.await.context("the list of ids was not read to its end")?;
    encoder.end(&mut encoded, started.elapsed())?;
    end_line(args.format, &mut encoded);
    output.write(&mut encoded)?;
    output.complete()?;
    bar.finish_and_clear();
    closing_line(&summary, started.elapsed())?;
    reasons.write()?;
    write_unparsable(&projection, &unparsable)?;
    let whole = summary.unavailable == 0 && unparsable.iter().all(|values| *values == 0);
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(super::DONE_IN_PART) })
}

/// Ids of one window: what is asked for, within the limits of a batch, or as many as fit.
fn batch_size(store: &FeatureStore, args: &BatchArgs, features: usize) -> anyhow::Result<usize> {
    let limits = store.limits();
    let fit = (limits.batch_cells_max / features.max(1)).max(1);
    let wrong = |problem: String| Err(UsageError(format!("--batch-size: {problem}")).into());
    match args.batch_size {
        None => Ok(WINDOW_IDS.min(limits.batch_ids_max).min(fit)),
        Some(asked) if asked > limits.batch_ids_max => {
            wrong(format!("{asked} is more than the limit of {}", limits.batch_ids_max))
        }
        Some(asked) if asked > fit => wrong(format!("with {features} features at most {fit} fit")),
        Some(asked) => Ok(asked),
    }
}

/// Ids that are read together.
struct Window {
    ids: Vec<EntityId>,
    /// The line of the first of them, counted from 1.
    first_line: usize,
    /// Bytes of the list that were read up to here.
    bytes_read: u64,
}

/// Reads windows of ids on a thread of its own, a few ahead.
fn read_ahead(
    mut ids: IdsReader,
    batch_size: usize,
) -> (impl stream::Stream<Item = Result<Window, IdsError>>, JoinHandle<()>) {
    let (send, mut receive) = mpsc::channel(WINDOWS_READ_AHEAD);
    let reader = tokio::task::spawn_blocking(move || {
        let mut first_line = 1;
        while let Some(window) = ids.next_window(batch_size).transpose() {
            let failed = window.is_err();
            let window = window.map(|window| {
                let read = window.len();
                let window = Window { ids: window, first_line, bytes_read: ids.bytes_read() };
                first_line += read;
                window
            });
            // Nobody listens any more: the command is over.
            if send.blocking_send(window).is_err() || failed {
                return;
            }
        }
    });
    (stream::poll_fn(move |context| receive.poll_recv(context)), reader)
}

async fn read(
    store: &FeatureStore,
    projection: Arc<Projection>,
    timeout: Duration,
    window: Result<Window, IdsError>,
    source: &str,
) -> anyhow::Result<(FeatureBatch, u64)> {
    let Window { ids, first_line, bytes_read } = window?;
    match store.batch_get_projection(ids, projection, Some(timeout)).await {
        Ok(batch) => Ok((batch, bytes_read)),
        // One id a line: its place in the window gives its line.
        Err(RequestError::Plan(PlanError::Key { index, error })) => {
            bail!("{source}:{}: {error}", first_line + index)
        }
        Err(error) => Err(wrong_request(error)),
    }
}

fn closing_line(summary: &BatchSummary, elapsed: Duration) -> std::io::Result<()> {
    writeln!(
        stderr(),
        "{} rows: {} found, {} partial, {} missing, {} unavailable; {} shards, {:.2} s, {:.0} rows/s",
        summary.rows(),
        summary.found,
        summary.partial,
        summary.missing,
        summary.unavailable,
        summary.shards,
        elapsed.as_secs_f64(),
        per_second(summary.rows() as u64, elapsed)
    )?;
    match summary.stale_possible {
        0 => Ok(()),
        rows => {
            writeln!(stderr(), "{rows} rows came from replicas and may be older than what the primaries have")
        }
    }
}

/// Says of each feature how many values are not of its type, where there are any.
fn write_unparsable(projection: &Projection, counts: &[u64]) -> std::io::Result<()> {
    for (column, values) in projection.columns().iter().zip(counts).filter(|(_, values)| **values > 0) {
        let feature_type = column.feature_type.map_or("", FeatureType::as_str);
        writeln!(stderr(), "unparsable: {values} values of {:?} are no {feature_type}", column.name)?;
    }
    Ok(())
}

/// Why rows were unavailable, for those whose format has no place for it.
#[derive(Default)]
struct Reasons {
    rows: AHashMap<UnavailableReason, usize>,
    others: usize,
}

impl Reasons {
    fn add(&mut self, batch: &FeatureBatch) {
        if batch.summary().unavailable == 0 {
            return;
        }
        for reason in batch.rows().filter_map(|row| row.reason) {
            let known = self.rows.contains_key(reason) || self.rows.len() < REASONS_SHOWN_MAX;
            let count = if known { self.rows.entry(reason.clone()).or_default() } else { &mut self.others };
            *count += 1;
        }
    }

    fn write(&self) -> std::io::Result<()> {
        for (reason, rows) in &self.rows {
            writeln!(stderr(), "unavailable: {rows} rows: {reason}")?;
        }
        if self.others > 0 {
            writeln!(stderr(), "unavailable: {} rows for other reasons", self.others)?;
        }
        Ok(())
    }
}

/// Standard output, a file that gets its name when it is complete, or a device or pipe, which has its name already.
struct Output {
    writer: BufWriter<Box<dyn Write + Send>>,
    file: Option<(PathBuf, PathBuf)>,
}

impl Output {
    fn create(path: &Path, ids: &Path) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self {
                writer: BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, Box::new(stdout())),
                file: None,
            });
        }
        if path.is_dir() {
            return Err(UsageError(format!("--output: {} is a folder", path.display())).into());
        }
        let cannot_write = |path: &Path| format!("--output: can't write {}", path.display());
        if path.exists() && !path.is_file() {
            let device = File::options().write(true).open(path).with_context(|| cannot_write(path))?;
            let writer =
                BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, Box::new(device) as Box<dyn Write + Send>);
            return Ok(Self { writer, file: None });
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        for output in [path, &partial] {
            if same_file(output, ids) {
                return Err(UsageError(format!("--output: {} is the list of ids", output.display())).into());
            }
        }
        let file = File::create(&partial).with_context(|| cannot_write(&partial))?;
        let writer = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, Box::new(file) as Box<dyn Write + Send>);
        Ok(Self { writer, file: Some((partial, path.to_owned())) })
    }

    fn write(&mut self, encoded: &mut Vec<u8>) -> anyhow::Result<()> {
        self.writer.write_all(encoded).context("can't write the output")?;
        encoded.clear();
        Ok(())
    }

    fn keep_partial(&mut self) -> anyhow::Result<()> {
        self.writer.flush().context("can't write the output")
    }

    fn complete(mut self) -> anyhow::Result<()> {
        self.writer.flush().context("can't write the output")?;
        match &self.file {
            None => Ok(()),
            Some((partial, path)) => std::fs::rename(partial, path)
                .with_context(|| format!("--output: can't write {}", path.display())),
        }
    }
}
