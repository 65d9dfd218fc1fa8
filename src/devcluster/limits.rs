//! Every bound of a local cluster.

use std::time::Duration;

/// Most primaries of one cluster.
pub(super) const SHARDS_MAX: usize = 100;
/// Most replicas of one primary.
pub(super) const REPLICAS_MAX: usize = 9;
/// Most servers of one cluster.
pub(super) const NODES_MAX: usize = 200;

/// Distance from the client port to the bus port, Redis's own convention.
pub(super) const BUS_PORT_OFFSET: u16 = 10_000;
/// Free ports are taken from here: below the range that outgoing connections take theirs from, and above the bus
/// ports that belong to client ports below 10,000, such as those of `slotwise cluster up`.
pub(super) const FREE_PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Ports looked at for each one that is needed.
pub(super) const FREE_PORT_TRIES_PER_PORT: usize = 100;
/// Starts of a cluster on free ports, when somebody else takes one between the look and the start.
pub(super) const START_ATTEMPTS_MAX: u32 = 5;
/// Names tried for a temporary folder.
pub(super) const FOLDER_ATTEMPTS_MAX: u32 = 16;

/// Default: time from the first server started until every node agrees.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Default: `cluster-node-timeout`. Short, so that a test of a failover does not take half a minute.
pub(super) const NODE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between two looks at a condition.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Time for `--version` of a server.
pub(super) const VERSION_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for one administrative command; a busy machine starts many servers at once.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a node of a detached cluster to say who it is.
pub(super) const STATUS_TIMEOUT: Duration = Duration::from_secs(1);
/// Time for a server to end after it was asked to; after that it is killed.
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the operating system to end a killed process.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Up to this many nodes, each is told of every other; larger clusters rely on gossip, which saves n² links
/// being opened twice.
pub(super) const FULL_MESH_NODES_MAX: usize = 16;
/// Lines of a dead server's log that an error shows.
pub(super) const LOG_TAIL_LINES_MAX: usize = 6;
/// Bytes of a dead server's log that are read.
pub(super) const LOG_TAIL_BYTES_MAX: u64 = 8 << 10;
/// Largest state file that is read, in bytes.
pub(super) const STATE_BYTES_MAX: u64 = 1 << 20;
