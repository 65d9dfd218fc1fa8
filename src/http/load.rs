//! `POST /v1/features/load`: rows of any number, written while the body comes in.
//!
//! Invariants: of the body, no more is held than [`PIECES_AHEAD_MAX`] pieces and one batch of rows; a body that
//! breaks off is an error that says what was written; its last, half line is never taken for a row.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Uri;
use bytes::{Buf, Bytes};
use futures::future::{Either, select};
use futures::stream::{Stream, StreamExt, unfold};
use tokio::sync::mpsc;

use crate::ingest::{NdjsonDecoder, SourceItem};
use crate::model::FeatureRow;
use crate::store::{FeatureStore, LoadOptions, LoadReport, RequestError};

use super::body::Pieces;
use super::deadline::Timing;
use super::error::{ApiError, BodyError};
use super::openapi::LoadErrors;
use super::query::Query;
use super::rejections::Rejections;
use super::state::HttpState;
use super::wire::{LoadAnswer, LoadLine};

/// Pieces of the body that are read ahead while a batch is written.
const PIECES_AHEAD_MAX: usize = 16;

/// What the reader of the body hands to the writer of rows.
enum Piece {
    Bytes(Bytes),
    End,
}

/// A row with its line in the body.
struct NumberedRow {
    line: u64,
    row: FeatureRow,
}

impl AsRef<FeatureRow> for NumberedRow {
    fn as_ref(&self) -> &FeatureRow {
        &self.row
    }
}

/// Load rows in bulk.
///
/// NDJSON, a row a line. Rows that can't be written are named in the answer; the others are written, and their
/// keys get the TTL.
#[utoipa::path(
    post, path = "/v1/features/load", tag = "features", security(("bearer" = ["write"])),
    params(
        ("ttl_seconds" = Option<u64>, Query, description = "Key TTL; the kind's batch TTL where it is left out."),
        ("wait_replicas" = Option<u8>, Query, description = "A row counts as written once so many replicas have confirmed it."),
        ("timeout_ms" = Option<u64>, Query, description = "Deadline of the whole load, counted from the head of the \
            request; the smallest one given counts."),
        ("x-timeout-ms" = Option<u64>, Header, description = "As timeout_ms; the smallest one given counts."),
        ("entity" = Option<String>, Query, description = "The kind of entity; needed where several are configured."),
    ),
    request_body(content = LoadLine, content_type = "application/x-ndjson"),
    responses((status = 200, description = "Every row is written or named.", body = LoadAnswer), LoadErrors),
)]
pub(super) async fn load(
    State(state): State<HttpState>,
    timing: Timing,
    uri: Uri,
    body: Body,
) -> Result<Json<LoadAnswer>, ApiError> {
    let query = Query::of(&uri, &["ttl_seconds", "wait_replicas", "timeout_ms", "entity"])?;
    let load = LoadOptions {
        ttl_seconds: query.number("ttl_seconds")?,
        wait_replicas: query.small_number("wait_replicas")?.unwrap_or(0),
    };
    let store = state.store().entity(query.one("entity")?)?;
    let options = state.options();
    let timing = timing.and(query.number("timeout_ms")?);
    let deadline = timing.deadline(options.load_timeout_max, options.load_timeout_max)?;
    let _place = state.admission().load(options)?;
    let pieces = Pieces::new(body, options.load_body_bytes_max, options.body_idle_timeout)?;

    let rejections = Rejections::new(options.load_rejections_max);
    let progress = Mutex::new(Progress { rejections, line: 0, written: 0 });
    let fed = match deadline.bound(write(&store, pieces, load, &progress)).await {
        Ok((report, fed)) => report.map(|_| fed)?,
        Err(_) => Err(BodyError::Late),
    };
    let Progress { rejections, line, written } =
        progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    let rejected_count = rejections.count();
    match fed {
        Ok(()) => Ok(Json(LoadAnswer { written, rejected: rejections.into_rows(), rejected_count })),
        Err(cause) => Err(ApiError::LoadBroken { cause, line, written, rejected: rejected_count }),
    }
}

/// Reads the body and writes its rows, both in this task: the body is read on while a batch is written, and both
/// end with the request.
async fn write(
    store: &FeatureStore,
    pieces: Pieces,
    load: LoadOptions,
    progress: &Mutex<Progress>,
) -> (Result<LoadReport, RequestError>, Result<(), BodyError>) {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD_MAX);
    let feed = pin!(feed(pieces, sender));
    let write = pin!(store.bulk_load(rows(receiver, progress).fuse(), load, |row, result| {
        with(progress, |progress| match result {
            Ok(()) => progress.written += 1,
            Err(rejected) => progress.rejections.add(row.line, rejected.to_string()),
        });
    }));
    match select(write, feed).await {
        Either::Left((report, _)) => (report, Ok(())),
        Either::Right((fed, write)) => (write.await, fed),
    }
}

/// What is known of the body so far.
struct Progress {
    rejections: Rejections,
    /// The last line that was read whole.
    line: u64,
    /// Rows that are written.
    written: u64,
}

fn with(progress: &Mutex<Progress>, change: impl FnOnce(&mut Progress)) {
    change(&mut progress.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Reads the body. The writer of rows hears of the end only where it is the true end.
async fn feed(mut pieces: Pieces, sender: mpsc::Sender<Piece>) -> Result<(), BodyError> {
    while let Some(bytes) = pieces.next().await? {
        if sender.send(Piece::Bytes(bytes)).await.is_err() {
            return Ok(());
        }
    }
    let _ = sender.send(Piece::End).await;
    Ok(())
}

/// The rows of the body; lines that are no rows go to the rejections.
fn rows(receiver: mpsc::Receiver<Piece>, progress: &Mutex<Progress>) -> impl Stream<Item = NumberedRow> {
    let start = (receiver, NdjsonDecoder::new("body"), Bytes::new());
    unfold(start, move |(mut receiver, mut decoder, mut bytes)| async move {
        loop {
            let mut rest = &bytes[..];
            let item = decoder.next_item(&mut rest);
            let used = bytes.len() - rest.len();
            bytes.advance(used);
            let item = match item {
                Some(item) => Some(item),
                None => match receiver.recv().await? {
                    Piece::Bytes(next) => {
                        bytes = next;
                        continue;
                    }
                    Piece::End => decoder.finish(),
                },
            };
            match item? {
                SourceItem::Row { line, row } => {
                    with(progress, |progress| progress.line = line);
                    return Some((NumberedRow { line, row }, (receiver, decoder, bytes)));
                }
                SourceItem::Rejected(rejected) => with(progress, |progress| {
                    progress.line = rejected.line;
                    progress.rejections.add(rejected.line, rejected.error);
                }),
            }
        }
    })
}
