//! Work inside a network namespace. A socket belongs to the namespace in which it was made, whoever uses it later, so a
//! thread that goes inside and hands sockets out is all that a process needs to be in several networks.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc;

use nix::sched::{CloneFlags, setns};

type Job = Box<dyn FnOnce() + Send>;

/// A thread that stays inside one network namespace.
#[derive(Debug)]
pub(crate) struct Resident {
    jobs: mpsc::Sender<Job>,
}

impl Resident {
    pub(crate) fn start(namespace: &File) -> io::Result<Resident> {
        let namespace = namespace.try_clone()?;
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (entered, has_entered) = mpsc::channel();
        std::thread::Builder::new().name("router".into()).spawn(move || {
            let outcome = setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
            let inside = outcome.is_ok();
            // The other side waits for exactly this message.
            let _ = entered.send(outcome);
            if inside {
                inbox.into_iter().for_each(|job| job());
            }
        })?;
        has_entered.recv().map_err(io::Error::other)??;
        Ok(Resident { jobs })
    }

    /// Runs something short inside and waits for it.
    pub(crate) fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        let (sender, receiver) = mpsc::channel();
        let job = move || drop(sender.send(work()));
        self.jobs.send(Box::new(job)).map_err(|_| io::Error::other("the thread inside has ended"))?;
        receiver.recv().map_err(io::Error::other)?
    }
}

/// Runs something inside a namespace, in a thread of its own.
pub(crate) fn inside<R: Send>(namespace: &File, work: impl FnOnce() -> io::Result<R> + Send) -> io::Result<R> {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
            work()
        });
        worker.join().unwrap_or_else(|_| Err(io::Error::other("the thread inside has ended badly")))
    })
}
