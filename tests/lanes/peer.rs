//! A scripted node: it takes connections and does with each what the test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use slotwise::slot::NodeAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Room for what one read may bring.
const READ_BYTES_MIN: usize = 64 << 10;

/// What [`Conn::answer`] answers for a key.
pub(crate) fn value_of(key: &str) -> String {
    format!("value of {key}")
}

/// A peer; it ends when it is dropped.
pub(crate) struct Peer {
    pub(crate) addr: NodeAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

/// What a peer has seen.
#[derive(Default)]
struct Seen {
    accepted: AtomicUsize,
    over: AtomicUsize,
    reads: AtomicUsize,
    commands: AtomicUsize,
}

impl Peer {
    /// A peer that treats every connection as `serve` says.
    pub(crate) async fn start<F>(serve: impl Fn(Conn) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port());
        let seen = Arc::new(Seen::default());
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = noted.accepted.fetch_add(1, Ordering::SeqCst) + 1;
                let serving = serve(Conn { stream, input: Vec::new(), seen: Arc::clone(&noted), number });
                let noted = Arc::clone(&noted);
                tokio::spawn(async move {
                    serving.await;
                    noted.over.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { addr, seen, task }
    }

    /// Connections that have come.
    pub(crate) fn accepted(&self) -> usize {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    /// Connections whose script is not over.
    pub(crate) fn open(&self) -> usize {
        self.accepted() - self.seen.over.load(Ordering::SeqCst)
    }

    /// Reads that brought bytes.
    pub(crate) fn reads(&self) -> usize {
        self.seen.reads.load(Ordering::SeqCst)
    }

    /// Commands that have come, those of the login not counted.
    pub(crate) fn commands(&self) -> usize {
        self.seen.commands.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection to a peer.
pub(crate) struct Conn {
    stream: TcpStream,
    input: Vec<u8>,
    seen: Arc<Seen>,
    /// From 1 on.
    pub(crate) number: usize,
}

impl Conn {
    /// Answers the login.
    pub(crate) async fn log_in(&mut self) {
        let hello = self.next().await.unwrap();
        assert_eq!(hello[..2], ["HELLO", "3"]);
        self.send("%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n").await;
    }

    /// The next `HMGET`'s key; `None` when the connection is over.
    pub(crate) async fn key(&mut self) -> Option<String> {
        let mut command = self.next().await?;
        self.seen.commands.fetch_add(1, Ordering::SeqCst);
        assert_eq!((command.len(), &*command[0]), (3, "HMGET"));
        Some(command.swap_remove(1))
    }

    /// Answers everything as a good node does, until the connection is over.
    pub(crate) async fn serve(mut self) {
        self.log_in().await;
        self.answer_all().await;
    }

    /// The same after the login.
    pub(crate) async fn answer_all(&mut self) {
        while let Some(key) = self.key().await {
            self.answer(&key).await;
        }
    }

    /// Answers one key.
    pub(crate) async fn answer(&mut self, key: &str) {
        self.send(reply_to(key)).await;
    }

    /// Sends bytes; a connection that is over takes none.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Says nothing any more, until the connection is over.
    pub(crate) async fn say_nothing(mut self) {
        while self.fill().await {
            self.input.clear();
        }
    }

    async fn fill(&mut self) -> bool {
        self.input.reserve(READ_BYTES_MIN);
        let came = matches!(self.stream.read_buf(&mut self.input).await, Ok(1..));
        self.seen.reads.fetch_add(usize::from(came), Ordering::SeqCst);
        came
    }

    /// One command: a list of strings.
    pub(crate) async fn next(&mut self) -> Option<Vec<String>> {
        loop {
            if let Some((command, taken)) = command(&self.input) {
                self.input.drain(..taken);
                return Some(command);
            }
            if !self.fill().await {
                return None;
            }
        }
    }
}

/// A good answer.
pub(crate) fn reply_to(key: &str) -> String {
    let value = value_of(key);
    format!("*1\r\n${}\r\n{value}\r\n", value.len())
}

/// The command at the front, and its length; `None` until it is whole.
fn command(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let mut at = 0;
    let mut line = |kind: u8| {
        let end = at + bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        assert_eq!(bytes[at], kind);
        let number: usize = std::str::from_utf8(&bytes[at + 1..end]).unwrap().parse().unwrap();
        at = end + 2;
        if kind == b'$' {
            at += number + 2;
        }
        (at <= bytes.len()).then_some((number, at))
    };
    let (count, mut end) = line(b'*')?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let (len, next) = line(b'$')?;
        words.push(String::from_utf8(bytes[next - 2 - len..next - 2].to_vec()).unwrap());
        end = next;
    }
    Some((words, end))
}
