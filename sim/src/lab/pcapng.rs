//! Writes frames to a file that Wireshark opens, one interface for each port of the bridge.
//!
//! As in the PCAP Next Generation draft (draft-ietf-opsawg-pcapng), of which three blocks are
//! enough.

use std::{
    fs::File,
    io::{self, Write as _},
    time::{SystemTime, UNIX_EPOCH},
};

/// Section header, interface description, enhanced packet: the types of the blocks.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
/// LINKTYPE_ETHERNET.
const ETHERNET: u16 = 1;

/// A capture file being written. Every frame is in the file as soon as it was heard.
#[derive(Debug)]
pub(crate) struct Pcapng {
    file: File,
}

impl Pcapng {
    /// Begins a file about interfaces with these names.
    pub(crate) fn new(file: File, names: &[&str]) -> io::Result<Self> {
        let mut this = Self { file };
        let mut body = Vec::new();
        body.extend(0x1a2b_3c4d_u32.to_le_bytes()); // the byte order
        body.extend([1, 0, 0, 0]); // version 1.0
        body.extend(u64::MAX.to_le_bytes()); // a section of any length
        this.block(SECTION, &body)?;
        for name in names {
            let mut body = Vec::new();
            body.extend(ETHERNET.to_le_bytes());
            body.extend([0; 6]); // reserved, and no limit to a frame's length
            let len = u16::try_from(name.len()).expect("a link's name is short");
            body.extend(2_u16.to_le_bytes()); // option if_name
            body.extend(len.to_le_bytes());
            body.extend(name.as_bytes());
            body.resize(body.len().next_multiple_of(4), 0);
            body.extend([0; 4]); // end of options
            this.block(INTERFACE, &body)?;
        }
        Ok(this)
    }

    /// Adds a frame that came in on the interface with this number.
    pub(crate) fn write(&mut self, interface: u32, at: SystemTime, frame: &[u8]) -> io::Result<()> {
        let micros = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        let [a, b, c, d, high @ ..] = micros.to_le_bytes();
        let len = u32::try_from(frame.len()).expect("a frame is short");
        let mut body = Vec::new();
        body.extend(interface.to_le_bytes());
        body.extend(high);
        body.extend([a, b, c, d]);
        body.extend(len.to_le_bytes());
        body.extend(len.to_le_bytes());
        body.extend(frame);
        self.block(PACKET, &body)
    }

    /// A block: its type, its length, its body padded to 32 bits, its length again.
    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let padded = body.len().next_multiple_of(4);
        let len = u32::try_from(padded + 12).expect("a block is short").to_le_bytes();
        let mut block = kind.to_le_bytes().to_vec();
        block.extend(len);
        block.extend(body);
        block.resize(8 + padded, 0);
        block.extend(len);
        self.file.write_all(&block)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    #[test]
    fn a_file_has_the_blocks_that_the_draft_describes() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let names = ["node1", "client"];
        let mut file = Pcapng::new(path.reopen().unwrap(), &names).unwrap();
        let at = UNIX_EPOCH + Duration::from_micros(0x0000_0001_0000_0002);
        file.write(1, at, &[0xaa; 5]).unwrap();

        let bytes = fs::read(path.path()).unwrap();
        assert_eq!(&bytes[..8], [0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0]);
        let packet = &bytes[28 + 36 + 36..];
        assert_eq!(packet[..8], [6, 0, 0, 0, 40, 0, 0, 0]);
        assert_eq!(packet[8..20], [1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(packet[20..36], [5, 0, 0, 0, 5, 0, 0, 0, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0, 0, 0]);
        assert_eq!(packet[36..], [40, 0, 0, 0]);
    }
}
