//! Why a file is not imported: each with its line where the file has one.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a file is not imported. Nothing of a bad file is.
#[derive(Debug, Error)]
pub enum ImportError {
    /// It can't be read.
    #[error("{}: {why}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// It is no text of this format.
    #[error("{}: {why}", .file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A line of it is wrong.
    #[error("{}:{line}: {why}", .file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, with the value and the fix.
        why: String,
    },
}
