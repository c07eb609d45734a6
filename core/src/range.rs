//! The addresses of a pool, as `spec.address` writes them.
//!
//! Three forms, as the original reads them: one address, a CIDR (host bits are masked off, and the
//! first and last address are addresses like any other), or an inclusive range `a-b`.

use std::{error, fmt, net::IpAddr};

use ipnet::IpNet;

use crate::Family;

/// An inclusive range of addresses of one family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// Reads `spec.address`.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        if let Ok(address) = text.parse() {
            return Ok(Self { first: address, last: address });
        }
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Self { first: net.network(), last: net.broadcast() });
        }
        let ends = text.split_once('-').map(|(first, last)| (first.parse(), last.parse()));
        let Some((Ok(first), Ok(last))) = ends else {
            return Err(RangeError::Malformed(text.to_owned()));
        };
        match (first, last) {
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                Err(RangeError::MixedFamilies { first, last })
            }
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) if first > last => {
                Err(RangeError::Backwards { first, last })
            }
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                Ok(Self { first, last })
            }
        }
    }

    /// The lowest address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The highest address.
    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// Whether `address` is in the range. Addresses of the other family never are.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.first <= address && address <= self.last
    }

    /// The number of addresses, saturated at `i64::MAX`: what a status field can hold.
    pub fn size(&self) -> i64 {
        let size = (to_bits(self.last) - to_bits(self.first)).saturating_add(1);
        i64::try_from(size).unwrap_or(i64::MAX)
    }

    /// The family of its addresses.
    pub fn family(&self) -> Family {
        Family::of(self.first)
    }

    /// Whether any address is in both ranges.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.family() == other.family() && self.first <= other.last && other.first <= self.last
    }
}

/// An address as a number, in the order of the addresses of its family.
pub(crate) fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of which [`to_bits`] made the number.
pub(crate) fn from_bits(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::V4 => {
            let bits = u32::try_from(bits).expect("the number was made of an IPv4 address");
            IpAddr::V4(bits.into())
        }
        Family::V6 => IpAddr::V6(bits.into()),
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first.fmt(f);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Why a `spec.address` is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RangeError {
    /// A range whose first address lies behind its last.
    Backwards {
        /// The address before the dash.
        first: IpAddr,
        /// The address behind it.
        last: IpAddr,
    },
    /// None of the three forms.
    Malformed(String),
    /// A range from one family into the other.
    MixedFamilies {
        /// The address before the dash.
        first: IpAddr,
        /// The address behind it.
        last: IpAddr,
    },
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backwards { first, last } => {
                write!(f, "the range {first}-{last} runs backwards; write {last}-{first}")
            }
            Self::Malformed(text) => write!(
                f,
                "{text:?} is no address, CIDR or range; write 192.0.2.1, 192.0.2.0/24 or \
                 192.0.2.1-192.0.2.9, without spaces"
            ),
            Self::MixedFamilies { first, last } => {
                write!(f, "the range {first}-{last} mixes IPv4 and IPv6; make an Eip of each")
            }
        }
    }
}

impl error::Error for RangeError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, String, i64) {
        let range = AddressRange::parse(text).unwrap();
        (range.first().to_string(), range.last().to_string(), range.size())
    }

    fn ends(first: &str, last: &str, size: i64) -> (String, String, i64) {
        (first.to_owned(), last.to_owned(), size)
    }

    #[test]
    fn the_three_forms_are_read() {
        assert_eq!(parsed("172.22.0.188"), ends("172.22.0.188", "172.22.0.188", 1));
        assert_eq!(parsed("192.168.0.1/24"), ends("192.168.0.0", "192.168.0.255", 256));
        let guide = parsed("172.22.0.188-172.22.0.200");
        assert_eq!(guide, ends("172.22.0.188", "172.22.0.200", 13));
        assert_eq!(parsed("fd00::1-fd00::ff"), ends("fd00::1", "fd00::ff", 255));
    }

    #[test]
    fn a_pool_of_more_addresses_than_a_status_can_count_saturates() {
        assert_eq!(parsed("fd00::/64").2, i64::MAX);
        assert_eq!(parsed("::/0").2, i64::MAX);
        assert_eq!(parsed("0.0.0.0/0").2, 1 << 32);
    }

    #[test]
    fn what_is_no_range_is_refused_with_a_remedy() {
        let refused = |text| AddressRange::parse(text).unwrap_err().to_string();
        assert!(refused("172.22.0.9-172.22.0.3").contains("write 172.22.0.3-172.22.0.9"));
        assert!(refused("172.22.0.9-fd00::1").contains("make an Eip of each"));
        for bad in ["", "172.22.0.3 - 172.22.0.9", "a-b-c", "1.2.3.4/33", "1.2.3", "-"] {
            assert!(refused(bad).contains("is no address"), "{bad:?}");
        }
    }

    #[test]
    fn ranges_overlap_when_they_share_an_address_of_one_family() {
        let range = |text| AddressRange::parse(text).unwrap();
        let low = range("10.0.0.1-10.0.0.99");
        assert!(low.overlaps(&range("10.0.0.99-10.0.0.200")));
        assert!(low.overlaps(&range("10.0.0.0/8")) && range("10.0.0.0/8").overlaps(&low));
        assert!(!low.overlaps(&range("10.0.0.100")));
        assert!(!range("0.0.0.0/0").overlaps(&range("::/0")));
    }

    #[test]
    fn an_address_is_the_number_it_was_made_of() {
        for text in ["0.0.0.0", "255.255.255.255", "::", "fd00::1", "ffff::"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(from_bits(Family::of(address), to_bits(address)), address);
        }
    }
}
