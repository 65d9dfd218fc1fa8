//! Opening a lane: the socket, then who we are and what we want to read.

use std::sync::Arc;

use bytes::BytesMut;
use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::model::limits::REPLY_LINE_BYTES_MAX;
use crate::slot::NodeAddr;

use super::super::role::Role;
use super::super::settings::{self, RedisSettings};
use super::encode;
use super::resp::{Head, head};
use super::skip::Skip;

/// Name of the connections in `CLIENT LIST`.
const CLIENT_NAME: &str = "slotwise-lane";

/// An open connection.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection to `node` that is ready for reads. Put a timeout round it. Errors in words.
pub(super) async fn connect(
    node: &NodeAddr,
    role: Role,
    settings: &RedisSettings,
) -> Result<Socket, Arc<str>> {
    let mut stream = open(node).await?;
    let Some(tls) = &settings.tls else {
        log_in(&mut stream, role, settings).await?;
        return Ok(Socket::Plain(stream));
    };
    let failed = |error: std::io::Error| Arc::from(format!("no TLS: {error}"));
    let mut stream = Box::new(tls.connect(&node.host, stream).await.map_err(failed)?);
    log_in(&mut stream, role, settings).await?;
    Ok(Socket::Tls(stream))
}

async fn open(node: &NodeAddr) -> Result<TcpStream, Arc<str>> {
    let failed = |error: std::io::Error| Arc::from(format!("can't connect: {error}"));
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

/// Logs in, names the connection and, at a replica, asks to be answered. Errors in words.
async fn log_in<S>(stream: &mut S, role: Role, settings: &RedisSettings) -> Result<(), Arc<str>>
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
async fn call<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, command: &[u8]) -> Result<(), Arc<str>> {
    let failed = |error: std::io::Error| Arc::from(format!("can't log in: {error}"));
    stream.write_all(command).await.map_err(failed)?;
    let malformed = |error: super::Malformed| Arc::from(error.to_string());
    let (mut bytes, mut at, mut skip, mut begun) = (BytesMut::new(), 0, Skip::default(), false);
    loop {
        if !begun && let Some((head, end, next)) = head(&bytes, at).map_err(malformed)? {
            if head == Head::ErrorLine {
                return Err(String::from_utf8_lossy(&bytes[at + 1..end]).into());
            }
            (at, begun) = (next, true);
            skip.rest_of(head).map_err(malformed)?;
        }
        if begun && skip.pass(&bytes, &mut at).map_err(malformed)? {
            return Ok(());
        }
        if bytes.len() > REPLY_LINE_BYTES_MAX {
            return Err("an answer without end while logging in".into());
        }
        if stream.read_buf(&mut bytes).await.map_err(failed)? == 0 {
            return Err("the connection was closed while logging in".into());
        }
    }
}
