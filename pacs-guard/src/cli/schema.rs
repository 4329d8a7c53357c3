//! `schema`: prints the JSON Schema of the policy file, for editors.

use super::{Exit, terminal};
use crate::policy;

pub(super) fn run() -> anyhow::Result<Exit> {
    terminal::json(&policy::schema())?;
    Ok(Exit::Fine)
}
