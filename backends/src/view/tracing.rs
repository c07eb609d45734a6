//! What is said of one address on the LAN, line by line, and what follows from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::IpAddr,
    time::Duration,
};

use porter_core::{MacAddr, wire::Heard};

/// What was said of an address while it was asked for again and again.
#[derive(Clone, Debug)]
pub struct Tracing {
    target: IpAddr,
    /// Who asks.
    asker: (IpAddr, MacAddr),
    /// Whose MAC is known to be which.
    names: BTreeMap<MacAddr, String>,
    asked: u32,
    answered: u32,
    /// When the last question was asked that nobody has answered yet.
    waits_since: Option<Duration>,
    /// After what time the quickest answer came, and the slowest.
    waits: Option<(Duration, Duration)>,
    /// The MACs that were named, and by whom.
    voices: BTreeMap<MacAddr, BTreeSet<MacAddr>>,
}

impl Tracing {
    /// One in which nothing has been said yet. `names` tells whose MAC is whose.
    pub fn new(target: IpAddr, asker: (IpAddr, MacAddr), names: BTreeMap<MacAddr, String>) -> Self {
        let (asked, answered, waits_since, waits) = (0, 0, None, None);
        Self { target, asker, names, asked, answered, waits_since, waits, voices: BTreeMap::new() }
    }

    /// Takes in that it was asked, and tells it. Times are those since the beginning.
    pub fn handle_asked(&mut self, at: Duration) -> String {
        self.asked += 1;
        self.waits_since = Some(at);
        line(at, "asked")
    }

    /// Takes in what was said, by the MAC that the frame came from, and tells it.
    pub fn handle_said(&mut self, heard: &Heard, by: MacAddr, at: Duration) -> String {
        let is_at = match heard {
            Heard::IsAt(is_at) => is_at,
            Heard::WhoHas(question) => {
                let (address, mac) = question.asker;
                return match address.is_unspecified() {
                    true => line(at, &format!("does anybody have it? asks {}", self.named(by))),
                    false if mac.is_zero() => line(at, &format!("who has it? asks {address}")),
                    false => line(at, &format!("who has it? asks {address}, {}", self.named(mac))),
                };
            }
        };
        self.voices.entry(is_at.mac).or_default().insert(by);
        let (mac, by) = (self.named(is_at.mac), self.named(by));
        let to_us = is_at.to.is_some_and(|(to, _)| to == self.asker.0);
        match self.waits_since.filter(|_| to_us) {
            Some(asked_at) => {
                self.waits_since = None;
                self.answered += 1;
                let waited = at.saturating_sub(asked_at);
                let (least, most) = self.waits.unwrap_or((waited, waited));
                self.waits = Some((least.min(waited), most.max(waited)));
                line(at, &format!("is at {mac}, says {by}, after {}", millis(waited)))
            }
            None if to_us => line(at, &format!("is at {mac}, says {by}, too")),
            None => line(at, &format!("is at {mac}, says {by} to everybody")),
        }
    }

    /// Whether every question was answered, and all who said anything named one MAC.
    pub fn is_fine(&self) -> bool {
        self.asked > 0 && self.answered == self.asked && self.voices.len() == 1
    }

    /// What follows.
    pub fn summary(&self) -> String {
        let Self { target, asked, answered, waits, voices, .. } = self;
        let mut text = format!("\n{target}: {answered} of {asked} questions were answered");
        if let Some((least, most)) = waits {
            let _ = match least == most {
                true => write!(text, ", after {}", millis(*least)),
                false => write!(text, ", after {} to {}", millis(*least), millis(*most)),
            };
        }
        text.push_str(".\n");
        for (mac, by) in voices {
            let by: Vec<_> = by.iter().map(|by| self.named(*by)).collect();
            let _ = writeln!(text, "It is at {}, says {}.", self.named(*mac), by.join(", and "));
        }
        if voices.len() > 1 {
            text.push_str(
                "More than one MAC was named: it moved meanwhile, or somebody else claims it; \
                 `porter explain` says which.\n",
            );
        }
        if answered < asked {
            let _ = writeln!(
                text,
                "`porter explain {target}` says whether it should be answered. The host of the leader, and \
                 the node where it is, are not answered: ask on another."
            );
        }
        text
    }

    fn named(&self, mac: MacAddr) -> String {
        match self.names.get(&mac) {
            Some(name) => format!("{mac} ({name})"),
            None => mac.to_string(),
        }
    }
}

fn line(at: Duration, told: &str) -> String {
    format!("{:>8.3} s  {told}", at.as_secs_f64())
}

fn millis(span: Duration) -> String {
    format!("{:.2} ms", span.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use porter_core::{IsAt, LinkName, WhoHas};

    use super::*;

    const EIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 22, 0, 188));

    fn mac(last: u8) -> MacAddr {
        MacAddr::new(2, 0, 0, 0, 0, last)
    }

    fn client() -> (IpAddr, MacAddr) {
        ([172, 22, 0, 100].into(), mac(100))
    }

    fn is_at(node: u8, to: Option<(IpAddr, MacAddr)>) -> Heard {
        let link = LinkName::new("eth0").expect("a good name");
        Heard::IsAt(IsAt { link, target: EIP, mac: mac(node), to, via: mac(9) })
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_question_that_is_answered_once_by_one_voice_is_fine() {
        let names = BTreeMap::from([(mac(3), "node1".to_owned())]);
        let mut tracing = Tracing::new(EIP, client(), names);
        assert!(!tracing.is_fine(), "nothing was asked");
        assert_eq!(tracing.handle_asked(at(0)), "   0.000 s  asked");
        let told = tracing.handle_said(&is_at(3, Some(client())), mac(9), at(2));
        let named = "is at 02:00:00:00:00:03 (node1), says 02:00:00:00:00:09, after 2.00 ms";
        assert_eq!(told, format!("   0.002 s  {named}"));
        tracing.handle_asked(at(1_000));
        assert!(!tracing.is_fine(), "one question waits");
        tracing.handle_said(&is_at(3, Some(client())), mac(9), at(1_005));
        assert!(tracing.is_fine());
        let summary = tracing.summary();
        assert!(summary.contains("2 of 2 questions were answered, after 2.00 ms to 5.00 ms."));
    }

    #[test]
    fn another_mac_another_voice_and_silence_are_told() {
        let mut tracing = Tracing::new(EIP, client(), BTreeMap::new());
        tracing.handle_asked(at(0));
        tracing.handle_said(&is_at(3, Some(client())), mac(9), at(1));
        let too = tracing.handle_said(&is_at(10, Some(client())), mac(10), at(2));
        assert!(too.ends_with("is at 02:00:00:00:00:0a, says 02:00:00:00:00:0a, too"), "{too}");
        assert!(!tracing.is_fine());
        assert!(tracing.summary().contains("More than one MAC was named"));

        let mut tracing = Tracing::new(EIP, client(), BTreeMap::new());
        tracing.handle_asked(at(0));
        let told = tracing.handle_said(&is_at(3, None), mac(9), at(1));
        assert!(told.ends_with("to everybody"), "{told}");
        assert!(!tracing.is_fine(), "an announcement is no answer");
        let summary = tracing.summary();
        assert!(summary.contains("0 of 1 questions were answered.\n"), "{summary}");
        assert!(summary.contains("`porter explain 172.22.0.188`"), "{summary}");
    }

    #[test]
    fn questions_of_others_are_told_with_who_asks() {
        let link = LinkName::new("eth0").expect("a good name");
        let asks = |asker| Heard::WhoHas(WhoHas { link, target: EIP, asker, via: mac(50) });
        let mut tracing = Tracing::new(EIP, client(), BTreeMap::new());
        let mut told = |asker| tracing.handle_said(&asks(asker), mac(50), at(0));
        assert!(
            told(([172, 22, 0, 50].into(), mac(50)))
                .ends_with("asks 172.22.0.50, 02:00:00:00:00:32")
        );
        assert!(
            told(([0, 0, 0, 0].into(), mac(50)))
                .ends_with("anybody have it? asks 02:00:00:00:00:32")
        );
        assert!(!tracing.is_fine());
    }
}
