//! The attachment: the program on an interface, by a link that is pinned.

use std::os::unix::fs::MetadataExt;

use aya::programs::{
    ProgramInfo, XdpMode as AyaMode,
    links::{FdLink, PinnedLink},
    loaded_programs,
    xdp::XdpLink,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Datapath, DatapathError, Pins, error::chain};
use crate::interface::Interface;

/// The mode that XDP runs in on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum XdpMode {
    /// In the driver, before the kernel makes a packet of the frame.
    Native,
    /// In the network stack: slower, and behind the driver's own processing.
    Generic,
    /// On the card.
    Offloaded,
}

impl XdpMode {
    /// The mode's name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offloaded => "offloaded",
        }
    }
}

/// The mode that the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum XdpChoice {
    /// In the driver, or not at all.
    #[default]
    Native,
    /// In the network stack.
    Generic,
    /// In the driver where it can, else in the network stack, with a warning.
    Auto,
}

/// An interface under guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// The interface's index.
    pub index: u32,
    /// Its name at the time.
    pub name: String,
    /// The mode in force.
    pub mode: XdpMode,
    /// Whether the link was there before and went on without a gap.
    pub adopted: bool,
}

/// Why an interface is not under guard.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The link layer is not Ethernet: the program would judge nothing.
    #[error(
        "{interface} has no Ethernet header (link layer {layer}): pacs-guard can't judge its packets; name the Ethernet interface that carries them"
    )]
    NotEthernet {
        /// The interface.
        interface: String,
        /// Its link layer.
        layer: String,
    },
    /// Another XDP program is there.
    #[error(
        "{interface} already carries the XDP program {program}: pacs-guard never replaces it; detach it first (`ip link set dev {interface} xdp off`, or its own tool)"
    )]
    Busy {
        /// The interface.
        interface: String,
        /// The other program's name and id.
        program: String,
    },
    /// The driver can't run it.
    #[error(
        "{interface}: native XDP is not possible here ({why}); its MTU is {mtu}: see `--xdp-mode generic` or `auto`"
    )]
    NoNative {
        /// The interface.
        interface: String,
        /// What the kernel said.
        why: String,
        /// The interface's MTU in bytes.
        mtu: u32,
    },
    /// The kernel refuses, in the mode that needs no driver.
    #[error("{interface}: {why}")]
    Refused {
        /// The interface.
        interface: String,
        /// What the kernel said.
        why: String,
    },
    /// The kernel knows no links for XDP.
    #[error(
        "{0}: this kernel attaches XDP only without a link, and such a program would end with the daemon; Linux 5.9 or later is needed"
    )]
    NoLink(String),
    /// The pins or the program failed.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
}

impl Datapath {
    /// Whether the program may go on an interface: that it judges packets there, and replaces nobody's.
    pub fn may_attach(pins: &Pins, interface: &Interface) -> Result<(), AttachError> {
        let name = || interface.name.clone();
        if !interface.has_ethernet_header {
            return Err(AttachError::NotEthernet { interface: name(), layer: interface.link_layer.clone() });
        }
        match interface.xdp_program {
            Some(program) if !Self::is_linked(pins, interface)? => {
                Err(AttachError::Busy { interface: name(), program: describe(program) })
            }
            _ => Ok(()),
        }
    }

    /// Whether a program of ours is on the interface, by a pinned link.
    pub fn is_linked(pins: &Pins, interface: &Interface) -> Result<bool, DatapathError> {
        Ok(interface.xdp_program.is_some() && linked_program(pins, interface.index)? == interface.xdp_program)
    }

    /// Puts the program on an interface that carries none. A link whose interface is gone makes room.
    pub fn attach(&mut self, interface: &Interface, choice: XdpChoice) -> Result<Attached, AttachError> {
        self.still_pinned()?;
        if let Some(pins) = &self.pins {
            pins.unlink(interface.index)?;
        }
        let mode = match choice {
            XdpChoice::Native => self.link(interface, XdpMode::Native)?,
            XdpChoice::Generic => self.link(interface, XdpMode::Generic)?,
            XdpChoice::Auto => match self.link(interface, XdpMode::Native) {
                Err(AttachError::NoNative { interface: name, why, .. }) => {
                    tracing::warn!(
                        "{name}: no native XDP ({why}); falling back to generic mode, which is slower"
                    );
                    self.link(interface, XdpMode::Generic)?
                }
                other => other?,
            },
        };
        Ok(Attached { index: interface.index, name: interface.name.clone(), mode, adopted: false })
    }

    /// Puts the program in the place of the one on a pinned link, in one step: no packet goes unjudged.
    pub fn adopt(&mut self, interface: &Interface, choice: XdpChoice) -> Result<Attached, DatapathError> {
        let pins = self.pins.as_ref().ok_or(DatapathError::Missing("pinned link"))?;
        let link: XdpLink = FdLink::from(PinnedLink::from_pin(pins.link(interface.index))?).try_into()?;
        let program = self.program()?;
        let id = program.attach_to_link(link)?;
        // The pin alone holds the link, so that removing the pin ends it.
        drop(program.take_link(id)?);
        let mode = interface.xdp_mode.unwrap_or(XdpMode::Native);
        if choice == XdpChoice::Native && mode != XdpMode::Native
            || choice == XdpChoice::Generic && mode == XdpMode::Native
        {
            tracing::warn!(
                "{} stays in {} mode: to change it, `pacs-guard detach {}` first",
                interface.name,
                mode.name(),
                interface.name
            );
        }
        Ok(Attached { index: interface.index, name: interface.name.clone(), mode, adopted: true })
    }

    /// Lets the program answer refused connections on these interfaces, and on no other.
    pub fn answer_on(&mut self, interfaces: &[&Interface]) -> Result<(), DatapathError> {
        let old: Vec<u32> = self.answering.keys().flatten().collect();
        for index in old {
            self.answering.remove(&index)?;
        }
        for interface in interfaces {
            if let Some([a, b, c, d, e, f]) = interface.mac {
                self.answering.insert(interface.index, [a, b, c, d, e, f, 0, 0], 0)?;
            }
        }
        Ok(())
    }

    /// Makes a link in one mode and pins it, so that it outlives the daemon.
    fn link(&mut self, interface: &Interface, mode: XdpMode) -> Result<XdpMode, AttachError> {
        let pin = self.pins.as_ref().map(|pins| pins.link(interface.index));
        let aya_mode = match mode {
            XdpMode::Native => AyaMode::Driver,
            XdpMode::Generic => AyaMode::Skb,
            XdpMode::Offloaded => AyaMode::Hardware,
        };
        let program = self.program()?;
        let id = program.attach_to_if_index(interface.index, aya_mode).map_err(|error| match mode {
            XdpMode::Native => AttachError::NoNative {
                interface: interface.name.clone(),
                why: chain(&error),
                mtu: interface.mtu,
            },
            _ => AttachError::Refused { interface: interface.name.clone(), why: chain(&error) },
        })?;
        let link = program.take_link(id).map_err(DatapathError::from)?;
        // Where the kernel refuses a link, aya attaches without one, and says so only here.
        let link: FdLink = link.try_into().map_err(|_| AttachError::NoLink(interface.name.clone()))?;
        if let Some(pin) = pin {
            link.pin(pin).map_err(DatapathError::from)?;
        }
        Ok(mode)
    }

    /// Ends enforcement, as [`detach`] does.
    ///
    /// # Errors
    /// Where somebody else has done so already: what is pinned there now is another daemon's.
    pub fn detach(&self) -> Result<Vec<u32>, DatapathError> {
        self.still_pinned()?;
        self.pins.as_ref().map_or(Ok(Vec::new()), detach)
    }

    /// Whether the pins are still the ones that this daemon has locked: their folder is gone after a [`detach`].
    pub(super) fn still_pinned(&self) -> Result<(), DatapathError> {
        let Some((lock, pins)) = self.lock.as_ref().zip(self.pins.as_ref()) else { return Ok(()) };
        let links = lock.metadata().map_err(super::pins::at(pins.folder()))?.nlink();
        if links == 0 { Err(DatapathError::Detached) } else { Ok(()) }
    }

    /// Removes what an older version left, once the program on every link is this one.
    pub fn forget_other_layouts(&self) -> Result<(), DatapathError> {
        self.pins.as_ref().map_or(Ok(()), Pins::forget_other_layouts)
    }
}

/// Ends enforcement in this network namespace: removes every link, and then every map, counters included.
///
/// It works while a daemon runs, for whoever needs it is in a hurry; the daemon's maps then go with it.
pub fn detach(pins: &Pins) -> Result<Vec<u32>, DatapathError> {
    let links = pins.links()?;
    pins.remove()?;
    Ok(links)
}

/// The program on a pinned link; `None` where the link is not pinned.
pub fn linked_program(pins: &Pins, interface: u32) -> Result<Option<u32>, DatapathError> {
    let pin = pins.link(interface);
    if !pin.exists() {
        return Ok(None);
    }
    let link: FdLink = PinnedLink::from_pin(pin)?.into();
    Ok(Some(link.info()?.program_id()))
}

/// The name and number of a program, for people.
fn describe(program: u32) -> String {
    let found = loaded_programs().flatten().find(|info| info.id() == program);
    match found.as_ref().and_then(ProgramInfo::name_as_str) {
        Some(name) if !name.is_empty() => format!("`{name}` (id {program})"),
        _ => format!("with id {program}"),
    }
}
