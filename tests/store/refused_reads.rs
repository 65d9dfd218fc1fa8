//! Reads that are at fault themselves: refused by field and limit. That nothing is sent is seen in `pipelines`.

use std::time::Duration;

use slotwise::store::{RequestError, StoreOptions};

use crate::support::features::{ids, kind, names, options, store_with};
use crate::support::{shared_cluster, unique_prefix};

#[tokio::test]
async fn a_read_beyond_a_limit_is_refused_by_field_and_limit() {
    let options = StoreOptions {
        batch_ids_max: 10,
        batch_features_max: 4,
        batch_cells_max: 20,
        request_timeout_max: Duration::from_secs(2),
        ..options()
    };
    let store = store_with(shared_cluster().await, kind(&unique_prefix()), options).await;
    let ms = |ms| Some(Duration::from_millis(ms));
    let cases = [
        (11, 1, None, "ids: 11", "10"),
        (1, 5, None, "features: 5", "4"),
        (7, 3, None, "21 cells", "20"),
        (1, 0, None, "features: the list is empty", "at least one"),
        (1, 1, ms(0), "timeout_ms: 0", "2000"),
        (1, 1, ms(2_001), "timeout_ms: 2001", "2000"),
    ];
    for (id_count, feature_count, timeout, field, limit) in cases {
        let features = names(&["a", "b", "c", "d", "e"][..feature_count]);
        let error = store.batch_get_features(ids("u", 0..id_count), features, timeout).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(field) && text.contains(limit), "{text}");
    }
    for (id_count, feature_count, timeout) in [(10, 2, ms(2_000)), (5, 4, ms(1_999)), (0, 1, None)] {
        let features = names(&["a", "b", "c", "d"][..feature_count]);
        assert!(store.batch_get_features(ids("u", 0..id_count), features, timeout).await.is_ok());
    }
}

#[tokio::test]
async fn an_entity_kind_that_is_not_configured_is_refused_by_name() {
    let store = store_with(shared_cluster().await, kind(&unique_prefix()), options()).await;
    assert!(store.entity(None).is_ok() && store.entity(Some("user")).is_ok());
    let error = store.entity(Some("merchant")).unwrap_err();
    assert!(matches!(error, RequestError::UnknownEntity { .. }));
    assert!(error.to_string().contains("merchant") && error.to_string().contains("user"), "{error}");
}
