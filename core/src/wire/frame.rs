//! A frame to send, held inline: answering must not allocate.

use std::fmt;

/// The shortest Ethernet frame without its checksum (IEEE 802.3). Packet sockets do not pad, and
/// some virtual ports pass shorter frames on, or fill them up with whatever memory was there.
const LEN_MIN: usize = 60;

/// A frame to send, from its Ethernet header on, padded with zeros to the least length of 60 bytes.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Frame {
    bytes: [u8; Self::LEN_MAX],
    len: usize,
}

impl Frame {
    /// The longest frame: more than a neighbor advertisement (86 bytes) or a solicitation with a
    /// nonce (94 bytes) needs.
    pub const LEN_MAX: usize = 96;

    /// A frame of zeros with room for `len` bytes.
    pub(crate) fn zeroed(len: usize) -> Self {
        assert!(len <= Self::LEN_MAX, "no frame of ours has {len} bytes");
        Self { bytes: [0; Self::LEN_MAX], len: len.max(LEN_MIN) }
    }

    /// The bytes to send.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

impl fmt::Debug for Frame {
    /// The bytes in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
