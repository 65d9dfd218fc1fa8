//! `slotwise cohort`: members under the cohort's key and back, with what they had.

use crate::program::{on_cluster, run};
use crate::redis::{count, hash, redis, ttl};
use crate::support::{shared_cluster, unique_prefix};

const CONFIG: &str = r#"
[[entity]]
name = "user"
[[entity.cohort]]
name = "vip"
members = ["u1", "u 2", "nobody"]
[[entity.cohort]]
name = "spread"
tags = ["s0", "s1"]
members_file = "spread.txt"
"#;

#[tokio::test]
async fn a_cohort_moves_under_its_key_and_back_and_keeps_values_and_ttls() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("slotwise.toml");
    std::fs::write(&config, CONFIG).unwrap();
    std::fs::write(home.path().join("spread.txt"), "s1\ns2\ns3\n").unwrap();
    let plain = |id: &str| format!("{prefix}{id}");
    let tagged = |id: &str| format!("{prefix}{{vip}}:{id}");
    for id in ["u1", "u 2", "other"] {
        redis(cluster, &["HSET", &plain(id), "risk", "low", "tx", id]).await;
        redis(cluster, &["EXPIRE", &plain(id), "5000"]).await;
        redis(cluster, &["HEXPIRE", &plain(id), "300", "FIELDS", "1", "tx"]).await;
    }
    let with_config = |args: &'static [&'static str]| {
        let (prefix, config) = (prefix.clone(), config.clone());
        async move {
            let mut command = on_cluster(&prefix, args.iter().copied()).await;
            run(command.arg("--config").arg(config)).exits(0).out
        }
    };

    let listed = with_config(&["cohort", "list"]).await;
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines[0], ["cohort", "members", "tag", "slot", "shard"]);
    let slot = redis(cluster, &["CLUSTER", "KEYSLOT", "{vip}"]).await;
    assert_eq!(&lines[1][..4], ["vip", "3", "vip", &slot]);
    assert_eq!((lines[2][0], lines[2][2], lines[3][2]), ("spread", "s0", "s1"));
    let members = |line: &[&str]| line[1].parse::<usize>().unwrap();
    assert_eq!((lines.len(), members(&lines[2]) + members(&lines[3])), (4, 3));

    assert!(
        with_config(&["get", "u1", "risk"]).await.contains("missing"),
        "reads look under the cohort's key"
    );
    let moved = with_config(&["cohort", "move", "vip"]).await;
    assert!(moved.starts_with("2 moved, 0 merged into what was there, 0 there already, 1 absent, 0 failed"));
    assert!(with_config(&["get", "u 2", "risk", "tx"]).await.contains(r#"{"risk":"low","tx":"u 2"}"#));
    let again = with_config(&["cohort", "move", "vip"]).await;
    assert!(again.starts_with("0 moved, 0 merged into what was there, 2 there already, 1 absent"), "{again}");
    assert_eq!((count(cluster, &prefix).await, ttl(cluster, &plain("u1")).await), (3, -2));
    let ttls = |key: String| async move {
        let field = redis(cluster, &["HTTL", &key, "FIELDS", "1", "tx"]).await;
        (ttl(cluster, &key).await, field.parse::<i64>().unwrap())
    };
    for id in ["u1", "u 2"] {
        let (key, field) = ttls(tagged(id)).await;
        assert!((4_900..=5_000).contains(&key) && (250..=300).contains(&field), "{key} {field}");
    }

    let back = with_config(&["cohort", "move", "vip", "--back"]).await;
    assert!(back.starts_with("2 moved"), "{back}");
    for id in ["u1", "u 2", "other"] {
        let (key, field) = ttls(plain(id)).await;
        assert!((4_900..=5_000).contains(&key) && (250..=300).contains(&field), "{key} {field}");
        let held = [("risk".to_owned(), "low".to_owned()), ("tx".to_owned(), id.to_owned())];
        assert_eq!(hash(cluster, &plain(id)).await, held.into());
    }
    assert_eq!(count(cluster, &prefix).await, 3);
}
