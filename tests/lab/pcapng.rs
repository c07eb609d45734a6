//! Reads the capture file of a lab.

/// A frame and the port of the bridge through which it came in.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) port: String,
    pub(crate) bytes: Vec<u8>,
}

/// The frames of a file, in the order in which they were heard.
pub(crate) fn read(file: &[u8]) -> Vec<Frame> {
    let mut rest = file;
    let mut ports = Vec::new();
    let mut frames = Vec::new();
    while let Some((kind, len)) = number(rest, 0).zip(number(rest, 4)) {
        let block = &rest[8..len - 4];
        match kind {
            // An interface: link type and snap length, then the option if_name with its length.
            1 => {
                let len = usize::from(u16::from_le_bytes([block[10], block[11]]));
                ports.push(String::from_utf8_lossy(&block[12..12 + len]).into_owned());
            }
            // A packet: interface, time in two halves, both lengths, the frame.
            6 => {
                let port = number(block, 0).expect("a packet names its interface");
                let len = number(block, 12).expect("a packet says how long it is");
                let bytes = block[20..20 + len].to_vec();
                frames.push(Frame { port: ports[port].clone(), bytes });
            }
            _ => {}
        }
        rest = &rest[len..];
    }
    frames
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at + 4)?.try_into().expect("four bytes are four bytes");
    usize::try_from(u32::from_le_bytes(word)).ok()
}
