//! The shim's end of the socket to its `dms`.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use serde::de::DeserializeOwned;

use super::protocol::Notice;

/// Longest message that is taken: a spec holds arguments and environment, which Linux bounds at 2 MiB together.
const MESSAGE_MAX: usize = 8 * 1024 * 1024;

/// Messages in, messages out, never waiting.
#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
    unread: Vec<u8>,
    closed: bool,
}

impl Link {
    /// Takes over standard input.
    pub(super) fn from_stdin() -> io::Result<Self> {
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        stream.set_nonblocking(true)?;
        Ok(Self { stream, unread: Vec::new(), closed: false })
    }

    /// Whether the other end is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Reads whatever has arrived.
    pub(super) fn receive(&mut self) {
        let mut buffer = [0; 16 * 1024];
        while !self.closed && self.unread.len() <= MESSAGE_MAX {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.closed = true,
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.closed = true,
            }
        }
    }

    /// The next message that has arrived whole.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Option<io::Result<T>> {
        let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') else {
            return (self.unread.len() > MESSAGE_MAX).then(|| Err(io::Error::other("the message is too long")));
        };
        let message = serde_json::from_slice(&self.unread[..end]).map_err(io::Error::other);
        self.unread.drain(..=end);
        Some(message)
    }

    /// Tells `dms`. When it is gone there is nobody to tell, and the end of the socket says what to do about that.
    pub(super) fn send(&mut self, notice: &Notice) {
        let mut line = serde_json::to_vec(notice).expect("invariant: a notice has only text and numbers");
        line.push(b'\n');
        if self.stream.write_all(&line).is_err() {
            self.closed = true;
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
