//! The archives whose settings are known here.

use serde::Serialize;

/// A product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// Orthanc; settings of its `orthanc.json`.
    Orthanc,
    /// DCMTK's dcmqrscp; settings of its `dcmqrscp.cfg` and command line.
    Dcmqrscp,
    /// dcm4chee-arc; settings of the archive device in its UI or LDAP.
    Dcm4chee,
}

impl Product {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Orthanc, Self::Dcmqrscp, Self::Dcm4chee];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orthanc => "Orthanc",
            Self::Dcmqrscp => "DCMTK dcmqrscp",
            Self::Dcm4chee => "dcm4chee",
        }
    }

    /// The product whose process has this name. What it says of itself over DICOM is no help: Orthanc and dcmqrscp
    /// both say that they are DCMTK.
    pub fn of_process(name: &str) -> Option<Self> {
        match name {
            "Orthanc" => Some(Self::Orthanc),
            "dcmqrscp" => Some(Self::Dcmqrscp),
            // WildFly runs it.
            "java" => Some(Self::Dcm4chee),
            _ => None,
        }
    }
}
