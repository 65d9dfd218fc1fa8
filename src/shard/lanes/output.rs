//! What a lane has still to write: small requests gathered into one buffer, large ones as they are.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Requests from this size on are not copied.
const ALONE_BYTES_MIN: usize = 16 << 10;
/// Buffers that are given to the socket at once.
const SLICES_MAX: usize = 16;

/// Bytes in order.
#[derive(Debug, Default)]
pub(super) struct Output {
    buffers: VecDeque<Vec<u8>>,
    /// Bytes of the first buffer that have been written.
    written: usize,
    len: usize,
    /// Bytes that were ever given to it.
    taken: u64,
    /// A buffer that has been written and can be filled again.
    spare: Vec<u8>,
}

impl Output {
    /// Bytes still to be written.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that it was ever given.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Those of them that have been written.
    pub(super) fn written(&self) -> u64 {
        self.taken - self.len as u64
    }

    pub(super) fn push(&mut self, bytes: Vec<u8>) {
        self.len += bytes.len();
        self.taken += bytes.len() as u64;
        if bytes.len() >= ALONE_BYTES_MIN {
            self.buffers.push_back(bytes);
            return;
        }
        match self.buffers.back_mut() {
            Some(last) if last.len() + bytes.len() <= ALONE_BYTES_MIN => last.extend_from_slice(&bytes),
            _ => {
                let mut gathered = std::mem::take(&mut self.spare);
                gathered.extend_from_slice(&bytes);
                self.buffers.push_back(gathered);
            }
        }
    }

    /// Writes all there is, as far as the socket takes it. Ready when nothing is left.
    pub(super) fn poll_write<S>(&mut self, socket: &mut S, context: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while self.len > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut written = self.written;
            for (slice, buffer) in slices.iter_mut().zip(&self.buffers) {
                *slice = IoSlice::new(&buffer[written..]);
                written = 0;
            }
            let slices = &slices[..self.buffers.len().min(SLICES_MAX)];
            match ready!(Pin::new(&mut *socket).poll_write_vectored(context, slices))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        self.len -= written;
        while let Some(first) = self.buffers.front() {
            let left = first.len() - self.written;
            if written < left {
                self.written += written;
                return;
            }
            written -= left;
            self.written = 0;
            if let Some(mut first) = self.buffers.pop_front()
                && first.capacity() <= 2 * ALONE_BYTES_MIN
            {
                first.clear();
                self.spare = first;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time.
    struct Narrow(Vec<u8>, usize);

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.1);
            self.0.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let before = self.0.len();
            for byte in slices.iter().flat_map(|slice| slice.iter()).take(self.1).copied().collect::<Vec<_>>()
            {
                self.0.push(byte);
            }
            Poll::Ready(Ok(self.0.len() - before))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest::proptest! {
        #[test]
        fn every_byte_is_written_once_and_in_order(
            rounds in proptest::collection::vec(proptest::collection::vec(1usize..40_000, 0..5), 1..4),
            at_once in 1usize..100_000,
        ) {
            let (mut output, mut expected) = (Output::default(), Vec::new());
            let mut socket = Narrow(Vec::new(), at_once);
            for lengths in rounds {
                for len in lengths {
                    let bytes: Vec<u8> = (0..len).map(|byte| u8::try_from((byte + len) % 251).unwrap()).collect();
                    expected.extend_from_slice(&bytes);
                    output.push(bytes);
                }
                proptest::prop_assert_eq!(output.len(), expected.len() - socket.0.len());
                let mut context = Context::from_waker(std::task::Waker::noop());
                assert!(output.poll_write(&mut socket, &mut context).is_ready());
                assert!(output.is_empty() && socket.0 == expected);
            }
        }
    }
}
