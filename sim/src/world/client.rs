//! What the neighbour caches of different systems make of the frames they hear.
//!
//! Linux is the one that was measured; the others differ from it in the ways that decide when a host
//! notices that an EIP has moved.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::frame::{Frame, Says};

/// A kind of host outside the cluster.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// Linux: within the locktime only an announcement replaces a MAC, and a stale entry that is used
    /// is probed.
    #[default]
    Linux,
    /// Windows: the same timers (RFC 4861 section 10) and no locktime, so that whatever is heard last
    /// counts.
    Windows,
    /// A router (Cisco IOS): an entry is good for four hours, and then asked for at its MAC.
    Router,
    /// Linux with `drop_gratuitous_arp`: no announcement counts.
    Deaf,
    /// Of an announcement only the form of a request counts.
    HeedsRequests,
    /// Of an announcement only the form of a reply counts.
    HeedsReplies,
}

impl Client {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Linux,
        Self::Windows,
        Self::Router,
        Self::Deaf,
        Self::HeedsRequests,
        Self::HeedsReplies,
    ];

    /// What it is like where IPv6 is concerned: there is no locktime, an announcement has one form, and
    /// even routers have the timers of RFC 4861. Only who heeds no announcement does so here, too
    /// (`drop_unsolicited_na`).
    pub(super) fn for_v6(self) -> Self {
        if self == Self::Deaf { Self::Deaf } else { Self::Windows }
    }

    /// For how long an entry resists a plain reply that names another MAC (`locktime` of Linux).
    pub(super) fn locktime(self) -> Duration {
        match self {
            Self::Windows | Self::Router => Duration::ZERO,
            Self::Linux | Self::Deaf | Self::HeedsRequests | Self::HeedsReplies => {
                Duration::from_secs(1)
            }
        }
    }

    /// For how long an entry is good that was confirmed, where others have `drawn`.
    pub(super) fn keeps_for(self, drawn: Duration) -> Duration {
        if self.refreshes() { Duration::from_secs(4 * 3_600) } else { drawn }
    }

    /// Whether an entry that is old is asked for at its MAC, used or not, and forgotten without an
    /// answer.
    pub(super) fn refreshes(self) -> bool {
        self == Self::Router
    }

    /// Whether a frame that speaks of its sender to everybody counts.
    pub(super) fn heeds(self, announcement: &Frame) -> bool {
        let is_request = matches!(announcement.says, Says::WhoHas { .. });
        match self {
            Self::Linux | Self::Windows | Self::Router => true,
            Self::Deaf => false,
            Self::HeedsRequests => is_request,
            Self::HeedsReplies => !is_request,
        }
    }

    /// How long it takes at most to notice a move while it sends every second, once announcements
    /// get through. Who heeds none is left with its timers: 45 s reachable, 5 s of delay, 3 s of
    /// probes, and a question.
    pub(super) fn notices_within(self) -> Duration {
        match self {
            Self::Deaf => Duration::from_secs(60),
            Self::Linux
            | Self::Windows
            | Self::Router
            | Self::HeedsRequests
            | Self::HeedsReplies => Duration::ZERO,
        }
    }
}
