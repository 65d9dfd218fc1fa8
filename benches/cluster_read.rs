//! Reads of 10 features from a real cluster, at four batch sizes: one request per entity against the store.

#![expect(clippy::expect_used, reason = "a bench that can't run says so loudly")]

mod common;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

use common::{Bench, requests};

const SIZES: [usize; 4] = [1, 10, 100, 1_000];
/// Different batches of a size, so that no cache is measured.
const REQUESTS: usize = 64;
const SEED: u64 = 20_251;

fn cluster_read(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let bench = runtime.block_on(Bench::connect());
    let mut group = criterion.benchmark_group("cluster_read");
    for size in SIZES {
        let requests = requests(SEED, REQUESTS, size);
        runtime.block_on(bench.check(&requests[0]));
        group.throughput(Throughput::Elements(size as u64));
        let mut next = requests.iter().cycle();
        group.bench_function(BenchmarkId::new("request_per_entity", size), |bencher| {
            bencher.to_async(&runtime).iter(|| {
                let request = next.next().expect("an endless cycle");
                async { black_box(bench.naive(request).await) }
            });
        });
        let mut next = requests.iter().cycle();
        group.bench_function(BenchmarkId::new("feature_store", size), |bencher| {
            bencher.to_async(&runtime).iter(|| {
                let request = next.next().expect("an endless cycle");
                async { black_box(bench.ours(&bench.lanes, request).await) }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, cluster_read);
criterion_main!(benches);
