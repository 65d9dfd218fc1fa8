//! A connection to the server that costs the machine little: requests are ready-made bytes, and of an answer no more is
//! looked at than its head and its end.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const READ_BYTES: usize = 64 << 10;
/// End of an answer that is kept: the summary stands there.
const END_BYTES: usize = 256;

pub(crate) struct Caller {
    stream: TcpStream,
    input: Vec<u8>,
}

/// What came back.
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// The last bytes of the body.
    pub(crate) end: Vec<u8>,
    /// May the connection be used again?
    pub(crate) stays: bool,
}

impl Caller {
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: vec![0; READ_BYTES] })
    }

    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<Answered> {
        self.stream.write_all(request).await?;
        let mut have = 0;
        let head_bytes = loop {
            have += self.read(have).await?;
            if let Some(end) = self.input[..have].windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = Head::of(&self.input[..head_bytes]).ok_or(ErrorKind::InvalidData)?;
        let mut left = head.length.saturating_sub(have - head_bytes);
        let mut end = self.input[head_bytes.max(have.saturating_sub(END_BYTES))..have].to_vec();
        while left > 0 {
            let read = self.read(0).await?;
            left = left.saturating_sub(read);
            end.extend_from_slice(&self.input[read.saturating_sub(END_BYTES)..read]);
            end.drain(..end.len().saturating_sub(END_BYTES));
        }
        Ok(Answered { status: head.status, end, stays: head.stays })
    }

    async fn read(&mut self, from: usize) -> Result<usize> {
        match self.stream.read(&mut self.input[from..]).await? {
            0 => Err(Error::from(ErrorKind::UnexpectedEof)),
            read => Ok(read),
        }
    }
}

struct Head {
    status: u16,
    length: usize,
    stays: bool,
}

impl Head {
    /// As this server writes it: names in small letters, one blank behind the colon.
    fn of(head: &[u8]) -> Option<Self> {
        let head = std::str::from_utf8(head).ok()?;
        let length = head.split_once("\r\ncontent-length: ")?.1.split_once("\r\n")?.0;
        Some(Self {
            status: head.get(9..12)?.parse().ok()?,
            length: length.parse().ok()?,
            stays: !head.contains("\r\nconnection: close\r\n"),
        })
    }
}

pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into()
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").into()
}
