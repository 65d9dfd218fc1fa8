//! Every bound that has no reason to differ between deployments, and the defaults of those that do.

use std::time::Duration;

/// Longest entity id, in bytes.
pub const ENTITY_ID_BYTES_MAX: usize = 1024;
/// Longest feature name, in bytes.
pub const FEATURE_NAME_BYTES_MAX: usize = 1024;
/// Largest feature value that is written, in bytes.
pub const FEATURE_VALUE_BYTES_MAX: usize = 1 << 20;
/// Most features in one write of one entity.
pub const FEATURES_PER_WRITE_MAX: usize = 1024;
/// Most features that are declared of one entity kind.
pub const FEATURES_PER_SCHEMA_MAX: usize = 16_384;
/// Most named feature sets of one entity kind.
pub const FEATURE_SETS_PER_SCHEMA_MAX: usize = 1024;

/// Default: most ids in one batch read.
pub const BATCH_IDS_MAX: usize = 100_000;
/// Default: most features in one read.
pub const BATCH_FEATURES_MAX: usize = 1024;
/// Default: most cells (ids × features) in one batch read; bounds the memory of one answer.
pub const BATCH_CELLS_MAX: usize = 10_000_000;

/// Default: commands in one pipeline.
pub const PIPELINE_COMMANDS_MAX: usize = 512;
/// Bytes of the commands of one pipeline, beyond which its keys go in several.
pub const PIPELINE_BYTES_MAX: usize = 16 << 20;
/// Default: commands in flight to one shard: four full pipelines.
pub const SHARD_COMMANDS_IN_FLIGHT_MAX: usize = 4 * PIPELINE_COMMANDS_MAX;
/// Commands in flight to one shard that only look at single keys; fewer where the limit above is lower.
pub const ADMIN_COMMANDS_IN_FLIGHT_MAX: usize = 64;
/// Times one key is sent within a request before its row is given up.
pub const KEY_ATTEMPTS_MAX: u32 = 1_000;
/// Redirects that one key follows at once; from then on it waits before it is planned again.
pub const KEY_REDIRECTS_AT_ONCE_MAX: u32 = 4;
/// Times a key is planned, counting its other troubles, before a slot without an owner is taken for a fact.
pub const SLOT_UNCOVERED_ATTEMPTS_MAX: u32 = 6;
/// First wait before a key is sent again to a shard that was not ready; doubles each time.
pub const RETRY_BACKOFF_MIN: Duration = Duration::from_millis(2);
/// Longest wait before a key is sent again.
pub const RETRY_BACKOFF_MAX: Duration = Duration::from_millis(50);
/// Connections of one purpose that are kept beside the lanes: as many as a cluster has nodes.
pub const LINKS_MAX: usize = 1_024;
/// Shortest time between two topology refreshes; doubles while they bring nothing new.
pub const TOPOLOGY_REFRESH_INTERVAL_MIN: Duration = Duration::from_millis(20);
/// The most it doubles to.
pub const TOPOLOGY_REFRESH_INTERVAL_MAX: Duration = Duration::from_millis(250);
/// Time after which the topology is refreshed though nobody asks: replicas come and go without a redirect.
pub const TOPOLOGY_REFRESH_PERIOD: Duration = Duration::from_secs(2);
/// Nodes that are asked for the topology at once; where they are silent, as many more.
pub const TOPOLOGY_NODES_AT_ONCE: usize = 5;
/// Time that nodes have to answer before more are asked.
pub const TOPOLOGY_PATIENCE: Duration = Duration::from_millis(200);
/// Time that the others have after the first answer: a single node may have an old view.
pub const TOPOLOGY_GRACE: Duration = Duration::from_millis(20);
/// Time between two refreshes of the cluster connection's driver.
pub const DRIVER_REFRESH_PAUSE: Duration = Duration::from_millis(100);
/// Time that the cluster connection's driver has for its own question; it serves nobody meanwhile.
pub const DRIVER_TOPOLOGY_TIMEOUT: Duration = Duration::from_millis(100);

/// Default: keys that may be read twice by hedged reads, in percent of all keys read.
pub const HEDGE_BUDGET_PERCENT: u8 = 5;

/// Keys that may be read twice at once after a quiet time.
pub const HEDGE_BURST_KEYS: usize = 1_024;
/// Share of a node's recent pipelines that are answered before the second node is asked.
pub const HEDGE_QUANTILE: f64 = 0.95;
/// The second node is asked after so many times what the median takes, where that is sooner.
pub const HEDGE_MEDIANS_MAX: u32 = 4;
/// Pipelines from which that is learned; none is hedged before.
pub const HEDGE_SAMPLES_MIN: u32 = 64;
/// Shortest wait before a read is hedged.
pub const HEDGE_DELAY_MIN: Duration = Duration::from_millis(1);
/// Longest wait for a node before another node of its shard is asked too; half of the time left, where that is less.
pub const NODE_PATIENCE_MAX: Duration = Duration::from_millis(100);
/// Silence that makes a node a suspect: shorter ones are common.
pub const SUSPECT_SILENCE_MIN: Duration = Duration::from_millis(20);
/// Time as a suspect after which a node counts as away: who needs it fails at once, but for a few.
pub const AWAY_AFTER: Duration = Duration::from_secs(1);
/// Commands to a node that is away that wait for it all the same; a larger pipeline waits alone.
pub const AWAY_COMMANDS_MAX: usize = 64;
/// Time after a redirect for which slots are taken to be on their way, so that a replica's word is not enough for a row to
/// be called missing.
pub const REDIRECTS_REMEMBERED: Duration = Duration::from_secs(60);
/// Longest wait for the answer to such a question.
pub const PROBE_TIMEOUT: Duration = Duration::from_millis(250);
/// Time between two questions to a node that can't be reached whether it is back.
pub const SUSPECT_PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// Where the nearest node is read from, one pipeline of so many goes to another one, to learn how near that is.
pub const NEAREST_EXPLORE_EVERY: usize = 64;

/// Default: deadline of a request that names none.
pub const REQUEST_TIMEOUT: Duration = Duration::from_millis(1_000);
/// Default: longest deadline that a request may ask for.
pub const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// Default: time to open a connection to a node.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// Default: time for a node to answer what it was sent.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1_000);
/// Default: time to connect to the cluster and learn what it can do.
pub const STARTUP_TIMEOUT: Duration = Duration::from_secs(4);
/// Time for which an answer about the cluster's readiness counts: whoever asks more often gets it again.
pub const READINESS_REMEMBERED: Duration = Duration::from_millis(200);
/// Deadline of one administrative step: a page of a scan, an inspection, one entity moved.
pub const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Deadline of one batch of written rows.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Batches of one load in a row in which a shard's rows are late, before a batch has less time: longer together than a
/// failover takes with Redis' default node timeout.
pub const LOAD_LATE_BATCHES_MAX: u32 = 3;
/// Deadline of a batch after that many, until rows are in time again.
pub const WRITE_TIMEOUT_AFTER_LATE_ONES: Duration = Duration::from_secs(1);
/// Time that replicas have to confirm a pipeline of writes; half of the response timeout, where that is less.
pub const WAIT_REPLICAS_TIMEOUT: Duration = Duration::from_millis(500);

/// Default key TTL of batch features: one day.
pub const BATCH_TTL_SECONDS: u64 = 86_400;
/// Default field TTL of streaming features: five minutes.
pub const STREAMING_TTL_SECONDS: u64 = 300;
/// Longest TTL: Redis keeps field expiry as milliseconds in 46 bits (`EB_EXPIRE_TIME_MAX` in its `ebuckets.h`),
/// counted from 1970; this leaves room for the present date.
pub const TTL_SECONDS_MAX: u64 = 60_000_000_000;

/// Rows of a bulk load that are planned and sent together.
pub const LOAD_ROWS_PER_BATCH: usize = 2_000;
/// Bytes of ids, names and values after which such a batch is closed.
pub const LOAD_BYTES_PER_BATCH: usize = 8 << 20;
/// Longest line of an input file, in bytes.
pub const INPUT_LINE_BYTES_MAX: usize = 4 << 20;
/// Longest line of a list of ids, in bytes: the longest id as a JSON string with every byte escaped (`\u0001`).
pub const ID_LINE_BYTES_MAX: usize = 6 * ENTITY_ID_BYTES_MAX + 2;
/// Keys asked for in one page of a scan.
pub const SCAN_PAGE_KEYS: usize = 1_000;
/// Times `cohort move` copies one entity again because a writer changed it meanwhile.
pub const COHORT_MOVE_ATTEMPTS_MAX: u32 = 8;
/// Most members of one cohort.
pub const COHORT_MEMBERS_MAX: usize = 1_000_000;

/// Default: pipelined connections that carry reads, per node.
pub const LANES_PER_NODE: usize = 1;
/// Most of them that the config allows.
pub const LANES_PER_NODE_MAX: usize = 64;
/// Nodes that lanes are kept to; beyond, all are opened anew.
pub const LANE_NODES_MAX: usize = 4_096;
/// Requests that wait for a lane to write them; the commands in them are bounded per shard.
pub const LANE_REQUESTS_WAITING_MAX: usize = 8_192;
/// Bytes of requests under way on one lane; a single larger request goes alone.
pub const LANE_BYTES_IN_FLIGHT_MAX: usize = 64 << 20;
/// Bytes that a lane writes at once, beyond which further requests wait.
pub const LANE_WRITE_BYTES_MAX: usize = 1 << 20;
/// Time after which small requests wait no further turn for others to be written with.
pub const LANE_GATHER_MAX: Duration = Duration::from_micros(150);
/// Requests in a row that time out before a lane is replaced.
pub const LANE_TIMEOUTS_MAX: u32 = 3;
/// Time between two looks for requests that timed out.
pub const LANE_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// Time after a failed connection in which its node is not tried again; doubles each time.
pub const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(50);
/// The most it doubles to.
pub const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(400);
/// Requests in a row that are given up unanswered before a connection beside the lanes is replaced.
pub const LINK_UNANSWERED_MAX: u32 = 3;
/// Time that a request must have waited to count as one of them.
pub const LINK_SILENCE_MIN: Duration = Duration::from_millis(50);
/// Bytes of the replies to one pipeline; values beyond are refused.
pub const REPLY_BYTES_MAX: usize = 256 << 20;
/// Longest line of a reply: an error, a number.
pub const REPLY_LINE_BYTES_MAX: usize = 64 << 10;
/// Longest string in a reply: what a server takes by default (`proto-max-bulk-len`).
pub const REPLY_STRING_BYTES_MAX: usize = 512 << 20;
/// Values in one list, set or map of a reply.
pub const REPLY_ITEMS_MAX: usize = 1 << 20;
/// Levels of nesting in a reply.
pub const REPLY_DEPTH_MAX: usize = 8;

/// Time between two looks of the server at the primaries, for its metrics.
pub const SHARD_WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Time that a primary has to answer such a look.
pub const SHARD_WATCH_TIMEOUT: Duration = Duration::from_millis(500);
/// Primaries that are asked at once.
pub const SHARD_WATCH_AT_ONCE: usize = 64;
/// Default: time between two samples of TTLs.
pub const TTL_SAMPLE_INTERVAL: Duration = Duration::from_millis(1_000);
/// Shortest time between them that the config allows.
pub const TTL_SAMPLE_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Entities of a kind whose TTLs are asked for in one sample; two commands each.
pub const TTL_SAMPLE_IDS_MAX: usize = 8;
/// How many of them come from one read at most, so that a large one does not stand for all.
pub const TTL_SAMPLE_IDS_PER_READ_MAX: usize = 2;
/// Rows of a read that are looked at to find them.
pub const TTL_SAMPLE_ROWS_LOOKED_MAX: usize = 8;
/// Features of a kind that metrics show, the first by name: each is several series.
pub const FEATURES_SHOWN_MAX: usize = 256;
/// Time that a shard has to answer a sample; without an answer there is none.
pub const TTL_SAMPLE_TIMEOUT: Duration = Duration::from_millis(250);
