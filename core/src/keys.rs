//! The keys and values that the world and Porter speak to each other with, in both spellings.
//!
//! The original was renamed from Porter to OpenELB in its version 0.4.4, and every key with it. Both
//! spellings are read; what is written takes the spelling that the object uses, else `porter`.

use crate::Texts;

/// Under which of its two names an object addresses us.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Spelling {
    /// `porter`: wins where an object uses both.
    #[default]
    Porter,
    /// `openelb`.
    OpenElb,
}

/// A key that exists in both spellings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key {
    porter: &'static str,
    openelb: &'static str,
}

impl Key {
    /// The key in one spelling.
    pub const fn spelled(self, spelling: Spelling) -> &'static str {
        match spelling {
            Spelling::Porter => self.porter,
            Spelling::OpenElb => self.openelb,
        }
    }

    /// What a map of annotations or labels has under this key, the `porter` spelling first, without
    /// white space around it. A blank value counts as absent.
    pub(crate) fn find(self, map: &Texts) -> Option<(Spelling, &str)> {
        [Spelling::Porter, Spelling::OpenElb].into_iter().find_map(|spelling| {
            let value = map.get(self.spelled(spelling))?.trim();
            (!value.is_empty()).then_some((spelling, value))
        })
    }

    /// What a map has under each of the two spellings, if these contradict one another: the one
    /// that counts, then the other.
    pub(crate) fn contradiction(self, map: &Texts) -> Option<(&str, &str)> {
        let (_, counts) = self.find(map)?;
        let other = map.get(self.openelb)?.trim();
        (!other.is_empty() && other != counts).then_some((counts, other))
    }

    /// What to set in a map so that it says `value` under this key: every spelling that it uses
    /// already, lest an old one contradict, else `spelling`.
    pub(crate) fn entries(
        self,
        map: &Texts,
        value: &str,
        spelling: Spelling,
    ) -> Vec<(String, Option<String>)> {
        let present = [self.porter, self.openelb].into_iter().filter(|key| map.contains_key(*key));
        let mut keys: Vec<_> = present.collect();
        if keys.is_empty() {
            keys.push(self.spelled(spelling));
        }
        keys.into_iter().map(|key| (key.to_owned(), Some(value.to_owned()))).collect()
    }
}

const fn key(porter: &'static str, openelb: &'static str) -> Key {
    Key { porter, openelb }
}

/// Annotation of a Service: it is ours if the value is `porter` or `openelb`. The key itself was
/// never renamed.
pub const LOAD_BALANCER: &str = "lb.kubesphere.io/v1alpha1";
/// Annotation of a Service: `layer2`, or a protocol that is not ours.
pub const PROTOCOL: Key =
    key("protocol.porter.kubesphere.io/v1alpha1", "protocol.openelb.kubesphere.io/v1alpha1");
/// Annotation of a Service: the address it asks for.
pub const REQUESTED_IP: Key =
    key("eip.porter.kubesphere.io/v1alpha1", "eip.openelb.kubesphere.io/v1alpha1");
/// Annotation of a Service: the Eip it asks for. Label of a Service: the Eip that its address is of.
pub const EIP: Key = key("eip.porter.kubesphere.io/v1alpha2", "eip.openelb.kubesphere.io/v1alpha2");
/// Annotation of a Service: the name of the node that is answered for it. Annotation of a Node: its
/// address on the LAN.
pub const LAYER2: Key =
    key("layer2.porter.kubesphere.io/v1alpha1", "layer2.openelb.kubesphere.io/v1alpha1");
/// Annotation of an Eip: `true` makes it the default.
pub const DEFAULT_EIP: Key =
    key("eip.porter.kubesphere.io/is-default-eip", "eip.openelb.kubesphere.io/is-default-eip");

/// `spec.loadBalancerClass` of a Service that is ours without any annotation.
pub const CLASS: &str = "porter.kubesphere.io/layer2";
/// Finalizer of a Service that holds an address.
pub const SERVICE_FINALIZER: &str = "finalizer.lb.kubesphere.io/v1alpha1";
/// Finalizer of an Eip.
pub const EIP_FINALIZER: &str = "finalizer.ipam.kubesphere.io/v1alpha1";
/// Annotation of the Lease: the identity of the holder that gave it up.
pub const RELEASED_BY: &str = "porter.kubesphere.io/released-by";
/// Annotation of the Lease: how many layer2 Eips the holder can serve, a decimal number.
pub const FITNESS: &str = "porter.kubesphere.io/fitness";
/// Annotation of the Lease: the identity of the replica that is fitter than the holder.
pub const WANTED_BY: &str = "porter.kubesphere.io/wanted-by";
/// Condition of a Service: whether the LAN is told where its address is.
pub const ANNOUNCED: &str = "porter.kubesphere.io/Announced";
/// The condition of a Service that is met while somebody else claims an address of it.
pub const CONFLICT: &str = "porter.kubesphere.io/AddressConflict";
/// Condition of an Eip: whether it is served.
pub const READY: &str = "Ready";
/// The protocol that this project speaks.
pub const LAYER2_PROTOCOL: &str = "layer2";

/// Whether a fact carries the annotation or label of this name; all others decide nothing.
pub fn is_known(name: &str) -> bool {
    name == LOAD_BALANCER
        || [PROTOCOL, REQUESTED_IP, EIP, LAYER2, DEFAULT_EIP]
            .iter()
            .any(|key| name == key.porter || name == key.openelb)
}
