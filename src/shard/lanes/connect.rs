//! Opening a lane: the socket, then who we are and what we want to read.

use std::sync::Arc;

use bytes::BytesMut;
use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::model::limits::REPLY_LINE_BYTES_MAX;
use crate::slot::NodeAddr;

use super::super::fault::FaultKind;
use super::super::role::Role;
use super::super::settings::{self, RedisSettings};
use super::encode;
use super::exchange::Ended;
use super::resp::{Head, Malformed, head};
use super::skip::Skip;

/// Name of the connections in `CLIENT LIST`.
const CLIENT_NAME: &str = "slotwise-lane";

/// An open connection.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection to `node` that is ready for reads. Put a timeout round it.
pub(super) async fn connect(node: &NodeAddr, role: Role, settings: &RedisSettings) -> Result<Socket, Ended> {
    let mut stream = open(node).await?;
    let Some(tls) = &settings.tls else {
        log_in(&mut stream, role, settings).await?;
        return Ok(Socket::Plain(stream));
    };
    let failed = |error: std::io::Error| broken(format!("no TLS: {error}"));
    let mut stream = Box::new(tls.connect(&node.host, stream).await.map_err(failed)?);
    log_in(&mut stream, role, settings).await?;
    Ok(Socket::Tls(stream))
}

async fn open(node: &NodeAddr) -> Result<TcpStream, Ended> {
    let failed = |error: std::io::Error| broken(format!("can't connect: {error}"));
    let stream = TcpStream::connect((&*node.host, node.port)).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let keepalive = TcpKeepalive::new()
        .with_time(settings::KEEPALIVE_TIME)
        .with_interval(settings::KEEPALIVE_INTERVAL)
        .with_retries(settings::KEEPALIVE_PROBES_MAX);
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive).map_err(failed)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(settings::UNACKNOWLEDGED_MAX)).map_err(failed)?;
    Ok(stream)
}

fn broken(reason: String) -> Ended {
    Ended { kind: FaultKind::Connection, reason: reason.into() }
}

/// Logs in, names the connection and, at a replica, asks to be answered.
async fn log_in<S>(stream: &mut S, role: Role, settings: &RedisSettings) -> Result<(), Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
    if let Some(password) = &settings.password {
        let username = settings.username.as_deref().unwrap_or("default");
        hello.extend([b"AUTH", username.as_bytes(), password.as_bytes()]);
    }
    hello.extend([b"SETNAME", CLIENT_NAME.as_bytes()]);
    call(stream, &encode::command(&hello)).await?;
    if role == Role::Replica {
        call(stream, &encode::command(&[b"READONLY"])).await?;
    }
    Ok(())
}

/// Sends one command and passes over its reply; an error reply is an error.
async fn call<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, command: &[u8]) -> Result<(), Ended> {
    let failed = |error: std::io::Error| broken(format!("can't log in: {error}"));
    let malformed = |reason: &str| Ended { kind: FaultKind::Protocol, reason: reason.into() };
    stream.write_all(command).await.map_err(failed)?;
    let mut bytes = BytesMut::new();
    loop {
        match reply(&bytes).map_err(|error| malformed(&error.to_string()))? {
            Some(Reply { error: Some(reason), .. }) => {
                return Err(Ended { kind: FaultKind::Refused, reason });
            }
            // What is behind the reply would become the reply to whatever is asked next.
            Some(Reply { end, .. }) if end < bytes.len() => {
                return Err(malformed("more than was asked for while logging in"));
            }
            Some(_) => return Ok(()),
            None if bytes.len() > REPLY_LINE_BYTES_MAX => {
                return Err(malformed("an answer without end while logging in"));
            }
            None => {}
        }
        if stream.read_buf(&mut bytes).await.map_err(failed)? == 0 {
            return Err(broken("the connection was closed while logging in".to_owned()));
        }
    }
}

/// One reply to a login.
#[derive(Debug, PartialEq, Eq)]
struct Reply {
    /// Where it ends.
    end: usize,
    /// Its text, where it is an error.
    error: Option<Arc<str>>,
}

/// The reply at the front, once it is whole. What is sent beside replies is passed over.
fn reply(bytes: &[u8]) -> Result<Option<Reply>, Malformed> {
    let (mut at, mut skip) = (0, Skip::default());
    loop {
        let first = at;
        let Some((head, line_end, next)) = head(bytes, at)? else { return Ok(None) };
        at = next;
        match head {
            Head::Push(values) | Head::Attribute(values) => skip.values(values)?,
            head => skip.rest_of(head)?,
        }
        if !skip.pass(bytes, &mut at)? {
            return Ok(None);
        }
        let error = match head {
            Head::Push(_) | Head::Attribute(_) => continue,
            Head::ErrorLine => first + 1..line_end,
            Head::ErrorText(len) => next..next + len,
            _ => return Ok(Some(Reply { end: at, error: None })),
        };
        let error = bytes.get(error).map(|text| String::from_utf8_lossy(text).into());
        return Ok(Some(Reply { end: at, error }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_to_a_login_ends_where_it_does() {
        for (bytes, error) in [
            ("+OK\r\n", None),
            ("%1\r\n+server\r\n+redis\r\n", None),
            (">2\r\n+invalidate\r\n_\r\n+OK\r\n", None),
            ("|1\r\n+a\r\n+b\r\n%1\r\n$1\r\n+\r\n:1\r\n", None),
            ("-NOAUTH no\r\n", Some("NOAUTH no")),
            (">1\r\n+a\r\n!5\r\nNO\r\nX\r\n", Some("NO\r\nX")),
        ] {
            let expected = Reply { end: bytes.len(), error: error.map(Into::into) };
            assert_eq!(reply(bytes.as_bytes()), Ok(Some(expected)), "{bytes:?}");
            let with_more = format!("{bytes}+more\r\n");
            assert_eq!(reply(with_more.as_bytes()), reply(bytes.as_bytes()), "{bytes:?}");
            for cut in 0..bytes.len() {
                assert_eq!(reply(&bytes.as_bytes()[..cut]), Ok(None), "{bytes:?} cut at {cut}");
            }
        }
    }
}
