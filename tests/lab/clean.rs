//! Removes what a lab leaves on the machine: processes, namespaces, pins and files.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{BPFFS, PREFIX, ip, run};

/// Removes a lab by its name. Everything is tried: half of a lab may be gone already.
pub fn remove(name: &str) {
    for netns in names(Path::new("/run/netns")).iter().filter(|netns| belongs(netns, name)) {
        // A namespace lives on as long as a process in it, and with it the programs on its interfaces.
        for pid in ip(&format!("netns pids {netns}")).unwrap_or_default().split_whitespace() {
            let mut kill = Command::new("kill");
            kill.args(["-KILL", pid]);
            let _ = run(kill, super::PATIENCE);
        }
        let _ = ip(&format!("netns delete {netns}"));
    }
    let _ = fs::remove_dir_all(Path::new(BPFFS).join(name));
    let _ = fs::remove_dir_all(std::env::temp_dir().join(name));
}

/// Removes the labs of processes that are no more: `kill -9` on a test runs no drop.
pub fn sweep() {
    // A lab's folder is made first and removed last, so it stands for the whole.
    for name in names(&std::env::temp_dir()) {
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
        if maker.is_some_and(|(pid, _)| !Path::new("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}

/// Is `netns` of the lab `name`? Lab 1 must not take lab 10 along.
fn belongs(netns: &str, name: &str) -> bool {
    netns.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
}

/// The entries of a folder that labs made.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(PREFIX)).collect()
}
