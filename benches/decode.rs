//! Replies to pipelines of `HMGET`, already here: what it costs to learn where every value lies. Ours against the
//! decoders of `redis-protocol` (zero-copy) and of the client crate. No server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken bench stops")]

mod common;

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use redis_protocol::resp3::decode::complete::{decode_bytes, decode_range};
use redis_protocol::resp3::types::{BytesFrame, RangeFrame};
use slotwise::model::Span;
use slotwise::shard::ReplyScanner;
use slotwise::slot::NodeAddr;

use common::{FEATURES_READ, value};

/// A pipeline's replies, with 10 cells each.
struct Replies {
    rows: usize,
    bytes: Bytes,
    /// Where each reply begins, and where the last one ends.
    starts: Vec<usize>,
}

impl Replies {
    /// The same values that the benches with servers read.
    fn new(rows: usize) -> Self {
        let (mut bytes, mut starts) = (Vec::new(), vec![0]);
        for number in 0..rows as u64 {
            bytes.extend(format!("*{FEATURES_READ}\r\n").bytes());
            for feature in 0..FEATURES_READ {
                let text = value(number, feature);
                bytes.extend(format!("${}\r\n{text}\r\n", text.len()).bytes());
            }
            starts.push(bytes.len());
        }
        Self { rows, bytes: bytes.into(), starts }
    }

    fn scanner(&self, node: &NodeAddr) -> Vec<Span> {
        let mut scanner = ReplyScanner::new(self.rows, FEATURES_READ, false);
        assert_eq!(scanner.scan(&self.bytes, node), Ok(true));
        scanner.finish().0
    }

    /// `redis-protocol` into ranges, and those into spans as a batch holds them.
    fn ranges(&self) -> Vec<Span> {
        let (mut spans, mut at) = (Vec::with_capacity(self.rows * FEATURES_READ), 0);
        for _ in 0..self.rows {
            let (frame, taken) = decode_range(&self.bytes[at..]).unwrap().unwrap();
            let RangeFrame::Array { data, .. } = frame else { panic!("no list") };
            spans.extend(data.into_iter().map(|cell| match cell {
                RangeFrame::BlobString { data: (start, end), .. } => {
                    Span::new(at + start, end - start).unwrap()
                }
                RangeFrame::Null => Span::ABSENT,
                _ => panic!("no string"),
            }));
            at += taken;
        }
        spans
    }

    /// `redis-protocol` into frames whose values share the buffer; what it would take to make spans is left out.
    fn shared(&self) -> Vec<BytesFrame> {
        let (mut rest, mut frames) = (self.bytes.clone(), Vec::with_capacity(self.rows));
        for _ in 0..self.rows {
            let (frame, taken) = decode_bytes(&rest).unwrap().unwrap();
            frames.push(frame);
            rest = rest.slice(taken..);
        }
        frames
    }

    /// The client crate's parser, told where each reply is; copying the values into one buffer is left out.
    fn client(&self) -> Vec<redis::Value> {
        let replies = self.starts.windows(2).map(|ends| &self.bytes[ends[0]..ends[1]]);
        replies.map(|reply| redis::parse_redis_value(reply).unwrap()).collect()
    }
}

fn decode(criterion: &mut Criterion) {
    let node = NodeAddr::new("h", 1);
    let mut group = criterion.benchmark_group("decode");
    for rows in [1, 333] {
        let replies = Replies::new(rows);
        assert_eq!(replies.scanner(&node), replies.ranges());
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(BenchmarkId::new("ours", rows), |bencher| {
            bencher.iter(|| black_box(&replies).scanner(&node));
        });
        group.bench_function(BenchmarkId::new("redis-protocol, ranges", rows), |bencher| {
            bencher.iter(|| black_box(&replies).ranges());
        });
        group.bench_function(BenchmarkId::new("redis-protocol, shared bytes", rows), |bencher| {
            bencher.iter(|| black_box(&replies).shared());
        });
        group.bench_function(BenchmarkId::new("redis", rows), |bencher| {
            bencher.iter(|| black_box(&replies).client());
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
