//! How one shard is talked to. The only importer of `redis`.
