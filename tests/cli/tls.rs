//! The program on a cluster that speaks TLS, and what it says where a file or an address is wrong.

use crate::program::{run, run_with, slotwise};
use crate::support::certs::{Certs, tls_cluster};

#[tokio::test]
async fn a_cluster_with_tls_is_loaded_and_read_whoever_names_the_files() {
    let it = tls_cluster(true).await;
    let (urls, file) = (it.cluster.urls(), |name: &str| it.certs.path(name));
    assert!(urls.starts_with("rediss://"), "{urls}");
    let (cert, key) = (file("client.pem"), file("client.key"));

    // The environment.
    let mut load = slotwise(["load", "--synthetic", "200", "--redis-url", &urls]);
    load.env("SLOTWISE_REDIS_TLS_CA_FILE", file("ca.pem"));
    load.env("SLOTWISE_REDIS_TLS_CERT_FILE", &cert).env("SLOTWISE_REDIS_TLS_KEY_FILE", &key);
    run(&mut load).exits(0);

    // The config file, with names relative to it.
    let config = file("slotwise.toml");
    let text =
        "[redis]\ntls_ca_file = \"ca.pem\"\ntls_cert_file = \"client.pem\"\ntls_key_file = \"client.key\"\n";
    std::fs::write(&config, text).unwrap();
    let args = ["batch", "--ids", "-", "--features", "risk_segment", "--redis-url", &urls];
    let batch = run_with(slotwise(args).arg("--config").arg(&config), b"u0007\nnobody\nu0001\n").exits(0);
    let rows = batch.ndjson();
    let seen = rows.iter().map(|row| (row["id"].as_str().unwrap(), row["status"].as_str().unwrap()));
    let seen: Vec<_> = seen.collect();
    assert_eq!(seen, [("u0007", "found"), ("nobody", "missing"), ("u0001", "found")], "{batch:?}");

    // The system's certificates.
    let mut get = slotwise(["get", "u0001", "risk_segment", "--redis-url", &urls]);
    get.env("SLOTWISE_REDIS_TLS_CERT_FILE", &cert).env("SLOTWISE_REDIS_TLS_KEY_FILE", &key);
    run(get.env("SSL_CERT_FILE", file("ca.pem"))).exits(0);
    run(get.env("SSL_CERT_FILE", file("other-ca.pem")))
        .exits(1)
        .says_in_one_line(&["certificate", "tls_ca_file"]);
}

#[test]
fn files_for_tls_that_will_not_do_are_told_with_their_field() {
    let certs = Certs::new();
    let config = certs.path("slotwise.toml");
    for (url, lines, says) in [
        ("redis://h:1", "tls_ca_file = \"ca.pem\"", &["redis.tls_ca_file: ", "say rediss://"][..]),
        ("rediss://h:1", "tls_ca_file = \"none.pem\"", &["redis.tls_ca_file: ", "none.pem: can't be read"]),
        (
            "rediss://h:1",
            "tls_ca_file = \"ca.pem\"\ntls_cert_file = \"client.pem\"",
            &["redis.tls_cert_file: "],
        ),
        (
            "rediss://h:1",
            "tls_ca_file = \"ca.pem\"\ntls_key_file = \"client.key\"",
            &["redis.tls_key_file: "],
        ),
    ] {
        std::fs::write(&config, format!("[redis]\nurls = [\"{url}\"]\n{lines}\n")).unwrap();
        let ran = run(slotwise(["get", "u1", "a"]).arg("--config").arg(&config)).exits(2);
        ran.says_in_one_line(&[says, &["slotwise.toml: redis.tls_"]].concat());
    }
    let mut get = slotwise(["get", "u1", "a", "--redis-url", "rediss://h:1"]);
    let ran = run(get.env("SLOTWISE_REDIS_TLS_CA_FILE", certs.path("client.key"))).exits(2);
    ran.says_in_one_line(&["SLOTWISE_REDIS_TLS_CA_FILE: ", "client.key: holds no PEM certificate"]);
}
