//! The program as a server in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A server; it ends with this.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
}

impl Served {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let told = lines.find_map(|line| line.split_once("listens on http://").map(|(_, it)| it.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: told.expect("a server that listens") }
    }

    /// Resident memory, now (`VmRSS`) or at most so far (`VmHWM`).
    pub(crate) fn memory_bytes(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let text = status.lines().find_map(|one| one.strip_prefix(line)?.strip_prefix(':')).unwrap();
        text.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
