//! The parts of a batch that need no server: slot of a key, key set, plan, merge, output formats.

#![expect(clippy::expect_used, reason = "a bench that can't run says so loudly")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use slotwise::encode::Format;
use slotwise::model::limits::PIPELINE_COMMANDS_MAX;
use slotwise::model::{
    Column, EntityId, FeatureBatch, FeatureBatchBuilder, FeatureName, FeatureType, Projection, ReplyBlock,
    Span, UnavailableReason,
};
use slotwise::slot::{
    Cohort, CohortIndex, CohortTag, KeyLayout, KeySet, NodeAddr, Plan, SLOT_COUNT, Shard, Slot, Topology,
};

const IDS: u32 = 1_000;
const FEATURES: usize = 10;
const SHARDS: u16 = 3;
/// One in so many ids is a cohort's member, where there is a cohort.
const MEMBER_EVERY: usize = 10;

fn ids() -> Arc<[EntityId]> {
    (0..IDS).map(|number| EntityId::new(format!("u{number:06}")).expect("an id")).collect()
}

fn features() -> Arc<[FeatureName]> {
    (0..FEATURES).map(|number| FeatureName::new(format!("feature_{number}")).expect("a name")).collect()
}

fn layout(members: Vec<EntityId>) -> KeyLayout {
    let tags = vec![CohortTag::new("vip").expect("a tag")];
    let cohorts =
        if members.is_empty() { Vec::new() } else { vec![Cohort { name: "vip".into(), tags, members }] };
    KeyLayout::new("fs:user:", CohortIndex::new(cohorts).0).expect("a layout")
}

fn topology() -> Topology {
    let slot = |number| Slot::new(number).expect("a slot");
    let shard = |number: u16| {
        let (first, end) = (
            SLOT_COUNT / SHARDS * number,
            if number + 1 == SHARDS { SLOT_COUNT } else { SLOT_COUNT / SHARDS * (number + 1) },
        );
        Shard {
            primary: NodeAddr::new("127.0.0.1", 7_000 + number),
            replicas: Vec::new(),
            ranges: vec![(slot(first), slot(end - 1))],
        }
    };
    Topology::new(1, (0..SHARDS).map(shard).collect()).expect("a topology")
}

/// The answer of a shard to `rows` keys: every value five bytes, one in twenty absent.
fn block(rows: usize) -> ReplyBlock {
    let cells = rows * FEATURES;
    let span =
        |cell: usize| if cell % 20 == 7 { Span::ABSENT } else { Span::new(cell * 5, 5).expect("a span") };
    ReplyBlock { bytes: b"12.34".repeat(cells).into(), spans: (0..cells).map(span).collect() }
}

/// Values of the lengths that features have; one in twenty absent. The types are those of [`typed`].
fn mixed_block(rows: usize) -> ReplyBlock {
    let (mut bytes, mut spans) = (Vec::new(), Vec::new());
    for cell in 0..rows * FEATURES {
        let mixed = (cell as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17;
        let value = match cell % FEATURES {
            0 => "GB".to_owned(),
            1 => "medium".to_owned(),
            2 => (mixed % 2_400).to_string(),
            4 => format!("{}.{:02}", mixed % 350, mixed % 97),
            5 => format!("0.{mixed}"),
            6 => (1_760_000_000_000 + mixed % 1_000_000_000).to_string(),
            7 => "android-51be".to_owned(),
            8 => mixed.is_multiple_of(2).to_string(),
            _ => (mixed % 80).to_string(),
        };
        let start = bytes.len();
        bytes.extend_from_slice(value.as_bytes());
        let absent = cell % 20 == 17;
        spans.push(if absent { Span::ABSENT } else { Span::new(start, value.len()).expect("a span") });
    }
    ReplyBlock { bytes: bytes.into(), spans }
}

/// The columns of [`mixed_block`].
fn typed() -> Arc<Projection> {
    let column = |(number, name): (usize, &FeatureName)| {
        let feature_type = match number {
            0 | 1 | 7 => FeatureType::String,
            4 | 5 => FeatureType::Float64,
            6 => FeatureType::TimestampMs,
            8 => FeatureType::Bool,
            _ => FeatureType::Int64,
        };
        Column { name: name.clone(), feature_type: Some(feature_type), default: None }
    };
    Arc::new(Projection::new(features().iter().enumerate().map(column).collect::<Vec<_>>()))
}

/// The keys of each block, as a plan over three shards hands them out.
fn keys_of_blocks(keys: &KeySet) -> Vec<Vec<u32>> {
    let plan = Plan::new(keys, keys.numbers(), &topology(), PIPELINE_COMMANDS_MAX);
    plan.chunks.into_iter().map(|chunk| chunk.keys).collect()
}

fn merge(
    ids: &Arc<[EntityId]>,
    projection: &Arc<Projection>,
    blocks: Vec<(Vec<u32>, ReplyBlock)>,
) -> FeatureBatch {
    let mut builder = FeatureBatchBuilder::new(ids.len(), Arc::clone(projection));
    for (keys, block) in blocks {
        let block = builder.add_block(block, false);
        for (row, key) in (0..).zip(keys) {
            builder.place(key, block, row);
        }
    }
    builder.finish(Arc::clone(ids), None, usize::from(SHARDS), &UnavailableReason::SlotUncovered)
}

fn slot_of_a_key(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("slot_of_a_key");
    for (name, key) in [("plain", "fs:user:u000042"), ("tagged", "fs:user:{vip}:u000042")] {
        group.bench_function(name, |bencher| bencher.iter(|| Slot::for_key(black_box(key.as_bytes()))));
    }
    group.finish();
}

fn plan(criterion: &mut Criterion) {
    let (ids, topology) = (ids(), topology());
    let mut group = criterion.benchmark_group("plan");
    group.throughput(Throughput::Elements(u64::from(IDS)));
    let members: Vec<EntityId> = ids.iter().step_by(MEMBER_EVERY).cloned().collect();
    for (name, layout) in [("plain", layout(Vec::new())), ("cohort", layout(members))] {
        group.bench_function(BenchmarkId::new("key_set", name), |bencher| {
            bencher.iter(|| KeySet::new(black_box(&ids), &layout).expect("keys"));
        });
        let keys = KeySet::new(&ids, &layout).expect("keys");
        group.bench_function(BenchmarkId::new("chunks", name), |bencher| {
            bencher.iter(|| Plan::new(black_box(&keys), keys.numbers(), &topology, PIPELINE_COMMANDS_MAX));
        });
    }
    group.finish();
}

fn merge_and_encode(criterion: &mut Criterion) {
    let ids = ids();
    let untyped = Arc::new(Projection::untyped(features()));
    let keys = KeySet::new(&ids, &layout(Vec::new())).expect("keys");
    let blocks = |block: fn(usize) -> ReplyBlock| -> Vec<(Vec<u32>, ReplyBlock)> {
        keys_of_blocks(&keys).into_iter().map(|keys| (keys.clone(), block(keys.len()))).collect()
    };
    let even = blocks(block);
    let mut group = criterion.benchmark_group("batch");
    group.throughput(Throughput::Elements(u64::from(IDS)));
    group.bench_function("merge", |bencher| {
        let even = || even.clone();
        bencher.iter_batched(even, |even| merge(&ids, &untyped, even), criterion::BatchSize::SmallInput);
    });
    let even = merge(&ids, &untyped, even.clone());
    assert_eq!(even.value(0, 0), Some(&b"12.34"[..]), "the batch that is encoded holds values");
    let mixed = |projection| merge(&ids, projection, blocks(mixed_block));
    let batches = [("encode", even), ("encode_mixed", mixed(&untyped)), ("encode_typed", mixed(&typed()))];
    for (name, batch) in &batches {
        for format in Format::ALL {
            group.bench_function(BenchmarkId::new(*name, format), |bencher| {
                bencher.iter(|| format.encode(black_box(batch), Duration::from_millis(5)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, slot_of_a_key, plan, merge_and_encode);
criterion_main!(benches);
