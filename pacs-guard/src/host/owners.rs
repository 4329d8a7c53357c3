//! Whose a socket is: /proc/<pid>/fd of every process that may be read.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
};

use serde::Serialize;

use crate::echo::Printable;

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// Its number.
    pub pid: u32,
    /// Its name, at most 15 bytes (PR_SET_NAME(2const)), safe to print.
    pub name: String,
}

/// The owners of sockets, by the sockets' inodes. What the caller may not read is left out.
///
/// Of several processes that share a socket, the one with the lowest number: the parent, as a rule.
pub(super) fn owners(inodes: &HashSet<u32>) -> HashMap<u32, Owner> {
    let mut owners = HashMap::new();
    if inodes.is_empty() {
        return owners;
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes: BTreeMap<u32, _> = processes
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    for (pid, path) in processes {
        let files = fs::read_dir(path.join("fd")).into_iter().flatten().flatten();
        for inode in files.filter_map(|file| inode(&file.path())).filter(|inode| inodes.contains(inode)) {
            owners.entry(inode).or_insert_with(|| Owner { pid, name: name(&path) });
        }
    }
    owners
}

/// The inode that a link such as `socket:[12345]` names.
fn inode(link: &Path) -> Option<u32> {
    let target = fs::read_link(link).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Anybody may give a process a name that would speak to a terminal.
fn name(process: &Path) -> String {
    let text = fs::read(process.join("comm")).unwrap_or_default();
    Printable(String::from_utf8_lossy(&text).trim_end_matches('\n')).to_string()
}
