//! Frames from outside the network: capture files and hex text.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
    time::Duration,
};

use jiff::Timestamp;
use pcap_file::{
    DataLink, PcapError,
    pcap::PcapReader,
    pcapng::{Block, PcapNgReader},
};
use thiserror::Error;

/// Why a frame could not be read.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The file can't be opened.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// Neither pcap nor pcapng, or broken.
    #[error("no readable pcap or pcapng capture: {0}")]
    Format(#[from] PcapError),
    /// The capture was taken on a link without Ethernet headers.
    #[error(
        "the capture's link type is {0:?}: only Ethernet frames can be judged; capture on the Ethernet interface itself, not on `any`"
    )]
    NotEthernet(DataLink),
    /// The text is not hex.
    #[error(
        "`{found}` at character {at} is no hex digit: a frame is pairs of hex digits, from the destination address on"
    )]
    Hex {
        /// The character.
        found: char,
        /// Its place, from 1.
        at: usize,
    },
    /// Half a byte is left over.
    #[error("an odd number of hex digits ({0}): the last byte is cut in half")]
    HalfByte(usize),
}

/// Hands every frame of a capture file to `take`, in order, with its time where the file holds one.
pub fn read(
    path: &Path,
    mut take: impl FnMut(&[u8], Option<Timestamp>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let open = || File::open(path).map(BufReader::new).map_err(CaptureError::from);
    let mut magic = [0; 4];
    open()?.read_exact(&mut magic).map_err(CaptureError::from)?;
    if magic == [0x0a, 0x0d, 0x0d, 0x0a] {
        let mut reader = PcapNgReader::new(open()?).map_err(CaptureError::from)?;
        let mut links: Vec<DataLink> = Vec::new();
        while let Some(block) = reader.next_block() {
            match block.map_err(CaptureError::from)? {
                Block::SectionHeader(_) => links.clear(),
                Block::InterfaceDescription(interface) => links.push(interface.linktype),
                Block::EnhancedPacket(packet) => {
                    ethernet(links.get(packet.interface_id as usize).copied().unwrap_or(DataLink::NULL))?;
                    take(&packet.data, time(packet.timestamp))?;
                }
                Block::SimplePacket(packet) => {
                    ethernet(links.first().copied().unwrap_or(DataLink::NULL))?;
                    take(&packet.data, None)?;
                }
                _ => {}
            }
        }
    } else {
        let mut reader = PcapReader::new(open()?).map_err(CaptureError::from)?;
        ethernet(reader.header().datalink)?;
        while let Some(packet) = reader.next_packet() {
            let packet = packet.map_err(CaptureError::from)?;
            take(&packet.data, time(packet.timestamp))?;
        }
    }
    Ok(())
}

fn time(since_1970: Duration) -> Option<Timestamp> {
    Timestamp::from_duration(since_1970.try_into().ok()?).ok()
}

fn ethernet(link: DataLink) -> Result<(), CaptureError> {
    if link == DataLink::ETHERNET { Ok(()) } else { Err(CaptureError::NotEthernet(link)) }
}

/// Reads a frame from hex digits; white space and colons between them are passed over.
pub fn from_hex(text: &str) -> Result<Vec<u8>, CaptureError> {
    let mut digits = Vec::with_capacity(text.len());
    for (at, found) in text.chars().enumerate().filter(|(_, found)| !found.is_whitespace() && *found != ':') {
        digits.push(found.to_digit(16).ok_or(CaptureError::Hex { found, at: at + 1 })? as u8);
    }
    let (pairs, rest) = digits.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect())
    } else {
        Err(CaptureError::HalfByte(digits.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_and_mistakes_are_named() {
        assert_eq!(from_hex("00:11 2233\n").unwrap(), [0, 0x11, 0x22, 0x33]);
        assert!(matches!(from_hex("0x11"), Err(CaptureError::Hex { found: 'x', at: 2 })));
        assert!(matches!(from_hex("123"), Err(CaptureError::HalfByte(3))));
    }
}
