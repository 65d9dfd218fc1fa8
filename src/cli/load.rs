//! `slotwise load`: rows from files or synthetic users, every one reported as written or rejected.

use std::fs::File;
use std::io::{BufWriter, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use futures::stream::{self, Stream, StreamExt};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::ingest::{
    OpenedSource, Rejected, RowFormat, SYNTHETIC_SEED, SourceError, SourceItem, SyntheticSource, to_ndjson,
};
use crate::model::FeatureRow;
use crate::model::limits::{LOAD_ROWS_PER_BATCH, TTL_SECONDS_MAX};
use crate::store::LoadOptions;

use super::common::{Common, UsageError, same_file, wrong_request};
use super::progress::{self, Unit, per_second};
use super::signals::Interrupted;

const EXAMPLES: &str = "\
Examples:
  slotwise load --synthetic 100000                     made-up users u0001, u0002, …
  slotwise load users.csv --ttl-seconds 172800         a column called id, every other column a feature
  slotwise load a.ndjson b.ndjson --rejects bad.ndjson
  zcat users.ndjson.gz | slotwise load - --format ndjson
  slotwise load users.csv --wait-replicas 1            survives the loss of any one node

NDJSON rows: {\"id\":\"u0001\",\"features\":{\"risk_segment\":\"low\",\"tx_count_7d\":14}}
An empty cell of a CSV file leaves the feature out. Exit status 3 where a row was rejected; the others are written. \
A rejects file holds one JSON object a row: source, line, error, and the row to mend and load again.";

/// Rejected rows that are shown where no rejects file is asked for.
const REJECTS_SHOWN_MAX: u64 = 10;

/// Arguments of `slotwise load`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("source").required(true).args(["synthetic", "files"]))]
pub(super) struct LoadArgs {
    /// Make up this many users
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    synthetic: Option<u64>,
    /// Files with rows (.csv, .ndjson, .jsonl); - is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Seed of the made-up users [default: 42]
    #[arg(long, conflicts_with = "files")]
    seed: Option<u64>,
    /// Format of the files, where their names do not say it: csv or ndjson
    #[arg(long)]
    format: Option<RowFormat>,
    /// Key TTL in seconds [default: 86400, or the config's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=TTL_SECONDS_MAX))]
    ttl_seconds: Option<u64>,
    /// Count a row as written once this many replicas have confirmed it
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    wait_replicas: u8,
    /// Where rejected rows go; - is standard output
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(common: &Common, args: LoadArgs) -> anyhow::Result<ExitCode> {
    let sources = open_sources(&args)?;
    keep_sources(&args)?;
    let store = common.store().await?;
    let rejects = Arc::new(Mutex::new(Rejects::create(args.rejects.as_deref())?));
    let bytes_total = sources.iter().map(|source| source.bytes_total).sum::<Option<u64>>();
    let bar = match (args.synthetic, bytes_total) {
        (Some(count), _) => progress::bar(Some(count), Unit::Rows),
        (None, Some(bytes)) => progress::bar(Some(bytes), Unit::Bytes),
        (None, None) => progress::bar(None, Unit::Rows),
    };
    let by_bytes = args.synthetic.is_none() && bytes_total.is_some();
    let started = Instant::now();

    let mut failed: Option<SourceError> = None;
    let mut was_interrupted = false;
    let mut signals = Interrupted::listen()?;
    let (items, reader) = read_ahead(sources);
    let items = items.take_until(async {
        signals.wait().await;
        was_interrupted = true;
    });
    let rows = items.filter_map(|item| {
        std::future::ready(match item {
            Item::Row(row) => Some(row),
            Item::Rejected(reject) => {
                bar.suspend(|| lock(&rejects).add(&reject));
                None
            }
            Item::Failed(error) => {
                failed = Some(error);
                None
            }
        })
    });
    let options = LoadOptions { ttl_seconds: args.ttl_seconds, wait_replicas: args.wait_replicas };
    let report = store.bulk_load(rows, options, |row: SourceRow, result| {
        if let Err(error) = result {
            bar.suspend(|| lock(&rejects).add(&row.rejected(&error.to_string())));
        }
        bar.set_position(if by_bytes { row.bytes_read } else { bar.position() + 1 });
    });
    let report = Box::pin(report).await.map_err(wrong_request)?;
    bar.finish_and_clear();

    let elapsed = started.elapsed();
    let (rejected, rate) = (lock(&rejects).finish()?, per_second(report.written, elapsed));
    writeln!(
        stderr(),
        "{} rows written, {rejected} rejected, in {:.2} s, {rate:.0} rows/s",
        report.written,
        elapsed.as_secs_f64()
    )?;
    if let Some(error) = failed {
        return Err(error).context("the rows before it are loaded; those after it are not");
    }
    if was_interrupted {
        bail!("interrupted; the rows counted above are loaded, the rest is not");
    }
    // A reader that broke down looks like the end of the rows.
    reader.await.context("the rows were not read to their end; those counted above are loaded")?;
    Ok(if rejected > 0 { ExitCode::from(super::DONE_IN_PART) } else { ExitCode::SUCCESS })
}

/// Opens every source before anything is written, so that a name with a typo loads nothing.
fn open_sources(args: &LoadArgs) -> anyhow::Result<Vec<OpenedSource>> {
    if let Some(count) = args.synthetic {
        return Ok(vec![OpenedSource {
            rows: Box::new(SyntheticSource::new(count, args.seed.unwrap_or(SYNTHETIC_SEED))),
            bytes_total: None,
        }]);
    }
    let open = |path: &PathBuf| match OpenedSource::open(path, args.format) {
        Ok(source) => Ok(source),
        Err(error @ SourceError::Format { .. }) => Err(UsageError(format!("{error} with --format")).into()),
        Err(error) => Err(error.into()),
    };
    args.files.iter().map(open).collect()
}

/// A rejects file is emptied first; one of the sources must not be.
fn keep_sources(args: &LoadArgs) -> anyhow::Result<()> {
    let Some(rejects) = &args.rejects else { return Ok(()) };
    if args.files.iter().any(|file| same_file(file, rejects)) {
        let problem = format!("--rejects: {} is one of the files to load", rejects.display());
        return Err(UsageError(problem).into());
    }
    Ok(())
}

/// A row, and where it came from.
struct SourceRow {
    source: Arc<str>,
    line: u64,
    /// Bytes of all sources that were read up to here.
    bytes_read: u64,
    row: FeatureRow,
}

impl AsRef<FeatureRow> for SourceRow {
    fn as_ref(&self) -> &FeatureRow {
        &self.row
    }
}

impl SourceRow {
    fn rejected(&self, error: &str) -> Rejected {
        let raw = Some(to_ndjson(&self.row));
        Rejected { source: Arc::clone(&self.source), line: self.line, error: error.to_owned(), raw }
    }
}

enum Item {
    Row(SourceRow),
    Rejected(Rejected),
    Failed(SourceError),
}

/// Reads all sources on a thread of its own, a bounded number of rows ahead. A source that fails is the last.
fn read_ahead(sources: Vec<OpenedSource>) -> (impl Stream<Item = Item>, JoinHandle<()>) {
    let (send, mut receive) = mpsc::channel(LOAD_ROWS_PER_BATCH);
    let reader = tokio::task::spawn_blocking(move || {
        let mut bytes_before = 0;
        for mut source in sources {
            let name = Arc::clone(source.rows.name());
            while let Some(item) = source.rows.next() {
                let bytes_read = bytes_before + source.rows.bytes_read();
                let (item, last) = match item {
                    Ok(SourceItem::Row { line, row }) => {
                        (Item::Row(SourceRow { source: Arc::clone(&name), line, bytes_read, row }), false)
                    }
                    Ok(SourceItem::Rejected(reject)) => (Item::Rejected(reject), false),
                    Err(error) => (Item::Failed(error), true),
                };
                // Nobody listens any more: the load was interrupted.
                if send.blocking_send(item).is_err() || last {
                    return;
                }
            }
            bytes_before += source.rows.bytes_read();
        }
    });
    (stream::poll_fn(move |context| receive.poll_recv(context)), reader)
}

/// Where rejected rows go: a file, or the first few to standard error.
struct Rejects {
    file: Option<(PathBuf, BufWriter<Box<dyn Write + Send>>)>,
    count: u64,
    error: Option<std::io::Error>,
}

impl Rejects {
    fn create(path: Option<&Path>) -> anyhow::Result<Self> {
        let create = |path: &Path| {
            let file: Box<dyn Write + Send> = if path.as_os_str() == "-" {
                Box::new(stdout())
            } else {
                let file = File::create(path);
                Box::new(file.with_context(|| format!("--rejects: can't write {}", path.display()))?)
            };
            anyhow::Ok((path.to_owned(), BufWriter::new(file)))
        };
        Ok(Self { file: path.map(create).transpose()?, count: 0, error: None })
    }

    fn add(&mut self, reject: &Rejected) {
        self.count += 1;
        let written = match &mut self.file {
            Some((_, file)) => {
                let Rejected { source, line, error, raw } = reject;
                writeln!(file, "{}", json!({ "source": **source, "line": line, "error": error, "row": raw }))
            }
            None if self.count <= REJECTS_SHOWN_MAX => writeln!(stderr(), "rejected: {reject}"),
            None => Ok(()),
        };
        if let Err(error) = written {
            self.error.get_or_insert(error);
        }
    }

    /// How many there were; errors where one could not be written down.
    fn finish(&mut self) -> anyhow::Result<u64> {
        if let Some(error) = self.error.take() {
            return Err(error).context("can't write the rejected rows");
        }
        match &mut self.file {
            Some((path, file)) => file.flush().with_context(|| format!("can't write {}", path.display()))?,
            None if self.count > REJECTS_SHOWN_MAX => {
                let more = self.count - REJECTS_SHOWN_MAX;
                writeln!(stderr(), "and {more} more; --rejects FILE keeps them all")?;
            }
            None => {}
        }
        Ok(self.count)
    }
}

fn lock(rejects: &Mutex<Rejects>) -> MutexGuard<'_, Rejects> {
    rejects.lock().unwrap_or_else(PoisonError::into_inner)
}
