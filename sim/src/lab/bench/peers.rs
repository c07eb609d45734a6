//! What other load balancers of this kind take to fail over.
//!
//! Derived from the defaults in their code, not measured: MetalLB (memberlist, `speaker/`), kube-vip
//! (`pkg/vip/arp.go`, client-go leases), PureLB (`internal/election/election.go`), Cilium (L2
//! announcements) and keepalived (RFC 9568, `keepalived/include/vrrp.h`), each as of 2026.

/// How long a system takes with its defaults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) system: &'static str,
    /// When its owner leaves in good order.
    pub(crate) planned: &'static str,
    /// Until it is noticed that an owner died.
    pub(crate) detection: &'static str,
    /// Until that is announced.
    pub(crate) announce: &'static str,
    /// What a client sees at least.
    pub(crate) floor: &'static str,
}

pub(crate) const PEERS: [Peer; 7] = [
    Peer {
        system: "Porter 0.5, leader",
        planned: "none (no release)",
        detection: "3-13.8 s",
        announce: "nothing sent",
        floor: "next client retry",
    },
    Peer {
        system: "Porter 0.5, target node",
        planned: "not applied",
        detection: "40-60 s or never",
        announce: "none",
        floor: "until restart",
    },
    Peer {
        system: "MetalLB",
        planned: "<= 1 s leave",
        detection: "1-5 s",
        announce: "0 s, then 1.1 s x 5",
        floor: "~2-5 s",
    },
    Peer {
        system: "kube-vip 15/10/2",
        planned: "<= 4.4 s poll",
        detection: "13-23.8 s",
        announce: "<= 3 s tick",
        floor: "13-27 s",
    },
    Peer {
        system: "PureLB 10 s",
        planned: ">= 2 s dark",
        detection: "10-20 s",
        announce: "none by default",
        floor: "+ client cache 24-53 s",
    },
    Peer {
        system: "Cilium 15/5/2",
        planned: "<= 4.4 s poll",
        detection: "13-23.8 s",
        announce: "one frame",
        floor: "13-24 s",
    },
    Peer {
        system: "keepalived 1 s",
        planned: "<= 1 s",
        detection: "3-4 s",
        announce: "5 at 0 s, 5 at 5 s",
        floor: "3-4 s",
    },
];
