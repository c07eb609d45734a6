//! Tables of a fixed size for what anybody on the LAN can ask.

use std::net::IpAddr;

use pnet::util::MacAddr;

use crate::random;

/// Which of `n_groups` groups of places is that of a host and an address.
pub(crate) fn place(host: MacAddr, address: IpAddr, n_groups: usize) -> usize {
    let address = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    let [a, b, c, d, e, f] = host.octets();
    let host = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let words = address.to_be_bytes();
    let (high, low) = words.split_at(words.len() / 2);
    let word = |half: &[u8]| u64::from_be_bytes(half.try_into().expect("half of 16 bytes are 8"));
    let hash = random::mix(random::mix(random::mix(host) ^ word(high)) ^ word(low));
    usize::try_from(hash % n_groups as u64).expect("it is less than a number of groups")
}
