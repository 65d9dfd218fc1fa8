//! Where the password for Redis may come from, and that nothing shows it.

use nix::sys::signal::Signal;
use serde_json::json;
use slotwise::devcluster::{ClusterSpec, LocalCluster};

use crate::program::{Background, get, post_batch, run, slotwise};
use crate::support::{free_first_port, processes_in, server, start};

const PASSWORD: &str = "hush-7d41c0ffee";

async fn cluster_with_password() -> LocalCluster {
    let mut spec = ClusterSpec::new(server().await, 1);
    for name in ["requirepass", "masterauth"] {
        spec.extra_config.push((name.to_owned(), PASSWORD.to_owned()));
    }
    start(spec).await
}

/// The arguments of every process there is, as far as they may be seen.
fn process_listing() -> String {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ") + "\n").collect()
}

#[tokio::test]
async fn a_password_of_any_source_works_and_shows_nowhere() {
    let cluster = cluster_with_password().await;
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("password"), format!("{PASSWORD}\n")).unwrap();
    std::fs::write(home.path().join("wrong"), "hush-wrong").unwrap();
    let config = home.path().join("slotwise.toml");
    std::fs::write(&config, "[redis]\npassword_file = \"password\"\n").unwrap();
    let (file, wrong) = (home.path().join("password"), home.path().join("wrong"));
    let urls = cluster.urls();
    let with_password = urls.replace("redis://", &format!("redis://default:{PASSWORD}@"));
    for source in 0..5 {
        let mut command = slotwise(["serve", "--listen", "127.0.0.1:0", "--log", "trace"]);
        command.env("SLOTWISE_REDIS_URL", &urls);
        match source {
            0 => command.env("SLOTWISE_REDIS_URL", &with_password),
            1 => command.env("SLOTWISE_REDIS_USERNAME", "default").env("SLOTWISE_REDIS_PASSWORD", PASSWORD),
            2 => command.env("SLOTWISE_REDIS_PASSWORD_FILE", &file),
            3 => command.arg("--config").arg(&config),
            // The flag stands over the environment.
            _ => command.env("SLOTWISE_REDIS_PASSWORD", "hush-wrong").arg("--redis-password-file").arg(&file),
        };
        let mut server = Background::start(&mut command);
        let address = server.told("listens on http://").await;
        let body = json!({"ids": ["u1"], "features": ["f"], "timeout_ms": 5000});
        let (_, answer) = post_batch(&address, &body).await;
        assert_eq!(answer["summary"]["missing"], 1, "{source}: {answer}");
        let (_, shown) = get(&format!("http://{address}/v1/cluster")).await;
        let (_, ready) = get(&format!("http://{address}/readyz")).await;
        assert!(!format!("{shown} {ready}").contains("hush-"), "{shown} {ready}");
        let listing = process_listing();
        assert!(listing.contains("slotwise") && !listing.contains("hush-"), "{listing}");
        server.send(Signal::SIGINT);
        let ran = server.ended().await.exits(0);
        assert!(!ran.err.contains("hush-"), "{source}: {}", ran.err);
    }
    let mut refused = slotwise(["get", "u1", "f", "--log", "trace", "--redis-password-file"]);
    let ran = run(refused.arg(&wrong).env("SLOTWISE_REDIS_URL", &urls)).exits(1);
    assert!(ran.err.contains("WRONGPASS") && !ran.err.contains("hush-"), "{}", ran.err);
}

#[tokio::test]
async fn the_servers_of_a_demo_hear_of_no_password() {
    let home = tempfile::tempdir().unwrap();
    let port = free_first_port().to_string();
    let mut command = slotwise(["demo", "--port", &port, "--seed-users", "1", "--shards", "1"]);
    command.env("SLOTWISE_REDIS_URL", format!("redis://:{PASSWORD}@10.0.0.1:1"));
    let mut demo = Background::start(command.env("TMPDIR", home.path()));
    demo.told("streaming worker running.").await;
    assert!(!processes_in(&home.path().canonicalize().unwrap()).is_empty());
    assert!(!process_listing().contains(PASSWORD));
    demo.send(Signal::SIGINT);
    let ran = demo.ended().await.exits(0);
    assert!(!ran.err.contains(PASSWORD) && !ran.out.contains(PASSWORD), "{ran:?}");
}

#[test]
fn a_password_among_the_arguments_is_refused_without_being_shown() {
    for url in
        ["redis://:hush-1@h:1", "redis://ada:hush-1@h:1,redis://h:2", "rediss://h:1,redis://:hush-1@h:2"]
    {
        for args in [vec!["--redis-url".to_owned(), url.to_owned()], vec![format!("--redis-url={url}")]] {
            let ran = run(slotwise(["get", "u1", "f"]).args(args)).exits(2);
            ran.says_in_one_line(&["--redis-url", "--redis-password-file", "SLOTWISE_REDIS_PASSWORD"]);
            assert!(!ran.err.contains("hush"), "{}", ran.err);
        }
    }
    // A comma separates addresses; half a password is none.
    for given in ["redis://:hush-1,hush-2@h:1", "redis://h:1,redis://a:hu,sh@h:2"] {
        let ran = run(slotwise(["get", "u1", "f"]).env("SLOTWISE_REDIS_URL", given)).exits(2);
        ran.says_in_one_line(&["%2C"]);
        assert!(!ran.err.contains("hu"), "{}", ran.err);
    }
    // A name alone is no secret; but without a password nobody logs in as it.
    let with_name = || slotwise(["get", "u1", "f", "--redis-url", "redis://ada@127.0.0.1:1"]);
    run(with_name().env("SLOTWISE_REDIS_PASSWORD", PASSWORD)).exits(1);
    run(&mut with_name()).exits(2).says_in_one_line(&["redis.username", "password"]);
}
