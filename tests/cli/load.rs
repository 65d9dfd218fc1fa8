//! `slotwise load`: what is written, and that every row is accounted for.

use std::io::Write;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::program::{Background, on_cluster, run, run_with};
use crate::redis::{Features, count, hash, redis, synthetic, ttl, users};
use crate::support::{SOON, shared_cluster, unique_prefix, wait_until};

#[tokio::test]
async fn synthetic_users_are_what_redis_holds_then_with_a_ttl() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let ran = run(&mut on_cluster(&prefix, ["load", "--synthetic", "3000"]).await).exits(0);
    assert_eq!(ran.out, "");
    ran.says(&["3000 rows written, 0 rejected"]);
    assert_eq!(count(cluster, &prefix).await, 3000);
    for (id, features) in users(3000).into_iter().step_by(199) {
        let key = format!("{prefix}{id}");
        assert_eq!(hash(cluster, &key).await, features, "{key}");
        let ttl = ttl(cluster, &key).await;
        assert!((86_300..=86_400).contains(&ttl), "{ttl}");
    }
}

#[tokio::test]
async fn a_seed_gives_the_same_users_again_and_another_seed_others() {
    let cluster = shared_cluster().await;
    let mut seen = Vec::new();
    for seed in ["7", "7", "8"] {
        let prefix = unique_prefix();
        let args = ["load", "--synthetic", "20", "--seed", seed, "--ttl-seconds", "600"];
        run(&mut on_cluster(&prefix, args).await).exits(0);
        let mut rows = Vec::new();
        for (id, features) in synthetic(20, seed.parse().unwrap()) {
            rows.push(hash(cluster, &format!("{prefix}{id}")).await);
            assert_eq!(rows.last(), Some(&features));
        }
        let ttl = ttl(cluster, &format!("{prefix}u0001")).await;
        assert!((500..=600).contains(&ttl), "{ttl}");
        seen.push(rows);
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
}

fn features(pairs: &[(&str, &str)]) -> Features {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn csv_and_ndjson_files_are_loaded_together_whatever_their_ids_hold() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let csv = "\u{feff}id,risk,\"a,b\"\r\nc1,low,\r\n\"c \"\"2\"\"\nx\",🦀,{x}\r\n";
    std::fs::write(path("users.CSV"), csv).unwrap();
    let ndjson = "{\"id\":\"n{1}\",\"features\":{\"n\":1.50,\"t\":true,\"s\":\"a\\nb\"}}\n\n\
                  {\"features\":{\"n\":18446744073709551615},\"id\":\"c1\"}";
    std::fs::write(path("users.jsonl"), ndjson).unwrap();
    let args = ["load", &path("users.CSV"), &path("users.jsonl")];
    run(&mut on_cluster(&prefix, args).await).exits(0).says(&["4 rows written, 0 rejected"]);
    for (id, expected) in [
        ("c1", features(&[("risk", "low"), ("n", "18446744073709551615")])),
        ("c \"2\"\nx", features(&[("risk", "🦀"), ("a,b", "{x}")])),
        ("n{1}", features(&[("n", "1.5"), ("t", "true"), ("s", "a\nb")])),
    ] {
        assert_eq!(hash(cluster, &format!("{prefix}{id}")).await, expected, "{id:?}");
    }
}

#[tokio::test]
async fn standard_input_is_loaded_in_the_format_that_is_named() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let csv = on_cluster(&prefix, ["load", "-", "--format", "csv"]).await;
    run_with(&mut { csv }, b"a,id\n1,s1\n").exits(0).says(&["1 rows written"]);
    let ndjson = on_cluster(&prefix, ["load", "-", "--format", "ndjson"]).await;
    let line = br#"{"id":"s2","features":{"a":2}}"#;
    run_with(&mut { ndjson }, line).exits(0).says(&["1 rows written"]);
    for (id, value) in [("s1", "1"), ("s2", "2")] {
        assert_eq!(redis(cluster, &["HGET", &format!("{prefix}{id}"), "a"]).await, value);
    }
}

#[tokio::test]
async fn ctrl_c_in_the_middle_tells_what_is_written_and_fails() {
    let (cluster, prefix) = (shared_cluster().await, unique_prefix());
    let mut command = on_cluster(&prefix, ["load", "-", "--format", "ndjson"]).await;
    let mut load = Background::start(command.stdin(Stdio::piped()));
    let mut input = load.stdin();
    for number in 0..5_000 {
        writeln!(input, "{{\"id\":\"i{number}\",\"features\":{{\"a\":{number}}}}}").unwrap();
    }
    input.flush().unwrap();
    let all = || async { count(cluster, &prefix).await == 5_000 };
    wait_until("the rows sent so far", SOON, all).await;
    // The input stays open: the load would go on.
    load.send(Signal::SIGINT);
    let ran = load.ended().await.exits(1);
    ran.says(&["5000 rows written, 0 rejected", "interrupted; the rows counted above are loaded"]);
    drop(input);
}
