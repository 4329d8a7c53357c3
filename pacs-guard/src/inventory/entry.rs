//! An entry: one peer that a program is configured for, and the file of all of them.

use std::{
    fs, io,
    io::Read,
    net::IpAddr,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ImportError, csv, dcmqrscp, orthanc};
use crate::{
    policy,
    state::{StateError, at, read_json, write_whole},
};

/// The most bytes of a file that is imported.
const MOST: u64 = 16 << 20;

/// A configured peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its AE title.
    pub ae_title: String,
    /// Its address, or a host name, as it is written.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The name that the file knows it by, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Entry {
    /// Its address; `None` where a host name stands, which is never looked up: whoever can spoof the answer would
    /// choose who is known.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Checks what was read.
    ///
    /// # Errors
    /// What is wrong, in words that go on after the place.
    pub(super) fn read(name: Option<&str>, ae_title: &str, host: &str, port: &str) -> Result<Self, String> {
        let quoted = policy::Quoted::new;
        let ae_title = policy::ae_title(ae_title).map_err(|fault| fault.to_string())?;
        let host = host.trim();
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_' | '%');
        if host.is_empty() || host.len() > 255 || !host.chars().all(sound) {
            return Err(format!("{} is neither an address nor a host name", quoted(host)));
        }
        let port = port
            .trim()
            .parse()
            .ok()
            .filter(|port: &u16| *port > 0)
            .ok_or_else(|| format!("{} is not a port: a number from 1 to 65535", quoted(port)))?;
        Ok(Self { ae_title, host: host.to_owned(), port, name: name.map(str::to_owned) })
    }
}

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Orthanc's configuration: `DicomModalities`.
    Orthanc,
    /// DCMTK's dcmqrscp.cfg: `HostTable`.
    Dcmqrscp,
    /// Lines of AE title, host and port.
    Csv,
}

impl Format {
    /// Takes a guess.
    fn of(text: &str) -> Self {
        let start = text.trim_start();
        if start.starts_with(['{', '/']) {
            Self::Orthanc
        } else if text.contains("HostTable") {
            Self::Dcmqrscp
        } else {
            Self::Csv
        }
    }
}

/// Reads a file's peers.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn import(file: &Path, format: Option<Format>) -> Result<(Format, Vec<Entry>), ImportError> {
    let failed = |why| ImportError::File { file: file.to_owned(), why };
    let mut text = String::new();
    fs::File::open(file).map_err(failed)?.take(MOST + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MOST {
        return Err(failed(io::Error::other(format!("it is over {MOST} bytes long"))));
    }
    let format = format.unwrap_or_else(|| Format::of(&text));
    let entries = match format {
        Format::Orthanc => {
            orthanc::read(&text).map_err(|why| ImportError::Format { file: file.to_owned(), why })
        }
        Format::Dcmqrscp => dcmqrscp::read(&text).map_err(|(line, why)| at_line(file, line, why)),
        Format::Csv => csv::read(&text).map_err(|(line, why)| at_line(file, line, why)),
    }?;
    Ok((format, entries))
}

fn at_line(file: &Path, line: usize, why: String) -> ImportError {
    ImportError::Line { file: file.to_owned(), line, why }
}

/// Everything that was imported, by file: `inventory.json` in the state folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The files.
    pub files: Vec<Imported>,
}

/// One file's peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The file, absolute.
    pub file: PathBuf,
    /// What it was.
    pub format: Format,
    /// When it was read.
    pub when: Timestamp,
    /// Its peers.
    pub entries: Vec<Entry>,
}

impl Inventory {
    /// Reads what is kept in a state folder; nothing, where nothing is.
    ///
    /// # Errors
    /// Where the file is there and can't be read.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        Ok(read_json(&folder.join("inventory.json"))?.unwrap_or_default())
    }

    /// Takes a file's peers, in place of what the same file held before.
    pub fn take(&mut self, imported: Imported) {
        self.files.retain(|known| known.file != imported.file);
        self.files.push(imported);
    }

    /// Writes it to a state folder, whole or not at all.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn save(&self, folder: &Path) -> Result<(), StateError> {
        let path = folder.join("inventory.json");
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::from).map_err(at(&path))?;
        write_whole(&path, &text)
    }

    /// All peers, those of an earlier file first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.files.iter().flat_map(|file| &file.entries)
    }
}
