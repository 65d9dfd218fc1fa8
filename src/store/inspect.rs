//! One entity in full: every field with its value and TTL, in one atomic step. Not for the request path.

use std::time::Duration;

use crate::model::{EntityId, FeatureName};
use crate::shard::{Command, Reply};
use crate::slot::{NodeAddr, Slot};

use super::FeatureStore;
use super::error::{RequestError, StoreError};
use super::fan_out::Effect;

/// Everything that Redis holds of one entity. TTLs are seconds, −1 for none, −2 for absent, as Redis says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The entity.
    pub id: EntityId,
    /// Its key, as this store's layout has it.
    pub key: Vec<u8>,
    /// The key's slot.
    pub slot: Slot,
    /// The primary that owns the slot, as last seen.
    pub shard: Option<NodeAddr>,
    /// False where there is no such key.
    pub exists: bool,
    /// The key's TTL.
    pub key_ttl_seconds: i64,
    /// Every field, by name.
    pub fields: Vec<FieldView>,
}

/// One field of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldView {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// Its own TTL in seconds; −1 where it lives as long as the key.
    pub ttl_seconds: i64,
}

/// Reads key TTL, field names, values and field TTLs at one moment. Fields in groups: Lua's `unpack` has a limit.
pub(super) const INSPECT_SCRIPT: &str = r"
local out = {redis.call(ARGV[1], KEYS[1])}
local names = redis.call('HKEYS', KEYS[1])
for first = 1, #names, 500 do
  local part = {}
  for i = first, math.min(first + 499, #names) do part[#part + 1] = names[i] end
  local values = redis.call('HMGET', KEYS[1], unpack(part))
  local ttls = redis.call(ARGV[2], KEYS[1], 'FIELDS', #part, unpack(part))
  for i, name in ipairs(part) do
    out[#out + 1] = name
    out[#out + 1] = values[i]
    out[#out + 1] = ttls[i]
  end
end
return out
";

impl FeatureStore {
    /// Everything that Redis holds of an entity, seen at one moment.
    pub async fn inspect(&self, id: &EntityId) -> Result<Inspection, StoreError> {
        self.inspect_within(id, None).await
    }

    /// The same within `timeout` (`None`: the store's default).
    pub async fn inspect_within(
        &self,
        id: &EntityId,
        timeout: Option<Duration>,
    ) -> Result<Inspection, StoreError> {
        let timeout = self.timeout(timeout)?;
        let key = self.kind.layout.load().key(id).map_err(RequestError::from)?;
        let (key_ttl_seconds, mut fields) = self.engine.read_whole(&key, "TTL", "HTTL", timeout).await?;
        fields.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let slot = Slot::for_key(&key);
        Ok(Inspection {
            id: id.clone(),
            slot,
            shard: self.topology().shard_of(slot).map(|shard| shard.primary.clone()),
            exists: key_ttl_seconds != -2,
            key_ttl_seconds,
            fields,
            key,
        })
    }

    /// The key's TTL in seconds: −1 for none, −2 where there is no such key.
    pub async fn key_ttl(&self, id: &EntityId) -> Result<i64, StoreError> {
        let key = self.kind.layout.load().key(id).map_err(RequestError::from)?;
        let timeout = self.engine.options.request_timeout;
        let replies = self.engine.run_key(&key, vec![ttl(&key)], Effect::None, timeout).await?;
        key_ttl_of(replies.first())
    }

    /// The TTL of each field in seconds, in the order of `features`: −1 for none, −2 where there is no such field.
    pub async fn field_ttls(&self, id: &EntityId, features: &[FeatureName]) -> Result<Vec<i64>, StoreError> {
        if features.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.kind.layout.load().key(id).map_err(RequestError::from)?;
        let timeout = self.engine.options.request_timeout;
        let mut replies =
            self.engine.run_key(&key, vec![httl(&key, features)], Effect::None, timeout).await?;
        field_ttls_of(replies.pop(), features.len())
    }
}

/// Asks for a key's TTL.
pub(super) fn ttl(key: &[u8]) -> Command {
    Command::new("TTL").arg(key)
}

/// A key's TTL in seconds: −1 for none, −2 where there is no such key.
pub(super) fn key_ttl_of(reply: Option<&Reply>) -> Result<i64, StoreError> {
    reply.and_then(Reply::as_i64).ok_or_else(|| StoreError::unexpected("TTL"))
}

/// Asks for the TTLs of fields.
pub(super) fn httl(key: &[u8], features: &[FeatureName]) -> Command {
    let names = features.iter().map(|name| name.as_bytes());
    Command::new("HTTL").arg(key).arg("FIELDS").number(features.len() as u64).args(names)
}

/// The TTL of each of so many fields in seconds: −1 for none, −2 where there is no such field.
pub(super) fn field_ttls_of(reply: Option<Reply>, fields: usize) -> Result<Vec<i64>, StoreError> {
    let codes = match reply {
        // Redis 7.4 answers nothing at all for a key that is not there.
        Some(Reply::Nil) => return Ok(vec![-2; fields]),
        reply => reply.and_then(Reply::into_array).unwrap_or_default(),
    };
    let codes: Vec<i64> = codes.iter().filter_map(Reply::as_i64).collect();
    if codes.len() == fields { Ok(codes) } else { Err(StoreError::unexpected("HTTL")) }
}

impl super::Engine {
    /// A key's expiry and all its fields at one moment. `key_ttl` and `field_ttl` are the commands to ask with.
    pub(super) async fn read_whole(
        &self,
        key: &[u8],
        key_ttl: &str,
        field_ttl: &str,
        timeout: Duration,
    ) -> Result<(i64, Vec<FieldView>), StoreError> {
        let script = Command::script(INSPECT_SCRIPT, key).arg(key_ttl).arg(field_ttl);
        let mut replies = self.run_key(key, vec![script], Effect::None, timeout).await?;
        let cells =
            replies.pop().and_then(Reply::into_array).ok_or_else(|| StoreError::unexpected("EVAL"))?;
        let (ttl, cells) = cells.split_first().ok_or_else(|| StoreError::unexpected("EVAL"))?;
        let field = |cells: &[Reply]| match cells {
            [name, value, ttl] => Some(FieldView {
                name: name.as_bytes()?.to_vec(),
                value: value.as_bytes()?.to_vec(),
                ttl_seconds: ttl.as_i64()?,
            }),
            _ => None,
        };
        let fields: Option<Vec<FieldView>> = cells.chunks(3).map(field).collect();
        Ok((
            ttl.as_i64().ok_or_else(|| StoreError::unexpected("EVAL"))?,
            fields.ok_or_else(|| StoreError::unexpected("EVAL"))?,
        ))
    }
}
