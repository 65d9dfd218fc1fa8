//! `slotwise get`, `inspect` and `slots`: one entity, and where ids lie.

use serde_json::json;

use crate::program::{on_cluster, run, run_with};
use crate::redis::redis;
use crate::support::{shared_cluster, unique_prefix};

#[tokio::test]
async fn get_prints_the_features_asked_for_or_all() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    redis(cluster, &["HSET", &format!("{prefix}u 1"), "a", "1", "b,c", "x\"y"]).await;
    let get = |args: &'static [&'static str]| {
        let prefix = prefix.clone();
        async move { run(&mut on_cluster(&prefix, ["get"].iter().chain(args).copied()).await).exits(0) }
    };
    let all = get(&["u 1"]).await;
    assert_eq!(
        all.ndjson(),
        [json!({"id": "u 1", "status": "found", "features": {"a": "1", "b,c": "x\"y"}})]
    );
    let some = get(&["u 1", "zip", "a"]).await;
    assert_eq!(
        some.ndjson(),
        [json!({"id": "u 1", "status": "partial", "features": {"zip": null, "a": "1"}})]
    );
    assert_eq!(some.err, "");
    assert_eq!(
        get(&["--format", "csv", "u 1", "b,c"]).await.out,
        "id,status,\"b,c\"\nu 1,found,\"x\"\"y\"\n"
    );
    let json = &get(&["--format", "json", "u 1", "a"]).await.ndjson()[0];
    assert_eq!(json["rows"], json!([{"id": "u 1", "status": "found", "values": ["1"]}]));
    let absent = get(&["nobody", "a"]).await;
    assert_eq!(absent.ndjson()[0]["status"], "missing");
    let nothing = get(&["nobody"]).await;
    assert_eq!((nothing.out.as_str(), nothing.err.as_str()), ("", "\"nobody\": there is no such entity\n"));
}

#[tokio::test]
async fn get_and_inspect_tell_what_is_wrong() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    redis(cluster, &["SET", &format!("{prefix}text"), "no hash"]).await;
    let long = "x".repeat(1025);
    let cases: &[(&[&str], i32, &str)] = &[
        (&["get", "", "a"], 2, "ID: an entity id is empty"),
        (&["get", &long, "a"], 2, "ID: an entity id has 1025 bytes, the limit is 1024"),
        (&["get", "u1", "a", ""], 2, "feature 2: a feature name is empty"),
        (&["get", "u1", "a", "a"], 2, "features: \"a\" is given twice"),
        (&["get", "--timeout-ms", "30001", "u1", "a"], 2, "timeout_ms: 30001 is not between 1 and 30000"),
        (&["get", "--entity", "item", "u1", "a"], 2, "entity: \"item\" is not configured; there is user"),
        (&["inspect", ""], 2, "ID: an entity id is empty"),
        (&["inspect", "text"], 1, "refused by the server: WRONGTYPE"),
        (&["slots", "a", ""], 2, "ID 2: an entity id is empty"),
        (&["cohort", "move", "vip"], 2, "cohort \"vip\" is not configured; there is none"),
    ];
    for (args, code, says) in cases {
        let ran = run(&mut on_cluster(&prefix, args.iter().copied()).await).exits(*code);
        ran.says_in_one_line(&[says]);
        assert_eq!(ran.err.matches("refused by the server").count(), usize::from(*code == 1), "{}", ran.err);
    }
    let ran = run(&mut on_cluster(&prefix, ["get", "text", "a"]).await).exits(3);
    assert!(ran.ndjson()[0]["error"].as_str().unwrap().starts_with("refused by the server: WRONGTYPE"));
}

#[tokio::test]
async fn inspect_shows_every_field_with_its_ttl() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let key = format!("{prefix}u\t1");
    redis(cluster, &["HSET", &key, "batch", "1\t2", "stream", "🦀"]).await;
    redis(cluster, &["EXPIRE", &key, "5000"]).await;
    redis(cluster, &["HEXPIRE", &key, "300", "FIELDS", "1", "stream"]).await;
    let slot = redis(cluster, &["CLUSTER", "KEYSLOT", &key]).await;
    let ran = run(&mut on_cluster(&prefix, ["inspect", "u\t1"]).await).exits(0);
    let lines: Vec<Vec<&str>> = ran.out.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines[0], ["key", &format!("{prefix}u\\t1")]);
    assert_eq!(lines[1], ["slot", &slot]);
    assert_eq!(lines[2], ["shard", &owner(&slot).await]);
    assert_eq!(lines[3], ["exists", "true"]);
    let seconds = |text: &str| text.parse::<i64>().unwrap();
    assert!((4_900..=5_000).contains(&seconds(lines[4][1])), "{}", ran.out);
    assert_eq!(lines[6], ["feature", "value", "ttl_seconds"]);
    assert_eq!(lines[7], ["batch", "1\\t2", "-1"]);
    assert_eq!(&lines[8][..2], ["stream", "🦀"]);
    assert!((250..=300).contains(&seconds(lines[8][2])), "{}", ran.out);
    let nobody = run(&mut on_cluster(&prefix, ["inspect", "nobody"]).await).exits(0);
    assert!(nobody.out.contains("\nexists\tfalse\nkey_ttl_seconds\t-2\n"), "{}", nobody.out);
}

/// The address of the primary that owns a slot: three shards share them in equal runs.
async fn owner(slot: &str) -> String {
    let shard = match slot.parse::<u16>().unwrap() {
        0..=5460 => 0,
        5461..=10_921 => 1,
        _ => 2,
    };
    shared_cluster().await.addrs()[shard].to_string()
}

#[tokio::test]
async fn slots_agrees_with_the_servers() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let ids = ["u0001", "a b", "{vip}:u1", "{}x", "{}{y}", "}{", "🦀", "x{tag}"];
    let ran = run(&mut on_cluster(&prefix, ["slots"].into_iter().chain(ids)).await).exits(0);
    let mut expected = "id\tkey\tslot\tshard\n".to_owned();
    for id in ids {
        let key = format!("{prefix}{id}");
        let slot = redis(cluster, &["CLUSTER", "KEYSLOT", &key]).await;
        expected.push_str(&format!("{id}\t{key}\t{slot}\t{}\n", owner(&slot).await));
    }
    assert_eq!(ran.out, expected);

    let shards = run(&mut on_cluster(&prefix, ["slots"]).await).exits(0);
    let addrs = cluster.addrs();
    let expected = format!(
        "shard\tslots\tranges\treplicas\n{}\t5461\t0-5460\t-\n{}\t5461\t5461-10921\t-\n{}\t5462\t10922-16383\t-\n",
        addrs[0], addrs[1], addrs[2]
    );
    assert_eq!(shards.out, expected);
}

#[tokio::test]
async fn slots_shows_how_a_list_spreads_over_the_shards() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let ids: Vec<String> = (0..60).map(|number| format!("u{number}")).collect();
    let mut keys = [0; 3];
    for id in &ids {
        let slot = redis(cluster, &["CLUSTER", "KEYSLOT", &format!("{prefix}{id}")]).await;
        let owner = owner(&slot).await;
        keys[cluster.addrs().iter().position(|addr| addr.to_string() == owner).unwrap()] += 1;
    }
    let list = format!("{}\nu0\nu1\n", ids.join("\n"));
    let ran = run_with(&mut on_cluster(&prefix, ["slots", "--ids", "-"]).await, list.as_bytes()).exits(0);
    ran.says(&["62 ids; 60 keys"]);
    for (line, keys) in ran.out.lines().skip(1).zip(keys) {
        assert_eq!(line.split('\t').nth(1), Some(keys.to_string().as_str()), "{}", ran.out);
    }
    let ran = run_with(&mut on_cluster(&prefix, ["slots", "--ids", "-"]).await, b"u1\n\n").exits(1);
    ran.says_in_one_line(&["-:2: the line is blank"]);
}
