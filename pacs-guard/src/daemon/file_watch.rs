//! The file watch, where it is asked for: says that the policy's files may have changed.

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

/// Files are read once nothing has happened to them for so long: a copy of several is then complete.
const QUIET: Duration = Duration::from_millis(300);
/// Files that never come to rest are read all the same.
const LONGEST: Duration = Duration::from_secs(3);

/// What may make another policy of the files. A file that is written in place counts once it is closed.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_DELETE_SELF);

/// Watches from this call on; each message says that the files may have changed, and rest now.
pub(super) fn start(policy: &Path) -> io::Result<mpsc::Receiver<()>> {
    let folders = Folders { inotify: Inotify::init(InitFlags::IN_CLOEXEC)?, policy: policy.to_owned() };
    folders.watch()?;
    // One that waits stands for all that come after it.
    let (send_event, mut events) = mpsc::channel(1);
    let (send, rested) = mpsc::channel(1);
    thread::Builder::new().name("file-watch".into()).spawn(move || folders.forward(&send_event))?;
    tokio::spawn(async move {
        while let Some(()) = events.recv().await {
            let latest = Instant::now() + LONGEST;
            while Instant::now() < latest
                && timeout(QUIET, events.recv()).await.is_ok_and(|event| event.is_some())
            {}
            if send.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(rested)
}

/// The folders that hold the policy's files. Files themselves are not watched: a renamed one is another one.
struct Folders {
    inotify: Inotify,
    policy: PathBuf,
}

impl Folders {
    /// Watches each folder that is there; a second time is none.
    fn watch(&self) -> nix::Result<()> {
        let folder = |path: &Path| match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
            parent => parent.unwrap_or(path).to_owned(),
        };
        let home = if self.policy.is_dir() { self.policy.clone() } else { folder(&self.policy) };
        self.inotify.add_watch(&home, CHANGES)?;
        // Where the file is a link, its target may change too.
        let target = self.policy.canonicalize().map(|target| folder(&target));
        for more in [Some(home.join("policies.d")), target.ok()].into_iter().flatten() {
            match self.inotify.add_watch(&more, CHANGES) {
                Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(why) => return Err(why),
            }
        }
        Ok(())
    }

    /// Until nobody listens.
    fn forward(self, events: &mpsc::Sender<()>) {
        let mut lost = false;
        while !events.is_closed() {
            // A folder that is gone may come back, and tells nobody.
            let patience = if lost { PollTimeout::from(1000_u16) } else { PollTimeout::NONE };
            let waited = poll(&mut [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)], patience);
            let heard = match waited {
                Ok(0) => Ok(()),
                Ok(_) => self.inotify.read_events().map(|_| ()),
                Err(why) => Err(why),
            };
            // Watched before it is told, so that what comes into a new folder is not missed.
            match heard.and_then(|()| self.watch()) {
                Err(Errno::EINTR) => continue,
                Err(why) if lost => {
                    tracing::debug!("{}: still not watched: {why}", self.policy.display());
                    continue;
                }
                Err(why) => {
                    tracing::error!("{}: not watched until it is there again: {why}", self.policy.display());
                    lost = true;
                }
                Ok(()) => lost = false,
            }
            // Full means that one waits already.
            events.try_send(()).ok();
        }
    }
}
