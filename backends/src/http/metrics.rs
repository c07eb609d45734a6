//! What a replica has done, as Prometheus reads it: names, and what they mean.
//!
//! Everything is read when it is asked for, from the counters of the responders and from what the loop
//! says, so that no series outlives what it is about. docs/metrics.md lists the same in the same words.

use std::{fmt, sync::Arc};

use porter_core::{Kind, MoveCause, Silence, wire::Dropped};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, prometheus_text, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{Sources, health};
use crate::{
    Report, Tally, Verdict,
    link::{Outcome, Outcomes},
};

/// Of how many Eips there are series: of more, those are told that come first by name.
pub(super) const EIPS_MAX: usize = 1_000;

const OPEN_METRICS: &str = "application/openmetrics-text";

/// The metrics in the format that is asked for, with its media type.
pub(super) async fn scrape(
    sources: &Sources,
    accepts: &str,
) -> Result<(&'static str, String), String> {
    let report = health::report(sources).await?;
    let mut registry = Registry::with_prefix("porter");
    let outcomes = Arc::clone(&sources.outcomes);
    registry.register_collector(Box::new(Scrape { report, outcomes }));
    let mut text = String::new();
    let (media_type, encoded) = match accepts.contains(OPEN_METRICS) {
        true => {
            let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (media_type, text::encode(&mut text, &registry))
        }
        false => {
            let media_type = "text/plain; version=0.0.4; charset=utf-8";
            (media_type, prometheus_text::encode(&mut text, &registry))
        }
    };
    encoded.expect("a string can be written to");
    Ok((media_type, text))
}

/// What is told at one time.
#[derive(Debug)]
struct Scrape {
    report: Report,
    outcomes: Arc<Outcomes>,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.tell_leadership(&mut page)?;
        self.tell_frames(&mut page)?;
        self.tell_eips(&mut page)?;
        self.tell_doubts(&mut page)?;
        self.tell_kubernetes(&mut page)
    }
}

impl Scrape {
    fn tell_leadership(&self, page: &mut Page<'_>) -> fmt::Result {
        let Tally { begun, ended, margins, lateness, takeovers, .. } = &self.report.tally;
        page.info("build", "The version of this replica", ("version", env!("CARGO_PKG_VERSION")))?;
        let help = "Whether this replica leads, and speaks for EIPs: 1 or 0";
        page.gauge("leader", help, self.report.leads.into())?;
        let help = "How often this replica began to lead, and how often it fell silent";
        page.counters("leader_transitions", help, "to", [("leading", *begun), ("silent", *ended)])?;
        let help = "For how much longer this replica might have spoken when it renewed the Lease";
        page.seconds("lease_margin", help, margins)?;
        let help =
            "How long after a decision was due the replica came to make it: its host is busy";
        page.seconds("timer_lateness", help, lateness)?;
        let help = "How long after the last sign of another leader this replica led";
        page.seconds("takeover", help, takeovers)?;
        let help = "How often this replica was woken so late that it must have been paused";
        page.counter("pauses", help, self.report.pauses)
    }

    fn tell_frames(&self, page: &mut Page<'_>) -> fmt::Result {
        let count = |outcome| self.outcomes.count(outcome);
        let help = "Questions for EIPs that were answered";
        page.counter("answers", help, count(Outcome::Answered))?;
        let silences = Silence::ALL.map(|why| (why.as_str(), count(Outcome::Silent(why))));
        let help = "Questions that were not answered, by the reason";
        page.counters("silences", help, "reason", silences)?;
        let dropped = Dropped::ALL.map(|why| (why.as_str(), count(Outcome::Dropped(why))));
        let help = "Frames that were not listened to, by the reason";
        page.counters("frames_dropped", help, "reason", dropped)?;
        let help = "Frames that were lost in the kernel, since more came than could be listened to";
        page.counter("frames_missed", help, count(Outcome::Missed))?;
        let help = "Announcements of EIPs to everybody on their link";
        page.counter("announcements", help, count(Outcome::Announced))?;
        let help = "Questions that were sent: for nodes, and who else has an address";
        page.counter("probes", help, count(Outcome::Probed))?;
        let help = "After how long nodes answered probes";
        page.seconds("probe_rtt", help, &self.report.tally.round_trips)?;
        let help = "Claims to addresses that were heard: taken in, or lost since too many came";
        let heard = [("heard", count(Outcome::Heard)), ("lost", count(Outcome::Overrun))];
        page.counters("claims", help, "outcome", heard)?;
        let help = "Frames that were not sent: too late by the Lease, or refused by the link";
        let unsent = [("late", count(Outcome::Late)), ("link", count(Outcome::Unsent))];
        page.counters("frames_unsent", help, "reason", unsent)?;
        let help =
            "Frames that were sent more than 1 ms after the last look at the Lease's deadline";
        page.counter("frames_slow", help, count(Outcome::Slow))
    }

    fn tell_eips(&self, page: &mut Page<'_>) -> fmt::Result {
        let pools = &self.report.pools;
        let help = "Eips of layer2; of more than 1000 the series are those of the first by name";
        page.gauge("eips", help, i64::try_from(pools.len()).unwrap_or(i64::MAX))?;
        let pools = || pools.iter().take(EIPS_MAX);
        let help = "Addresses that an Eip has";
        let addresses = pools().map(|(name, pool)| (name.as_str(), pool.addresses));
        page.gauges("eip_addresses", help, "eip", addresses)?;
        let help =
            "Addresses of an Eip that are on record as in use, however many Services share them";
        let used = pools().map(|(name, pool)| (name.as_str(), pool.used));
        page.gauges("eip_addresses_used", help, "eip", used)?;
        let help = "How often this replica moved a Service to another node, by the cause";
        let moves = MoveCause::ALL.map(|why| (why.as_str(), self.report.tally.moves(why)));
        let taking = moves.map(|(why, (_, seconds))| (why, seconds));
        let moves = moves.map(|(why, (count, _))| (why, *count));
        page.counters("moves", help, "cause", moves)?;
        let help = "How long moves took: from the first question that a silent node left unanswered, or \
                    from the news that made a Service move, until the other node was on record";
        page.seconds_by("failover", help, "cause", taking)
    }

    fn tell_doubts(&self, page: &mut Page<'_>) -> fmt::Result {
        let Report { disputes, doubts, .. } = &self.report;
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let help = "EIPs that somebody else claims, as the leader knows: a host outside the cluster, a \
                    node's kernel, or another speaker";
        let conflicts = [
            ("ForeignHost", number(disputes.by_strangers)),
            ("NodeAnswers", number(disputes.by_nodes)),
            ("OtherSpeaker", number(disputes.by_speakers)),
        ];
        page.gauges("conflicts", help, "case", conflicts)?;
        let help = "Addresses that the leader gives nobody, since somebody has them";
        page.gauge("addresses_set_aside", help, number(disputes.set_aside))?;
        let help = "Links with carrier on which nobody is heard who should be";
        page.gauge("links_suspect", help, number(doubts.suspect_links))?;
        let help = "Nodes whose address several MACs claim";
        page.gauge("nodes_ambiguous", help, number(doubts.ambiguous_nodes))?;
        let help = "Nodes that came back from silence lately, and are chosen last";
        page.gauge("nodes_held_down", help, number(doubts.held_down_nodes))
    }

    fn tell_kubernetes(&self, page: &mut Page<'_>) -> fmt::Result {
        let help =
            "Whether the watch of a kind is broken, so that what is known of it grows old: 1 or 0";
        let broken =
            Kind::ALL.map(|kind| (kind.as_str(), self.report.broken.contains(&kind).into()));
        page.gauges("watch_broken", help, "kind", broken)?;
        let help = "Writes to the API server, by what was written and what came of it";
        let mut family = page.0.encode_descriptor("writes", help, None, MetricType::Counter)?;
        for kind in Tally::KINDS {
            for verdict in Verdict::ALL {
                let labels = [("kind", kind.as_str()), ("verdict", verdict.as_str())];
                let count = self.report.tally.writes(kind, verdict);
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// What is being written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn info(&mut self, name: &str, help: &str, label: (&str, &str)) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Info)?;
        encoder.encode_info(&[label])
    }

    fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    /// A gauge for each value of a label.
    fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, i64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (value, gauge) in values {
            ConstGauge::new(gauge).encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    /// A histogram of seconds.
    fn seconds(&mut self, name: &str, help: &str, observed: &Histogram) -> fmt::Result {
        let kind = MetricType::Histogram;
        observed.encode(self.0.encode_descriptor(name, help, Some(&Unit::Seconds), kind)?)
    }

    /// A histogram of seconds for each value of a label.
    fn seconds_by<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        observed: impl IntoIterator<Item = (&'a str, &'a Histogram)>,
    ) -> fmt::Result {
        let (unit, kind) = (Some(&Unit::Seconds), MetricType::Histogram);
        let mut family = self.0.encode_descriptor(name, help, unit, kind)?;
        for (value, seconds) in observed {
            seconds.encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    /// A counter for each value of a label.
    fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (value, count) in values {
            ConstCounter::new(count).encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }
}
