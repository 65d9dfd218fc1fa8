//! One server process: its configuration, its start, its last words, and whether a process is still it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::error::DevClusterError;
use super::folder::failed;
use super::guard::Guard;
use super::limits::{LOG_TAIL_BYTES_MAX, LOG_TAIL_LINES_MAX};
use super::ports::NodePorts;
use super::spec::{ClusterSpec, ClusterTls};

const CONFIG_FILE: &str = "redis.conf";
const LOG_FILE: &str = "server.log";

/// Becomes the server once it is told to; if its parent dies before the guard knows of it, the pipe ends and so
/// does it.
const LAUNCHER: &str = r#"read -r word && [ "$word" = go ] && exec "$@" </dev/null"#;

/// Writes the configuration of one node into its folder.
pub(super) fn write_config(
    spec: &ClusterSpec,
    ports: NodePorts,
    folder: &Path,
) -> Result<(), DevClusterError> {
    let path = folder.join(CONFIG_FILE);
    let (plain, tls) = if spec.tls.is_some() { (0, ports.client) } else { (ports.client, 0) };
    let mut text = format!(
        "port {plain}\nbind 127.0.0.1\ncluster-enabled yes\ncluster-port {}\ncluster-config-file nodes.conf\n\
         cluster-node-timeout {}\ncluster-announce-ip 127.0.0.1\ncluster-allow-replica-migration no\n\
         cluster-require-full-coverage no\nsave \"\"\nappendonly no\ndaemonize no\nlogfile {LOG_FILE}\n\
         repl-diskless-sync yes\nrepl-diskless-sync-delay 0\n",
        ports.bus,
        spec.node_timeout.as_millis(),
    );
    if let Some(ClusterTls { cert, key, ca, client_cert_needed }) = &spec.tls {
        let (cert, key, ca) = (cert.display(), key.display(), ca.display());
        let clients = if *client_cert_needed { "yes" } else { "optional" };
        text.push_str(&format!(
            "tls-port {tls}\ntls-cert-file {cert}\ntls-key-file {key}\ntls-ca-cert-file {ca}\n\
             tls-auth-clients {clients}\ntls-cluster yes\ntls-replication yes\n"
        ));
    }
    if let Some(password) = spec.password() {
        text.push_str(&format!("masterauth {password}\n"));
    }
    for (name, value) in &spec.extra_config {
        text.push_str(&format!("{name} {value}\n"));
    }
    std::fs::write(&path, text).map_err(failed(&path, "write the configuration"))
}

/// Starts the server of a folder that has a configuration; the guard knows of it before it runs.
pub(super) fn launch(
    server: &Path,
    port: u16,
    folder: &Path,
    guard: &mut Guard,
) -> Result<Child, DevClusterError> {
    let log_path = folder.join(LOG_FILE);
    let open = || OpenOptions::new().create(true).append(true).open(&log_path);
    let log = open().map_err(failed(&log_path, "write the log"))?;
    let log_too = log.try_clone().map_err(failed(&log_path, "write the log"))?;
    let cant = |reason| DevClusterError::Launch { port, reason };
    let mut child = Command::new("sh")
        .args(["-c", LAUNCHER, "slotwise-launcher"])
        .arg(server)
        .arg(CONFIG_FILE)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(log_too)
        .process_group(0)
        .spawn()
        .map_err(cant)?;
    let told = guard.watch_server(child.id(), folder).and_then(|()| match child.stdin.take() {
        Some(mut pipe) => pipe.write_all(b"go\n").map_err(cant),
        None => Err(cant(std::io::ErrorKind::BrokenPipe.into())),
    });
    if let Err(error) = told {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    Ok(child)
}

/// Does process `pid` run in `folder`? A number that went to another process, and a process that has ended but
/// was not reaped, do not.
pub(super) fn runs_in(pid: u32, folder: &Path) -> bool {
    if Path::new("/proc/self").exists() {
        return std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| {
            // The kernel marks a folder that was removed under the process.
            cwd == folder || cwd.to_string_lossy() == format!("{} (deleted)", folder.display())
        });
    }
    // Without /proc the command line has to do.
    let listed =
        Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).stdin(Stdio::null()).output();
    listed.is_ok_and(|output| {
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        line.contains("redis") || line.contains("valkey")
    })
}

/// The last lines of a node's log, in one line.
pub(super) fn log_tail(folder: &Path) -> String {
    match read_tail(&folder.join(LOG_FILE)) {
        Ok(text) => {
            let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES_MAX)..];
            if tail.is_empty() { "(its log is empty)".to_owned() } else { tail.join(" | ") }
        }
        Err(error) => format!("(its log can't be read: {error})"),
    }
}

fn read_tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
