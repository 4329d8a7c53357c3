//! What is open, in words, and the setting that shuts it.

use serde::Serialize;

use super::Product;

/// A thing that a stranger can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// Connect in clear where TLS is claimed.
    Clear,
    /// Begin TLS without a certificate.
    NoClientCertificate,
    /// Associate under a called AE title that the archive does not have.
    AnyCalled,
    /// Associate under a calling AE title that the archive can't know.
    AnyCalling,
    /// Get an answer to C-ECHO.
    Echo,
    /// Negotiate C-FIND.
    Find,
    /// Negotiate C-MOVE.
    Move,
    /// Negotiate C-STORE.
    Store,
}

/// An open door, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Open {
    /// Which.
    pub door: Door,
    /// What a stranger can do.
    pub what: &'static str,
    /// The setting that shuts it, by product.
    pub shut_by: Vec<(&'static str, &'static str)>,
}

impl Open {
    /// An open door, with the settings of one product, or of all where it is not known which it is.
    pub fn new(door: Door, product: Option<Product>) -> Self {
        let products = Product::ALL.into_iter().filter(|one| product.is_none_or(|product| product == *one));
        let shut_by = products.map(|product| (product.name(), door.shut_by(product))).collect();
        Self { door, what: door.what(), shut_by }
    }
}

impl Door {
    /// What a stranger can do.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Clear => {
                "the port claims TLS, and takes associations in clear: whoever is on the way reads along"
            }
            Self::NoClientCertificate => {
                "it takes TLS from clients without a certificate: nobody reads along, and any stranger may speak"
            }
            Self::AnyCalled => "it answers to any called AE title: a stranger need not know its name",
            Self::AnyCalling => {
                "it takes associations from any calling AE title: a stranger need not be known to it"
            }
            Self::Echo => "it answers a stranger's C-ECHO: whoever scans for archives finds one here",
            Self::Find => {
                "it negotiates C-FIND with a stranger, who could ask for the names of patients and their studies, \
                 unless the archive refuses the query itself (that is not tried here)"
            }
            Self::Move => {
                "it negotiates C-MOVE with a stranger, who could have studies sent to hosts that the archive knows, \
                 unless the archive refuses the request itself (that is not tried here)"
            }
            Self::Store => {
                "it negotiates C-STORE with a stranger, who could put false images among the patients' own, or fill the \
                 disk, unless the archive refuses the image itself (that is not tried here)"
            }
        }
    }

    const fn shut_by(self, product: Product) -> &'static str {
        use Product::{Dcm4chee, Dcmqrscp, Orthanc};
        match (self, product) {
            (Self::Clear | Self::NoClientCertificate, Orthanc) => {
                "\"DicomTlsEnabled\": true, and \"DicomTlsRemoteCertificateRequired\": true"
            }
            (Self::Clear | Self::NoClientCertificate, Dcmqrscp) => {
                "+tls KEY CERTIFICATE with +cf CA (it then demands a client certificate)"
            }
            (Self::Clear | Self::NoClientCertificate, Dcm4chee) => {
                "TLS cipher suites and `dcmTLSNeedClientAuth` on the port's network connection"
            }
            (Self::AnyCalled, Orthanc) => "\"DicomCheckCalledAet\": true",
            (Self::AnyCalled, Dcmqrscp) => "AETable: name the archive's titles alone (others are rejected)",
            (Self::AnyCalled, Dcm4chee) => "remove the network AE with the title `*` from the archive device",
            (Self::AnyCalling | Self::Echo, Orthanc) => {
                "\"DicomAlwaysAllowEcho\": false with \"DicomAlwaysAllowStore\": false, the peers under \"DicomModalities\", \
                 and \"DicomCheckModalityHost\": true"
            }
            (Self::AnyCalling | Self::Echo, Dcmqrscp) => {
                "AETable: name the peers of HostTable in place of ANY"
            }
            (Self::AnyCalling | Self::Echo, Dcm4chee) => {
                "accepted calling AE titles (`dcmAcceptedCallingAETitle`) on the archive's network AE"
            }
            (Self::Find, Orthanc) => {
                "\"DicomAlwaysAllowFind\": false refuses the query; \"DicomAlwaysAllowEcho\" and \
                 \"DicomAlwaysAllowStore\": false refuse the association"
            }
            (Self::Move, Orthanc) => {
                "\"DicomAlwaysAllowMove\": false refuses the request; \"DicomAlwaysAllowEcho\" and \
                 \"DicomAlwaysAllowStore\": false refuse the association"
            }
            (Self::Store, Orthanc) => {
                "\"DicomAlwaysAllowStore\": false, and the senders under \"DicomModalities\""
            }
            (Self::Find | Self::Move, Dcmqrscp) => "AETable: name the peers of HostTable in place of ANY",
            (Self::Store, Dcmqrscp) => "AETable: R in place of RW, or the peers of HostTable in place of ANY",
            (Self::Find | Self::Move | Self::Store, Dcm4chee) => {
                "accepted calling AE titles on the network AE, or no such transfer capability for it"
            }
        }
    }
}
