//! Running the program: to its end, or in the background with its output under watch.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{self, SOON, wait_until};

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The program, without the settings of whoever runs the tests.
pub(crate) fn slotwise<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = support::slotwise();
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SLOTWISE_") && name != "SLOTWISE_REDIS_SERVER" {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// The program on the shared cluster, under a prefix.
pub(crate) async fn on_cluster<'a>(prefix: &str, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = slotwise(args);
    command.args(["--key-prefix", prefix]);
    command.env("SLOTWISE_REDIS_URL", support::shared_cluster().await.urls());
    command
}

pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ran =
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) };
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    ran
}

/// Runs with `input` as standard input.
pub(crate) fn run_with(command: &mut Command, input: &[u8]) -> Ran {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), input).unwrap();
    run(command.stdin(file.reopen().unwrap()))
}

impl Ran {
    /// The run, which has to have this exit status.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    /// Fails unless it says one line on standard error, and nothing else, with all of `texts` in it.
    #[track_caller]
    pub(crate) fn says_in_one_line(&self, texts: &[&str]) {
        assert_eq!((self.out.as_str(), self.err.trim_end().lines().count()), ("", 1), "{self:?}");
        self.says(texts);
    }

    #[track_caller]
    pub(crate) fn says(&self, texts: &[&str]) {
        for text in texts {
            assert!(self.err.contains(text), "{text:?} is not in {}", self.err);
        }
    }

    /// Standard output as one JSON object a line.
    pub(crate) fn ndjson(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The program in the background; it is killed with the test.
pub(crate) struct Background {
    child: Child,
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
}

impl Background {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = collected(child.stdout.take().unwrap());
        let err = collected(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.out.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8(self.err.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// What follows `label` on a line of its output, once it is there.
    pub(crate) async fn told(&mut self, label: &str) -> String {
        let find = |text: &str| {
            let (_, rest) = text.split_once(label)?;
            rest.split_once('\n').map(|(line, _)| line.to_owned())
        };
        let child = Mutex::new(&mut self.child);
        let (out, err) = (&self.out, &self.err);
        let text = || {
            let bytes = [out.lock().unwrap().clone(), err.lock().unwrap().clone()].concat();
            String::from_utf8(bytes).unwrap()
        };
        wait_until(&format!("{label:?} in the output"), SOON, || async {
            let ended = child.lock().unwrap().try_wait().unwrap();
            let found = find(&text()).is_some();
            assert!(ended.is_none() || found, "{ended:?} without {label:?}: {}", text());
            found
        })
        .await;
        find(&text()).unwrap()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Ran {
        let child = Mutex::new(&mut self.child);
        let over = || async { child.lock().unwrap().try_wait().unwrap().is_some() };
        wait_until("the end of the program", SOON, over).await;
        // The threads that read let go of the texts at the end of the pipes.
        let read = || async { Arc::strong_count(&self.out) + Arc::strong_count(&self.err) == 2 };
        wait_until("the end of its output", SOON, read).await;
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let ran = Ran { code, out: self.out(), err: self.err() };
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        ran
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Fails only for a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collected(mut pipe: impl Read + Send + 'static) -> Arc<Mutex<Vec<u8>>> {
    let text = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&text);
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(bytes @ 1..) = pipe.read(&mut piece) {
            sink.lock().unwrap().write_all(&piece[..bytes]).unwrap();
        }
    });
    text
}

/// The body of a JSON answer, with its status.
pub(crate) async fn get(url: &str) -> (u16, Value) {
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A batch read over HTTP.
pub(crate) async fn post_batch(address: &str, body: &Value) -> (u16, Value) {
    let url = format!("http://{address}/v1/features/batch");
    let answer = reqwest::Client::new().post(url).json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}
