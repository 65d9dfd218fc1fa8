//! What can go wrong between a pipeline and its replies: per key, or for the pipeline as a whole.

use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerError};

use crate::slot::NodeAddr;

/// Longest error text that is kept, in bytes.
const ERROR_TEXT_BYTES_MAX: usize = 256;

/// Why one key got no reply, though its pipeline did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFault {
    /// `MOVED`: the slot lives on that node now.
    Moved(NodeAddr),
    /// `ASK`: the slot is on its way to that node, and this key is there already.
    Ask(NodeAddr),
    /// `TRYAGAIN`, `CLUSTERDOWN`, `LOADING` and their like: worth sending again a little later.
    NotReady(Arc<str>),
    /// Any other error: sending again would not mend it.
    Refused(Arc<str>),
    /// Written, but not confirmed by as many replicas as asked for; how many did.
    Unconfirmed(Arc<str>),
}

impl KeyFault {
    /// Sorts a server's answer. A redirect without a host means the host of `answered_by`.
    ///
    /// Source: the Redis Cluster specification, "Redirection and resharding", and the error table of `redis` 1.8.1.
    pub(super) fn new(error: &ServerError, answered_by: &NodeAddr) -> Self {
        Self::of(error.code(), error.details(), answered_by)
    }

    /// Sorts an error line, without the `-` before it.
    pub(super) fn from_line(line: &[u8], answered_by: &NodeAddr) -> Self {
        let line = String::from_utf8_lossy(line);
        let (code, detail) = line.split_once(' ').map_or((&*line, None), |(code, rest)| (code, Some(rest)));
        Self::of(code, detail, answered_by)
    }

    fn of(code: &str, detail: Option<&str>, answered_by: &NodeAddr) -> Self {
        let target = || redirect_target(detail?, answered_by);
        match code {
            "MOVED" => target().map_or_else(|| Self::Refused(text(code, detail)), Self::Moved),
            "ASK" => target().map_or_else(|| Self::Refused(text(code, detail)), Self::Ask),
            "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "READONLY" | "BUSY" => {
                Self::NotReady(text(code, detail))
            }
            _ => Self::Refused(text(code, detail)),
        }
    }
}

/// Reads `3999 127.0.0.1:6381`.
fn redirect_target(detail: &str, answered_by: &NodeAddr) -> Option<NodeAddr> {
    let (_slot, address) = detail.split_once(' ')?;
    match address.strip_prefix(':').and_then(|port| port.parse().ok()) {
        Some(port) => Some(NodeAddr::new(Arc::clone(&answered_by.host), port)),
        None => address.parse().ok(),
    }
}

/// What kind of thing keeps a pipeline from being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The node keeps silent.
    Timeout,
    /// The connection can't be opened, or was lost.
    Connection,
    /// The server refuses the connection: the login above all.
    Refused,
    /// What came is no answer to what was asked.
    Protocol,
}

impl FaultKind {
    /// Every kind, in the order of [`FaultKind::index`].
    pub const ALL: [Self; 4] = [Self::Timeout, Self::Connection, Self::Refused, Self::Protocol];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Refused => "refused",
            Self::Protocol => "protocol",
        }
    }

    /// The place in [`FaultKind::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    fn of(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        match error.kind() {
            ErrorKind::AuthenticationFailed | ErrorKind::Server(_) | ErrorKind::Extension => Self::Refused,
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::Protocol,
            _ => Self::Connection,
        }
    }
}

/// Why a pipeline brought no replies at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PipelineFault {
    /// What the client or the network said.
    pub reason: Arc<str>,
    /// What it comes down to.
    pub kind: FaultKind,
    /// True where the commands may have run all the same, so that writes can't be sent again blindly.
    pub may_have_run: bool,
}

impl PipelineFault {
    /// The connection does not tell whether a request that failed was sent before.
    pub(super) fn unanswered(error: &RedisError) -> Self {
        Self { may_have_run: true, ..Self::not_open(error) }
    }

    /// The connection could not be opened.
    pub(super) fn not_open(error: &RedisError) -> Self {
        Self::not_sent(FaultKind::of(error), &error.to_string())
    }

    /// Nothing was sent.
    pub fn not_sent(kind: FaultKind, reason: &str) -> Self {
        Self { reason: shortened(reason), kind, may_have_run: false }
    }

    /// What came is no answer to what was asked.
    pub(super) fn protocol(reason: &str) -> Self {
        Self { reason: shortened(reason), kind: FaultKind::Protocol, may_have_run: true }
    }
}

/// An error answer as text: code and detail. Where in which script of ours it arose is of no use to anybody.
fn text(code: &str, detail: Option<&str>) -> Arc<str> {
    let of_the_data = |detail: &'_ str| detail.find(" script: ").filter(|_| detail.contains("@user_script"));
    match detail.map(|detail| &detail[..of_the_data(detail).unwrap_or(detail.len())]) {
        Some(detail) => shortened(&format!("{code} {detail}")),
        None => shortened(code),
    }
}

fn shortened(text: &str) -> Arc<str> {
    text[..text.floor_char_boundary(ERROR_TEXT_BYTES_MAX)].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> KeyFault {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        let redis::Value::ServerError(error) = value else { panic!("{value:?} is no error") };
        let node = NodeAddr::new("10.0.0.9", 7000);
        let fault = KeyFault::new(&error, &node);
        assert_eq!(KeyFault::from_line(line.as_bytes(), &node), fault, "both transports say the same");
        fault
    }

    #[test]
    fn redirects_name_their_node() {
        assert_eq!(fault("MOVED 3999 127.0.0.1:6381"), KeyFault::Moved(NodeAddr::new("127.0.0.1", 6381)));
        assert_eq!(fault("ASK 3999 redis-3.local:6381"), KeyFault::Ask(NodeAddr::new("redis-3.local", 6381)));
        assert_eq!(fault("MOVED 3999 ::1:6381"), KeyFault::Moved(NodeAddr::new("::1", 6381)));
        assert_eq!(
            fault("MOVED 3999 :6381"),
            KeyFault::Moved(NodeAddr::new("10.0.0.9", 6381)),
            "an empty host is the host of the node that answers"
        );
        assert!(matches!(fault("MOVED nowhere"), KeyFault::Refused(_)));
    }

    #[test]
    fn an_error_out_of_a_script_is_told_without_the_script() {
        let line = "WRONGTYPE Operation against a key script: 95aac8a4ab, on @user_script:2.";
        assert_eq!(fault(line), KeyFault::Refused("WRONGTYPE Operation against a key".into()));
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for line in [
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "CLUSTERDOWN The cluster is down",
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "READONLY You can't write against a read only replica.",
            "BUSY Redis is busy running a script.",
        ] {
            assert_eq!(fault(line), KeyFault::NotReady(line.into()));
        }
        for line in
            ["WRONGTYPE Operation against a key holding the wrong kind of value", "NOPERM no", "OOM x"]
        {
            assert_eq!(fault(line), KeyFault::Refused(line.into()));
        }
    }
}
