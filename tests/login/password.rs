//! Clusters with a password.

use slotwise::devcluster::{ClusterSpec, LocalCluster};
use slotwise::shard::RedisSettings;

use super::open;
use crate::support::features::{Oracle, assert_filled, assert_transport, feature, id, ids, names};
use crate::support::{server, start, unique_prefix};

const PASSWORD: &str = "corr3ct/h@rse";

fn settings(cluster: &LocalCluster, login: &str) -> RedisSettings {
    let urls = cluster.addrs().into_iter().map(|addr| format!("redis://{login}{addr}"));
    RedisSettings::from_urls(urls).unwrap()
}

#[tokio::test]
async fn the_right_password_works_and_a_wrong_one_is_refused_without_being_shown() {
    let mut spec = ClusterSpec::new(server().await, 2);
    for name in ["requirepass", "masterauth"] {
        spec.extra_config.push((name.to_owned(), PASSWORD.to_owned()));
    }
    let (cluster, prefix) = (start(spec).await, unique_prefix());
    let store = open(settings(&cluster, ":corr3ct%2Fh%40rse@"), &prefix).await.unwrap();
    let asked = ids("u", 0..100);
    Oracle::of(&cluster).await.fill(&prefix, &asked).await;
    assert_filled(&store.batch_get_features(asked, names(&["v"]), None).await.unwrap());
    assert_transport(&cluster).await;
    store.update_streaming(&id("u"), &[feature("s", "1")], None).await.unwrap();
    assert_eq!(store.count_entities().await.unwrap(), 101);

    let begun = std::time::Instant::now();
    for (login, says) in [(":wr0ng-secret@", "WRONGPASS"), ("ada:wr0ng-secret@", "WRONGPASS"), ("", "NOAUTH")]
    {
        let error = open(settings(&cluster, login), &prefix).await.unwrap_err();
        let (text, debug) = (error.to_string(), format!("{error:?}"));
        assert!(!debug.contains("wr0ng-secret") && !text.contains("wr0ng-secret"), "{debug}");
        assert!(text.to_uppercase().contains(says) || text.contains("uthentication"), "{login:?}: {text}");
        assert!(text.contains(&cluster.addrs()[0].to_string()), "{text}");
    }
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
