//! The terminal of a command in a container: crun makes it inside and hands its other side over.
//!
//! crun can copy between two terminals itself, but what a command says just before it ends then comes out as lines of crun's
//! own log (`flush_fd_to_err` of crun 1.8), and a change of size does not reach it.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, accept_with, recvmsg};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};

use crate::container::Contained;

/// Starts the command and takes its terminal.
pub(super) async fn open(contained: &Contained, command: &[String]) -> io::Result<(Child, OwnedFd)> {
    let socket = Socket::listen(&contained.bundle)?;
    let mut child = Command::from(contained.exec(command, Some(&socket.name))?)
        // The socket's whole path may be longer than an address may be.
        .current_dir(&contained.bundle)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let terminal = match socket.connection(&mut child).await? {
        Some(connection) => receive(&connection).await?,
        None => None,
    };
    match terminal {
        Some(terminal) => Ok((child, terminal)),
        None => Err(complaint(&mut child).await),
    }
}

/// Why crun ended without a terminal.
async fn complaint(child: &mut Child) -> io::Error {
    let mut text = String::new();
    if let Some(mut stderr) = child.stderr.take()
        && let Err(error) = stderr.read_to_string(&mut text).await
    {
        return error;
    }
    io::Error::other(if text.is_empty() { "crun made no terminal".to_owned() } else { text.trim().to_owned() })
}

/// Gone when dropped.
struct Socket {
    listener: UnixListener,
    folder: PathBuf,
    /// In the folder.
    name: PathBuf,
}

impl Socket {
    fn listen(folder: &Path) -> io::Result<Socket> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("console-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let opened = File::open(folder)?;
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/{name}", opened.as_raw_fd()))?;
        Ok(Socket { listener, folder: folder.to_owned(), name: name.into() })
    }

    /// None where the child ended without one.
    async fn connection(&self, child: &mut Child) -> io::Result<Option<UnixStream>> {
        tokio::select! {
            accepted = self.listener.accept() => Ok(Some(accepted?.0)),
            // A command may be over before its connection has been looked at.
            _ = child.wait() => match accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(accepted) => UnixStream::from_std(accepted.into()).map(Some),
                Err(Errno::AGAIN) => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // One that is left behind goes with the container's bundle.
        let _ = std::fs::remove_file(self.folder.join(&self.name));
    }
}

async fn receive(connection: &UnixStream) -> io::Result<Option<OwnedFd>> {
    loop {
        connection.readable().await?;
        match connection.try_io(Interest::READABLE, || descriptor(connection)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

/// The descriptor that comes with a message; none where the sender has gone.
fn descriptor(stream: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 64];
    recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(received)
}
