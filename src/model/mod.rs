//! What slotwise talks about: entities, features, batches and the status of a row. No I/O, no runtime.

mod batch;
mod entity;
mod feature;
pub mod limits;
mod row;
mod schema;
mod status;

pub use batch::{Cells, FeatureBatch, FeatureBatchBuilder, ReplyBlock, RowView, Span};
pub use entity::{EntityId, EntityIdError};
pub use feature::{FeatureName, FeatureNameError, FeatureValue};
pub use row::FeatureRow;
pub use schema::{Column, FeatureType, FeatureTypeError, Projection, TypedValue};
pub use status::{BatchSummary, RowStatus, UnavailableReason};
