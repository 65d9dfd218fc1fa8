//! What is seen of the program itself: its version, its process, the runtime that it runs in.

use std::env::consts::{ARCH, OS};
use std::time::Duration;

use tokio::runtime::Handle;

use super::{
    BUILD_INFO, PROCESS_CPU, PROCESS_FDS, PROCESS_FDS_MAX, PROCESS_MEMORY, PROCESS_START, RUNTIME_BUSY,
    RUNTIME_QUEUE, RUNTIME_TASKS, RUNTIME_WORKERS, gauge,
};

/// Shows how the process and the runtime are now. Reads a few files under `/proc`: not for a thread that serves. What
/// the system does not tell is not shown.
pub fn observe_process() {
    let target = format!("{ARCH}-{OS}");
    gauge(&BUILD_INFO, [env!("CARGO_PKG_VERSION"), &target]).set(1.0);
    let process = metrics_process::collector::collect();
    // 0 stands for no limit, and whoever divides by it would see none left.
    let fds_max = process.max_fds.filter(|max| *max > 0);
    for (metric, value) in [
        (&PROCESS_CPU, process.cpu_seconds_total),
        (&PROCESS_MEMORY, process.resident_memory_bytes.map(float)),
        (&PROCESS_FDS, process.open_fds.map(float)),
        (&PROCESS_FDS_MAX, fds_max.map(float)),
        (&PROCESS_START, process.start_time_seconds.map(float)),
    ] {
        if let Some(value) = value {
            gauge(metric, []).set(value);
        }
    }
    observe_runtime();
}

fn observe_runtime() {
    let Ok(runtime) = Handle::try_current() else { return };
    let runtime = runtime.metrics();
    let workers = runtime.num_workers();
    gauge(&RUNTIME_WORKERS, []).set(float(workers as u64));
    gauge(&RUNTIME_TASKS, []).set(float(runtime.num_alive_tasks() as u64));
    gauge(&RUNTIME_QUEUE, []).set(float(runtime.global_queue_depth() as u64));
    #[cfg(target_has_atomic = "64")]
    {
        let busy: Duration = (0..workers).map(|worker| runtime.worker_total_busy_duration(worker)).sum();
        gauge(&RUNTIME_BUSY, []).set(busy);
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
