//! The files of the state folder.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use super::{Entry, Provisional, Watch, drain::Drain};
use crate::{
    image::Leaving,
    policy::{self, Checked},
};

/// Why the state folder can't be used.
#[derive(Debug, Error)]
#[error("{}: {why}", .path.display())]
pub struct StateError {
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub why: io::Error,
}

/// The state folder.
///
/// ```text
/// history.jsonl            one entry a line, the oldest first
/// policies/<sha256>.json   each policy that was in force, as it was written
/// provisional.json         what ends by itself, while there is such a thing
/// drain.json               whose connections go on for a while, while there are such
/// peers.json               what each peer said of itself (`echo::Baselines`)
/// watch.json               what the policy in force would have dropped
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// A policy as it was written.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The file or folder, as it was named. A name that is no UTF-8 is kept as it is shown.
    path: String,
    /// Each file with its text.
    texts: Vec<(String, String)>,
    /// Whether every mode that it states was overruled by hand.
    #[serde(default)]
    enforced: bool,
}

/// The policies that are kept, the newest.
const KEPT: usize = 100;

impl Store {
    /// Opens the folder; makes it where it is missing.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        let store = Self { folder: folder.to_owned() };
        let policies = store.folder.join("policies");
        DirBuilder::new().recursive(true).mode(0o700).create(&policies).map_err(at(&policies))?;
        Ok(store)
    }

    /// Keeps a policy as it is written, under the names that its files have now, whole or not at all.
    pub fn keep(&self, checked: &Checked) -> Result<(), StateError> {
        let path = self.policy(&checked.hash());
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let texts = checked.texts.iter().map(|text| (shown(&text.path), text.text.to_string()));
        let kept = Kept { path: shown(&checked.path), texts: texts.collect(), enforced: checked.enforced };
        let bytes = serde_json::to_vec(&kept).map_err(io::Error::from).map_err(at(&path))?;
        if fs::read(&path).is_ok_and(|kept| kept == bytes) {
            return Ok(());
        }
        write_whole(&path, &bytes)
    }

    /// Reads a policy that is kept, under the names that its files had.
    ///
    /// # Errors
    /// Where it is not kept any more, or where a newer version finds fault with it: both are told.
    pub fn read(&self, sha256: &str) -> Result<Checked, StateError> {
        let path = self.policy(sha256);
        let bytes = fs::read(&path).map_err(at(&path))?;
        let kept: Kept = serde_json::from_slice(&bytes).map_err(io::Error::from).map_err(at(&path))?;
        let texts: Vec<(&Path, &str)> =
            kept.texts.iter().map(|(path, text)| (Path::new(path), text.as_str())).collect();
        let checked = policy::parse_all(Path::new(&kept.path), &texts);
        let checked =
            if kept.enforced { checked.and_then(|checked| policy::enforced(&checked)) } else { checked };
        checked.map_err(io::Error::other).map_err(at(&path))
    }

    fn policy(&self, sha256: &str) -> PathBuf {
        self.folder.join("policies").join(format!("{sha256}.json"))
    }

    /// Adds an entry to the history, and forgets the policies that no kept entry names.
    pub fn record(&self, entry: &Entry) -> Result<(), StateError> {
        let path = self.history_path();
        let entry = serde_json::to_string(entry).map_err(io::Error::from).map_err(at(&path))?;
        // The first line break ends what a full disk or a power cut has left half written.
        let line = format!("\n{entry}\n");
        let write = || {
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
            file.write_all(line.as_bytes())?;
            file.sync_data()
        };
        write().map_err(at(&path))?;
        self.forget_old_policies()
    }

    /// The history, the oldest entry first. A line that a crash has cut is left out.
    pub fn history(&self) -> Result<Vec<Entry>, StateError> {
        let path = self.history_path();
        let bytes = match fs::read(&path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            bytes => bytes.map_err(at(&path))?,
        };
        Ok(String::from_utf8_lossy(&bytes)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    /// What ends by itself.
    pub fn provisional(&self) -> Result<Option<Provisional>, StateError> {
        read_json(&self.provisional_path())
    }

    /// Writes down what ends by itself, or that nothing does.
    pub fn set_provisional(&self, provisional: Option<&Provisional>) -> Result<(), StateError> {
        self.set_json(&self.provisional_path(), provisional)
    }

    /// Whose connections go on for a while.
    pub fn drain(&self) -> Result<Vec<Leaving>, StateError> {
        Ok(read_json::<Drain>(&self.drain_path())?.map_or_else(Vec::new, Drain::parts))
    }

    /// Writes down whose connections go on for a while.
    pub fn set_drain(&self, parts: &[Leaving]) -> Result<(), StateError> {
        let drain = (!parts.is_empty()).then(|| Drain::new(parts.to_vec()));
        self.set_json(&self.drain_path(), drain.as_ref())
    }

    /// Writes a value, or removes the file where there is none.
    fn set_json(&self, path: &Path, value: Option<&impl Serialize>) -> Result<(), StateError> {
        let Some(value) = value else {
            return match fs::remove_file(path) {
                Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
                // Synced, or a power cut brings it back.
                done => done.and_then(|()| File::open(&self.folder)?.sync_all()).map_err(at(path)),
            };
        };
        write_json(path, value)
    }

    /// The watch over what the policy in force would drop; `None` where none was kept.
    pub fn watch(&self) -> Result<Option<Watch>, StateError> {
        read_json(&self.watch_path())
    }

    /// Keeps that watch.
    pub fn set_watch(&self, watch: &Watch) -> Result<(), StateError> {
        self.set_json(&self.watch_path(), Some(watch))
    }

    fn watch_path(&self) -> PathBuf {
        self.folder.join("watch.json")
    }

    fn history_path(&self) -> PathBuf {
        self.folder.join("history.jsonl")
    }

    fn provisional_path(&self) -> PathBuf {
        self.folder.join("provisional.json")
    }

    fn drain_path(&self) -> PathBuf {
        self.folder.join("drain.json")
    }

    fn forget_old_policies(&self) -> Result<(), StateError> {
        let policies = self.folder.join("policies");
        let files: Vec<PathBuf> = fs::read_dir(&policies)
            .map_err(at(&policies))?
            .filter_map(|file| Some(file.ok()?.path()))
            .collect();
        if files.len() <= KEPT {
            return Ok(());
        }
        let history = self.history()?;
        let kept: Vec<PathBuf> =
            history.iter().rev().take(KEPT).map(|entry| self.policy(&entry.sha256)).collect();
        for file in files.iter().filter(|file| !kept.contains(file)) {
            fs::remove_file(file).map_err(at(file))?;
        }
        Ok(())
    }
}

/// Reads a file of one value; `None` where there is none.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    match fs::read(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(at(path)(why)),
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::from).map_err(at(path)),
    }
}

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |why| StateError { path, why }
}

/// Writes a file of one value, whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), StateError> {
    let text = serde_json::to_vec(value).map_err(io::Error::from).map_err(at(path))?;
    write_whole(path, &text)
}

/// Writes beside the file, syncs, and renames: whoever reads it sees the old or the new one, and whole.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let beside = path.with_extension("new");
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(at(path))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        clock::Clock,
        datapath::BootTime,
        image::leaving,
        policy::model::Mode,
        state::{Action, Kind},
    };

    const ENFORCED: &str = "version: 1\nname: q\ninterfaces: [eth0]\nmode: enforce\nservices: { dicom: { ports: [104] } }\n\
                            segments: { ct: { sources: [10.0.0.0/8], services: [dicom] } }\n";

    fn policy(port: usize) -> Checked {
        let text = format!(
            "version: 1\nname: p\ninterfaces: [eth0]\nmode: audit\nservices: {{ dicom: {{ ports: [{}] }} }}\n",
            port + 1000
        );
        policy::parse(Path::new("p.yaml"), text).unwrap()
    }

    fn entry(sha256: &str) -> Entry {
        Entry {
            at: Timestamp::UNIX_EPOCH,
            action: Action::Apply,
            policy: "p".into(),
            sha256: sha256.into(),
            file: "p.yaml".into(),
            generation: 1,
            until: None,
            reason: None,
        }
    }

    #[test]
    fn what_is_written_reads_back_and_a_cut_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.history().unwrap(), []);
        let checked = policy(1);
        store.keep(&checked).unwrap();
        store.record(&entry("aa")).unwrap();
        store.record(&entry("bb")).unwrap();
        let path = folder.path().join("history.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 10]).unwrap();
        assert_eq!(store.history().unwrap(), [entry("aa")]);
        store.record(&entry("cc")).unwrap();
        assert_eq!(store.history().unwrap(), [entry("aa"), entry("cc")], "a cut line takes no other with it");
        let read = store.read(&checked.hash()).unwrap();
        assert_eq!((read.policy, read.path), (checked.policy, checked.path));
    }

    #[test]
    fn what_is_enforced_by_hand_is_another_policy_than_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let text = "version: 1\nname: p\ninterfaces: [eth0]\nmode: audit\nservices: { dicom: { ports: [104], mode: audit } }\n\
                    segments: { all: { sources: [10.0.0.1], services: [dicom], mode: audit } }\n";
        let written = policy::parse(Path::new("p.yaml"), text).unwrap();
        let enforced = policy::enforced(&written).unwrap();
        assert_ne!(enforced.hash(), written.hash());
        store.keep(&written).unwrap();
        store.keep(&enforced).unwrap();
        assert_eq!(store.read(&written.hash()).unwrap().policy.mode, Mode::Audit);
        let read = store.read(&enforced.hash()).unwrap();
        assert_eq!((read.policy.mode, read.enforced, read.hash()), (Mode::Enforce, true, enforced.hash()));
        assert_eq!((read.policy.services[0].mode, read.policy.segments[0].mode), (None, None));
    }

    #[test]
    fn what_is_provisional_is_known_by_its_boot() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.provisional().unwrap(), None);
        let end = BootTime::now();
        let provisional = Provisional::new(Kind::Unconfirmed, "new".into(), "old".into(), end);
        store.set_provisional(Some(&provisional)).unwrap();
        let read = store.provisional().unwrap().unwrap();
        assert_eq!(read, provisional);
        assert_eq!(read.end(), Some(end));
        let path = folder.path().join("provisional.json");
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let text = fs::read_to_string(&path).unwrap().replace(boot.trim(), "another boot");
        fs::write(&path, text).unwrap();
        assert_eq!(store.provisional().unwrap().unwrap().end(), None);
        store.set_provisional(None).unwrap();
        assert_eq!(store.provisional().unwrap(), None);
    }

    #[test]
    fn a_policy_that_moved_is_kept_under_its_new_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let text = policy(1).texts[0].text.to_string();
        for name in ["enforce.yaml", "policy.yaml"] {
            let checked = policy::parse(Path::new(name), text.clone()).unwrap();
            store.keep(&checked).unwrap();
            assert_eq!(store.read(&checked.hash()).unwrap().path.to_str(), Some(name));
        }
    }

    #[test]
    fn a_name_that_is_no_utf8_is_kept_as_it_is_shown() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let text = policy(1).texts[0].text.to_string();
        let checked = policy::parse(Path::new(OsStr::from_bytes(b"caf\xe9.yaml")), text).unwrap();
        store.keep(&checked).unwrap();
        let read = store.read(&checked.hash()).unwrap();
        assert_eq!(read.path.to_str(), Some("caf\u{fffd}.yaml"));
        assert_eq!(read.policy.services.len(), checked.policy.services.len());
    }

    #[test]
    fn what_drains_is_known_by_its_boot() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.drain().unwrap(), []);
        let drain = leaving(
            &policy(1).policy,
            &policy::parse(Path::new("p.yaml"), ENFORCED).unwrap().policy,
            Clock::now(),
            BootTime::now().after(std::time::Duration::from_secs(60)),
        );
        assert_eq!(drain.len(), 1, "nothing protected that port before");
        store.set_drain(&drain).unwrap();
        assert_eq!(store.drain().unwrap(), drain);
        let path = folder.path().join("drain.json");
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let text = fs::read_to_string(&path).unwrap().replace(boot.trim(), "another boot");
        fs::write(&path, text).unwrap();
        assert_eq!(store.drain().unwrap(), [], "connections of an earlier boot are gone");
        store.set_drain(&[]).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn texts_that_no_kept_entry_names_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let policies: Vec<Checked> = (1..=KEPT + 5).map(policy).collect();
        for checked in &policies {
            store.keep(checked).unwrap();
            store.record(&entry(&checked.hash())).unwrap();
        }
        assert!(store.read(&policies[4].hash()).is_err());
        assert!(store.read(&policies[5].hash()).is_ok());
    }
}
