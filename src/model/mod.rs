//! What slotwise talks about: entities, features, batches and the status of a row. No I/O, no runtime.

mod batch;
mod entity;
mod entity_schema;
mod feature;
pub mod limits;
mod row;
mod schema;
mod status;

pub use batch::{Cells, FeatureBatch, FeatureBatchBuilder, ReplyBlock, RowView, Span};
pub use entity::{EntityId, EntityIdError};
pub use entity_schema::{FeatureClass, FeatureClassError, FeatureSpec, Schema, SchemaError, SchemaViolation};
pub use feature::{FeatureName, FeatureNameError, FeatureValue, Shortest};
pub use row::FeatureRow;
pub use schema::{Column, FeatureType, FeatureTypeError, Projection, TypedValue};
pub use status::{BatchSummary, RowStatus, UnavailableReason};
