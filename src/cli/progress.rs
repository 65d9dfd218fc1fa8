//! Progress of long work: a bar on a terminal, nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two drawings.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);

/// A bar over `total` of something, or a spinner where the total is not known. Shown on a terminal only.
pub(super) fn bar(total: Option<u64>, unit: Unit) -> ProgressBar {
    let template = match (total.is_some(), unit) {
        (true, Unit::Rows) => "{bar:30} {human_pos}/{human_len} rows  {per_sec}  eta {eta}  {msg}",
        (true, Unit::Bytes) => "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  eta {eta}  {msg}",
        (false, Unit::Rows) => "{spinner} {human_pos} rows  {per_sec}  {elapsed}  {msg}",
        (false, Unit::Bytes) => "{spinner} {bytes}  {bytes_per_sec}  {elapsed}  {msg}",
    };
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(DRAW_INTERVAL);
    bar
}

/// What a bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Rows.
    Rows,
    /// Bytes of input.
    Bytes,
}

/// Rows per second, for a closing line.
pub(super) fn per_second(rows: u64, elapsed: Duration) -> f64 {
    // Row counts are far below 2^52.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    let rows = rows as f64;
    rows / elapsed.as_secs_f64().max(1e-9)
}
