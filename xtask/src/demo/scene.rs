//! What the demo is made of: the policy and the image.

use std::fmt::Write;

use anyhow::{Context, Result};

use crate::lab::Host;

/// DICOM's registered port, as the commands' argument.
pub(super) const PORT: &str = "11112";

/// In the image, and looked for in the archive.
pub(super) const PATIENT: &str = "Doe^Jane";

/// The port as a number.
pub(super) fn port() -> Result<u16> {
    PORT.parse().context("the demo's port")
}

/// A policy that lets the host of each named segment use DICOM.
pub(super) fn policy(segments: &[(&str, &Host)]) -> String {
    let mut text = format!(
        "version: 1\nname: demo\ninterfaces: [eth0]\nmode: enforce\nservices:\n  dicom: {{ ports: [{PORT}] }}\nsegments:\n"
    );
    for (name, host) in segments {
        let sources = format!("[{}/32, \"{}/128\"]", host.addr4(), host.addr6());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name}:\n    sources: {sources}\n    services: [dicom]");
    }
    text
}

/// A small secondary capture (PS3.3 A.8.1), for DCMTK's `dump2dcm`.
pub(super) const IMAGE: &str = "\
(0008,0016) UI =SecondaryCaptureImageStorage
(0008,0018) UI [2.25.70371418233719]
(0008,0020) DA [20270301]
(0008,0030) TM [120000]
(0008,0050) SH []
(0008,0060) CS [CT]
(0008,0064) CS [WSD]
(0008,0090) PN []
(0010,0010) PN [Doe^Jane]
(0010,0020) LO [DEMO-1]
(0010,0030) DA []
(0010,0040) CS []
(0020,000d) UI [2.25.70371418233717]
(0020,000e) UI [2.25.70371418233718]
(0020,0010) SH [1]
(0020,0011) IS [1]
(0020,0013) IS [1]
(0028,0002) US 1
(0028,0004) CS [MONOCHROME2]
(0028,0010) US 2
(0028,0011) US 2
(0028,0100) US 8
(0028,0101) US 8
(0028,0102) US 7
(0028,0103) US 0
(7fe0,0010) OB 00\\80\\c0\\ff
";
