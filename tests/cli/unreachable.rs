//! No cluster, the wrong one, or a config that can't be: one line, soon, and the right exit status.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::program::{Background, on_cluster, run, slotwise};
use crate::support::{shared_cluster, unique_prefix};

/// Longest time until an unreachable cluster is reported.
const REPORTED_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn an_unreachable_cluster_is_one_line_with_the_address_and_why_in_time() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Takes connections, as far as the kernel does, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_addr = silent.local_addr().unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    for (addr, why) in [(closed.to_string(), "Connection refused"), (silent_addr.to_string(), "")] {
        for args in [&serve[..], &["get", "u1", "a"], &["load", "--synthetic", "5"]] {
            let begun = Instant::now();
            let ran =
                run(slotwise(args).env("SLOTWISE_REDIS_URL", format!("redis://:hunter2@{addr}"))).exits(1);
            assert!(begun.elapsed() < REPORTED_WITHIN, "{:?}", begun.elapsed());
            ran.says_in_one_line(&["can't connect to a Redis Cluster at ", &addr, why]);
            assert!(!ran.err.contains("hunter2"), "{}", ran.err);
        }
    }
}

#[tokio::test]
async fn a_server_that_still_connects_ends_when_it_is_asked_to() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let urls = silent.local_addr().unwrap().to_string();
    let server = Background::start(&mut slotwise(["serve", "--listen", "127.0.0.1:0", "--redis-url", &urls]));
    let _asked = silent.accept().unwrap();
    server.send(Signal::SIGTERM);
    server.ended().await.exits(1).says_in_one_line(&["interrupted while connecting"]);
}

#[test]
fn an_address_that_is_none_is_wrong_usage_and_its_password_stays_hidden() {
    for (url, says) in [
        ("http://u:hunter2@h:1", "is not a Redis address"),
        ("redis://u:hunter2@h:1/3", "is not a Redis address"),
        ("rediss://:hunter2@h:1,redis://:hunter2@h:2", "some Redis addresses say rediss://"),
        ("redis://:hunter2@h:1,redis://:hunter3@h:2", "different users or passwords"),
        ("redis://u:hunter2@h:99999", "is not a Redis address"),
        (",", "no Redis address is given"),
    ] {
        let ran = run(slotwise(["get", "u1", "a"]).env("SLOTWISE_REDIS_URL", url)).exits(2);
        ran.says_in_one_line(&[says]);
        assert!(!ran.err.contains("hunter"), "{}", ran.err);
    }
    run(&mut slotwise(["get", "u1", "a"]))
        .exits(2)
        .says_in_one_line(&["pass --redis-url, set SLOTWISE_REDIS_URL"]);
}

#[tokio::test]
async fn a_config_with_a_mistake_is_told_with_its_line_and_field() {
    let prefix = unique_prefix();
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("slotwise.toml");
    for (text, says) in [
        (
            "[read]\nbatch_id_max = 5\n",
            &["line 2, column 1: unknown field `batch_id_max`", "`batch_ids_max`"][..],
        ),
        ("[http]\n\n  listen = \"nowhere\"\n", &["line 3, column 12: listen: an address with a port"]),
        ("[redis\n", &["line 1, column 7: "]),
        ("[read]\nbatch_ids_max = \"many\"\n", &["line 2, column 17: batch_ids_max: a whole number"]),
        ("[http]\nconnections_max = 0\n", &["http.connections_max: 0"]),
        (
            "[[entity]]\nname = \"u\"\nbatch_ttl_seconds = 0\n",
            &["entity[0].batch_ttl_seconds: 0 is not between"],
        ),
        (
            "[[entity]]\nname = \"u\"\nprefix = \"a\"\n[[entity]]\nname = \"v\"\nprefix = \"ab\"\n",
            &["--key-prefix", "--entity"],
        ),
    ] {
        std::fs::write(&config, text).unwrap();
        let args = ["serve", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()];
        let ran = run(&mut on_cluster(&prefix, args).await).exits(2);
        ran.says_in_one_line(says);
    }
    std::fs::write(&config, [0xff, 0xfe]).unwrap();
    let absent = home.path().join("absent.toml");
    for (path, says) in
        [(&config, "slotwise.toml: line 1, column 1: not UTF-8"), (&absent, "absent.toml: can't be read")]
    {
        let ran = run(slotwise(["serve"]).arg("--config").arg(path)).exits(2);
        ran.says_in_one_line(&[says]);
    }
    let overlap = "[[entity]]\nname = \"u\"\nprefix = \"a\"\n[[entity]]\nname = \"v\"\nprefix = \"ab\"\n";
    std::fs::write(&config, overlap).unwrap();
    let urls = shared_cluster().await.urls();
    let ran = run(slotwise(["serve", "--redis-url", &urls]).arg("--config").arg(&config)).exits(2);
    ran.says_in_one_line(&["the key prefixes \"a\" of \"u\" and \"ab\" of \"v\" overlap"]);
}
