//! The addresses of a pool, as `spec.address` writes them.
//!
//! Three forms, as the original reads them: one address, a CIDR (host bits are masked off, and the
//! first and last address are addresses like any other), or an inclusive range `a-b`.

use std::{error, fmt, net::IpAddr};

use ipnet::IpNet;

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
        let size = (bits(self.last) - bits(self.first)).saturating_add(1);
        i64::try_from(size).unwrap_or(i64::MAX)
    }

    /// The address after `address`, while there is one in the range.
    pub fn after(&self, address: IpAddr) -> Option<IpAddr> {
        if address >= self.last {
            return None;
        }
        Some(match address {
            IpAddr::V4(address) => IpAddr::V4((address.to_bits() + 1).into()),
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() + 1).into()),
        })
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
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
    fn a_walk_ends_at_the_last_address() {
        let range = AddressRange::parse("255.255.255.254-255.255.255.255").unwrap();
        let second = range.after(range.first()).unwrap();
        assert_eq!(second.to_string(), "255.255.255.255");
        assert_eq!(range.after(second), None);
    }
}
