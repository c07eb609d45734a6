//! What things are called: Services, nodes, Eips, links, replicas.
//!
//! Each name is a type of its own, so that a node cannot be looked up among the Eips. Names are
//! shared (`Arc<str>`), since the same few are held by many parts.

use std::{borrow::Borrow, fmt, str, sync::Arc};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of an `Eip`, a pool of external addresses. Eips are cluster-scoped.
    EipName
}
name! {
    /// The name of a Kubernetes `Namespace`.
    NamespaceName
}
name! {
    /// The name of a Kubernetes `Node`.
    NodeName
}
name! {
    /// Who holds the Lease: one process of one pod, never used again by another process.
    Identity
}
name! {
    /// A Kubernetes object's `metadata.uid`: the same name with another UID is another object.
    Uid
}

/// A name within a namespace, written `namespace/name`.
///
/// Kept as one text, since names are compared all the time.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Namespaced(Arc<str>);

/// The name of a `Service`.
pub type ServiceName = Namespaced;
/// The name of an `EndpointSlice`.
pub type SliceName = Namespaced;

impl Namespaced {
    /// The object `name` in `namespace`. Neither contains a slash.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self([namespace, name].join("/").into())
    }

    /// Reads `namespace/name`, the form in which `Eip.status.used` names Services.
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        (!namespace.is_empty() && !name.is_empty() && !name.contains('/'))
            .then(|| Self(text.into()))
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.parts().0
    }

    /// The name within it.
    pub fn name(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').expect("it was made of two parts")
    }
}

impl fmt::Display for Namespaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a network interface of this host, such as `eth0`.
///
/// Held inline: a question names its link, and asking must not allocate.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkName([u8; Self::LEN_MAX]);

impl LinkName {
    /// The longest name in bytes: Linux' `IFNAMSIZ` of 16 less the closing zero.
    pub const LEN_MAX: usize = 15;

    /// The link called `name`, or `None` if no link can be called that: empty, longer than
    /// [`Self::LEN_MAX`] bytes, or with a slash, a colon, white space or a control character in it
    /// (Linux `dev_valid_name`).
    pub fn new(name: &str) -> Option<Self> {
        let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if name.is_empty()
            || name.len() > Self::LEN_MAX
            || name == "."
            || name == ".."
            || name.contains(bad)
        {
            return None;
        }
        let mut bytes = [0; Self::LEN_MAX];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Some(Self(bytes))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|&b| b == 0).unwrap_or(Self::LEN_MAX);
        str::from_utf8(&self.0[..len]).expect("a LinkName is made from a str and cut at its end")
    }
}

impl fmt::Debug for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_name_is_what_linux_takes_for_one() {
        assert_eq!(LinkName::new("eth0").unwrap().as_str(), "eth0");
        assert_eq!(LinkName::new("enp0s31f6.1234a").unwrap().as_str(), "enp0s31f6.1234a");
        for bad in ["", "enp0s31f6.1234ab", "can_reach:1.1.1.1", "a/b", "a b", "..", "a\0b"] {
            assert_eq!(LinkName::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_service_is_read_as_it_is_written() {
        let name = ServiceName::new("default", "web");
        assert_eq!(ServiceName::parse(&name.to_string()), Some(name));
        for bad in ["", "web", "/web", "default/", "a/b/c"] {
            assert_eq!(ServiceName::parse(bad), None, "{bad:?}");
        }
    }
}
