//! Stores over real clusters, and an oracle beside them: plain connections that share no code with the store.

use std::time::Duration;

use futures::future::join_all;
use slotwise::FeatureStore;
use slotwise::devcluster::LocalCluster;
use slotwise::model::{EntityId, FeatureBatch, FeatureName, FeatureRow, FeatureValue, RowStatus};
use slotwise::shard::node::{NodeClient, NodeError};
use slotwise::shard::{RedisSettings, Reply};
use slotwise::slot::{CohortTag, Slot};
use slotwise::store::{CohortMembers, CohortOptions, EntityOptions, StoreOptions, Transport};

/// Commands that the oracle sends before it waits for their answers.
const ORACLE_CALLS_AT_ONCE: usize = 2_000;

/// The kind `user` under a prefix.
pub(crate) fn kind(prefix: &str) -> EntityOptions {
    EntityOptions { prefix: prefix.to_owned(), ..EntityOptions::default() }
}

/// A cohort of listed members.
pub(crate) fn cohort(name: &str, tags: &[&str], members: Vec<EntityId>) -> CohortOptions {
    let tags = tags.iter().map(|tag| CohortTag::new(tag).unwrap()).collect();
    CohortOptions { name: name.to_owned(), tags, members: CohortMembers::Listed(members) }
}

/// The transport that this test binary is for. Every suite of behaviour is two binaries: `faults` reads over the
/// default transport, `faults_cluster` is the same tests over the cluster connection.
pub(crate) fn transport() -> Transport {
    if env!("CARGO_CRATE_NAME").ends_with("_cluster") { Transport::Cluster } else { Transport::default() }
}

/// The default options, with the transport that this test binary is for.
pub(crate) fn options() -> StoreOptions {
    StoreOptions { transport: transport(), ..StoreOptions::default() }
}

/// Connections in `CLIENT LIST` that only direct lanes have.
pub(crate) const LANE: &str = " name=slotwise-lane ";

/// The stores of this test binary use the transport that it is for. Call it after a read of every shard.
pub(crate) async fn assert_transport(cluster: &LocalCluster) {
    for index in 0..cluster.spec().shards {
        let clients = cluster.client(index).await.unwrap().call(&["CLIENT", "LIST"]).await.unwrap();
        let lanes = clients.as_str().unwrap().matches(LANE).count();
        assert_eq!(
            lanes > 0,
            transport() != Transport::Cluster,
            "{lanes} lanes to {}",
            cluster.addrs()[index]
        );
    }
}

/// A store of one kind.
pub(crate) async fn store(cluster: &LocalCluster, entity: EntityOptions) -> FeatureStore {
    store_with(cluster, entity, options()).await
}

/// A store of one kind, with limits.
pub(crate) async fn store_with(
    cluster: &LocalCluster,
    entity: EntityOptions,
    options: StoreOptions,
) -> FeatureStore {
    let settings = RedisSettings::from_urls(cluster.urls().split(',')).unwrap();
    Box::pin(FeatureStore::connect(settings, vec![entity], options)).await.unwrap()
}

/// An entity id.
pub(crate) fn id(text: &str) -> EntityId {
    EntityId::new(text).unwrap()
}

/// `{stem}{first}` and so on.
pub(crate) fn ids(stem: &str, numbers: std::ops::Range<usize>) -> Vec<EntityId> {
    numbers.map(|number| id(&format!("{stem}{number}"))).collect()
}

/// Feature names.
pub(crate) fn names(texts: &[&str]) -> Vec<FeatureName> {
    texts.iter().map(|text| FeatureName::new(*text).unwrap()).collect()
}

/// One feature with its value.
pub(crate) fn feature(name: &str, value: impl Into<FeatureValue>) -> (FeatureName, FeatureValue) {
    (FeatureName::new(name).unwrap(), value.into())
}

/// A row of text features.
pub(crate) fn row(id: &EntityId, features: &[(&str, &str)]) -> FeatureRow {
    let features = features.iter().map(|(name, value)| feature(name, *value)).collect();
    FeatureRow { id: id.clone(), features }
}

/// The statuses of all rows, in order.
pub(crate) fn statuses(batch: &FeatureBatch) -> Vec<RowStatus> {
    batch.rows().map(|row| row.status).collect()
}

/// A row's reason as text.
pub(crate) fn reason(batch: &FeatureBatch, row: usize) -> String {
    batch.row(row).unwrap().reason.map(ToString::to_string).unwrap_or_default()
}

/// Tags whose slots belong to the node at `index`, one after the other.
pub(crate) fn tags_on(
    store: &FeatureStore,
    cluster: &LocalCluster,
    index: usize,
) -> impl Iterator<Item = String> {
    let (topology, node) = (store.topology(), cluster.addrs()[index].clone());
    (0u32..)
        .map(|number| format!("tag{number}"))
        .filter(move |tag| topology.shard_of(Slot::for_key(tag.as_bytes())).unwrap().primary == node)
}

/// What the servers hold, asked with plain commands.
pub(crate) struct Oracle {
    clients: Vec<NodeClient>,
}

impl Oracle {
    /// Connects to every node of a cluster.
    pub(crate) async fn of(cluster: &LocalCluster) -> Self {
        let mut clients = Vec::new();
        for index in 0..cluster.nodes().len() {
            clients.push(cluster.client(index).await.unwrap());
        }
        Self { clients }
    }

    /// One more node, such as one that joined later.
    pub(crate) fn add(&mut self, client: NodeClient) {
        self.clients.push(client);
    }

    /// A plain connection to one node.
    pub(crate) fn node(&self, index: usize) -> &NodeClient {
        &self.clients[index]
    }

    /// Sends a command to the node that takes it: nodes that say MOVED or ASK are passed over.
    pub(crate) async fn try_call(&self, args: &[&[u8]]) -> Result<Reply, NodeError> {
        let mut last = None;
        for client in &self.clients {
            match client.call(args).await {
                Err(error) if matches!(error.code(), Some("MOVED" | "ASK")) => last = Some(error),
                answer => return answer,
            }
        }
        Err(last.expect("a cluster has nodes"))
    }

    /// Sends a command to the node that takes it.
    pub(crate) async fn call(&self, args: &[&[u8]]) -> Reply {
        self.try_call(args).await.unwrap()
    }

    /// The same for a command of plain words.
    pub(crate) async fn say(&self, words: &str) -> Reply {
        let args: Vec<&[u8]> = words.split_whitespace().map(str::as_bytes).collect();
        self.call(&args).await
    }

    /// The number that a command of plain words answers.
    pub(crate) async fn number(&self, words: &str) -> i64 {
        let reply = self.say(words).await;
        reply.as_i64().unwrap_or_else(|| panic!("{words}: {reply:?}"))
    }

    /// One field's value.
    pub(crate) async fn hget(&self, key: &[u8], field: &[u8]) -> Option<Vec<u8>> {
        self.call(&[b"HGET", key, field]).await.as_bytes().map(<[u8]>::to_vec)
    }

    /// The TTL of one field in seconds.
    pub(crate) async fn httl(&self, key: &[u8], field: &[u8]) -> i64 {
        let codes = self.call(&[b"HTTL", key, b"FIELDS", b"1", field]).await.into_array().unwrap();
        codes[0].as_i64().unwrap()
    }

    /// Sends many commands, many at a time.
    pub(crate) async fn call_all(&self, commands: &[Vec<Vec<u8>>]) -> Vec<Reply> {
        let mut replies = Vec::with_capacity(commands.len());
        for some in commands.chunks(ORACLE_CALLS_AT_ONCE) {
            let calls = some.iter().map(|command| async move {
                let args: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
                self.call(&args).await
            });
            replies.extend(join_all(calls).await);
        }
        replies
    }

    /// Gives every id the feature `v` with a value that follows from the id.
    pub(crate) async fn fill(&self, prefix: &str, ids: &[EntityId]) {
        let hset = |id: &EntityId| {
            let key = format!("{prefix}{id}");
            vec![b"HSET".to_vec(), key.into_bytes(), b"v".to_vec(), value_of(id).into_bytes()]
        };
        self.call_all(&ids.iter().map(hset).collect::<Vec<_>>()).await;
    }

    /// A number that every node has of a command in `INFO commandstats`, added up: `calls`, `rejected_calls`.
    pub(crate) async fn stat(&self, command: &str, name: &str) -> u64 {
        let prefix = format!("cmdstat_{command}:");
        let mut sum = 0;
        for client in &self.clients {
            let info = client.call(&["INFO", "commandstats"]).await.unwrap();
            let line = info.as_str().unwrap().lines().find_map(|line| line.strip_prefix(&prefix));
            let fields = line.unwrap_or_default().split(',').filter_map(|field| field.split_once('='));
            sum +=
                fields.filter(|(key, _)| *key == name).map(|(_, n)| n.parse::<u64>().unwrap()).sum::<u64>();
        }
        sum
    }

    /// `HMGET`s that came in, whether they were run or answered with a redirect.
    pub(crate) async fn hmgets(&self) -> u64 {
        self.stat("hmget", "calls").await + self.stat("hmget", "rejected_calls").await
    }
}

/// What [`Oracle::fill`] writes.
pub(crate) fn value_of(id: &EntityId) -> String {
    format!("value of {id}")
}

/// Every row is found and has the value that [`Oracle::fill`] wrote.
pub(crate) fn assert_filled(batch: &FeatureBatch) {
    for row in batch.rows() {
        assert_eq!(row.status, RowStatus::Found, "{}: {:?}", row.id, row.reason);
        assert_eq!(row.value(0), Some(value_of(row.id).as_bytes()), "{}", row.id);
    }
}

/// A deadline that is only there so that a broken test ends.
pub(crate) const LONG: Option<Duration> = Some(Duration::from_secs(20));
