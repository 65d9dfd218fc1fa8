//! The program's own server as a child process, one caller of it over one connection, and the CPU that it used.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// Room for what one read of an answer brings.
const READ_BYTES: usize = 256 << 10;

/// A running `slotwise serve`; it ends with this.
pub(crate) struct Served {
    child: Child,
    clock: ClockId,
    address: String,
}

impl Served {
    /// Starts the server of a program with a config file, on a free port.
    pub(crate) fn start(program: &str, config: &Path) -> Self {
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(config)
            .env_remove("SLOTWISE_REDIS_URL")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("a piped standard error"));
        let mut told = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).expect("a log") > 0, "the server ended: {told}");
            if let Some((_, address)) = line.split_once("listens on http://") {
                break address.trim().to_owned();
            }
            told.push_str(&line);
        };
        // Whoever logs a line per request needs somebody who takes it.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let pid = Pid::from_raw(child.id().cast_signed());
        let clock = clock_getcpuclockid(pid).expect("a clock for every process");
        Self { child, clock, address }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The CPU time that all its threads have used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let now = self.clock.now().expect("a process that runs");
        Duration::from_nanos(u64::try_from(now.num_nanoseconds()).expect("a time that was used"))
    }

    /// A connection that stays open.
    pub(crate) fn caller(&self) -> Caller {
        let stream = TcpStream::connect(&self.address).expect("a server that listens");
        stream.set_nodelay(true).expect("a socket");
        Caller { stream, input: Vec::new() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `POST` of a body, as bytes.
pub(crate) fn post(path: &str, accept: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\naccept: {accept}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// One connection to the server.
pub(crate) struct Caller {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Caller {
    /// Sends a request and waits for the whole answer, which has to be 200; brings its body.
    pub(crate) fn call(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).expect("a server that reads");
        let mut have = 0;
        let head = loop {
            have += self.read(have);
            if let Some(end) = self.input[..have].windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&self.input[..head]).expect("a head of text").to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize =
            length.and_then(|length| length.trim().parse().ok()).expect("an answer of known length");
        while have < head + length {
            have += self.read(have);
        }
        let body = &self.input[head..head + length];
        assert!(text.starts_with("http/1.1 200 "), "{text}{}", String::from_utf8_lossy(body));
        body
    }

    fn read(&mut self, have: usize) -> usize {
        if self.input.len() < have + READ_BYTES {
            self.input.resize(have + READ_BYTES, 0);
        }
        let read = self.stream.read(&mut self.input[have..]).expect("a server that answers");
        assert!(read > 0, "the server hung up");
        read
    }
}
