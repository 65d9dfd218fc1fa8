//! Who a server lets in, and where it listens.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::program::{Background, on_cluster, run, slotwise};
use crate::support::{SOON, unique_prefix, wait_until};

const TOKEN: &str = "s3cret-0123456789abcdef";
const NEXT: &str = "s3cret-fedcba9876543210";

fn write_tokens(path: &Path, token: &str) {
    let text = format!("[[token]]\nname = \"scoring\"\ntoken = \"{token}\"\nscopes = [\"read\"]\n");
    // As whoever changes such a file should: whole or not at all.
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::set_permissions(&next, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::rename(next, path).unwrap();
}

async fn status(address: &str, token: &str) -> u16 {
    let url = format!("http://{address}/v1/features/u1?features=f");
    reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn tokens_are_read_again_when_they_change_and_are_never_logged() {
    let home = tempfile::tempdir().unwrap();
    let (file, config) = (home.path().join("tokens.toml"), home.path().join("slotwise.toml"));
    write_tokens(&file, TOKEN);
    std::fs::write(&config, "[http]\ntokens_file = \"tokens.toml\"\ntokens_poll_interval_ms = 10\n").unwrap();
    let args = ["serve", "--listen", "0.0.0.0:0", "--log", "trace", "--config", config.to_str().unwrap()];
    let mut server = Background::start(&mut on_cluster(&unique_prefix(), args).await);
    let address = server.told("listens on http://").await.replace("0.0.0.0", "127.0.0.1");
    assert_eq!((status(&address, TOKEN).await, status(&address, NEXT).await), (200, 401));

    std::fs::write(&file, format!("[[token]]\nname = \"scoring\"\ntoken = \"{NEXT}\"\nscope = 1\n")).unwrap();
    let logged = server.told("the last good tokens stay in force").await;
    assert!(logged.contains("tokens.toml: line 4: unknown field `scope`"), "{logged}");
    assert_eq!((status(&address, TOKEN).await, status(&address, NEXT).await), (200, 401));

    write_tokens(&file, NEXT);
    wait_until("the new token", SOON, || async { status(&address, NEXT).await == 200 }).await;
    assert_eq!(status(&address, TOKEN).await, 401);
    server.send(Signal::SIGINT);
    let ran = server.ended().await.exits(0);
    assert!(ran.err.contains("caller=\"scoring\"") && !ran.err.contains("s3cret"), "{}", ran.err);
}

#[test]
fn a_tokens_file_that_will_not_do_is_told_with_its_line() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("tokens.toml");
    let path = file.to_str().unwrap();
    let serve = || slotwise(["serve", "--redis-url", "127.0.0.1:1", "--tokens-file", path]);
    run(&mut serve()).exits(2).says_in_one_line(&["tokens file: ", path, ": can't be read: "]);
    std::fs::write(&file, "[[token]]\nname = \"a\"\n\ntoken = \"s3cret\"\nscopes = [\"read\"]\n").unwrap();
    let ran = run(&mut serve()).exits(2);
    ran.says_in_one_line(&[path, ": line 4: token: it is not 16 to 512 "]);
    assert!(!ran.err.contains("s3cret"));
    // The environment names it as well.
    let mut by_env = slotwise(["demo", "--redis-url", "127.0.0.1:1"]);
    run(by_env.env("SLOTWISE_TOKENS_FILE", path)).exits(2).says_in_one_line(&[": line 4: "]);
}

#[tokio::test]
async fn everybody_may_read_the_file_and_is_warned_of_it() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("tokens.toml");
    write_tokens(&file, TOKEN);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let args = ["serve", "--listen", "127.0.0.1:0", "--tokens-file", file.to_str().unwrap()];
    let mut server = Background::start(&mut on_cluster(&unique_prefix(), args).await);
    server.told("listens on http://").await;
    assert!(server.err().contains("everybody on this machine may read the tokens file"), "{}", server.err());
}

#[tokio::test]
async fn only_this_machine_is_listened_to_without_tokens_unless_told_otherwise() {
    for args in [
        &["serve", "--listen", "0.0.0.0:0"][..],
        &["serve", "--listen", "[::]:0"],
        &["demo", "--host", "0.0.0.0", "--port", "0"],
    ] {
        let ran = run(slotwise(args).args(["--redis-url", "127.0.0.1:1"])).exits(2);
        ran.says_in_one_line(&["without tokens", "--tokens-file", "--insecure"]);
    }
    let args = ["serve", "--listen", "0.0.0.0:0", "--insecure"];
    let mut server = Background::start(&mut on_cluster(&unique_prefix(), args).await);
    let address = server.told("listens on http://").await.replace("0.0.0.0", "127.0.0.1");
    let (code, health) = crate::program::get(&format!("http://{address}/healthz")).await;
    assert_eq!((code, health), (200, json!({"status": "ok"})));
    server.send(Signal::SIGINT);
    server.ended().await.exits(0);
}
