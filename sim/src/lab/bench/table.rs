//! What was measured, for people and for programs.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::{Value, json};

use super::{
    case::{Case, Placement},
    outage::Outage,
    peers::PEERS,
};

/// All repeats so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    outages: BTreeMap<(Case, Placement), Vec<Outage>>,
    /// Repeats that could not be measured.
    pub(crate) failures: Vec<String>,
}

impl Table {
    pub(crate) fn add(&mut self, case: Case, placement: Placement, outage: Outage) {
        self.outages.entry((case, placement)).or_default().push(outage);
    }

    pub(crate) fn json(&self) -> Value {
        let millis = |outage: &Outage| outage.longest.map(|it| it.as_secs_f64() * 1e3);
        let cases = self.outages.iter().map(|((case, placement), outages)| {
            json!({
                "case": case.name(),
                "leader": placement.name(),
                "outages_ms": outages.iter().map(millis).collect::<Vec<_>>(),
                "packets_lost": outages.iter().map(|it| it.lost).collect::<Vec<_>>(),
            })
        });
        json!({ "cases": cases.collect::<Vec<_>>(), "failures": self.failures })
    }

    /// The cells of one case: repeats, median, worst and packets lost in the worst.
    fn cells(&self, case: Case, placement: Placement) -> [String; 4] {
        let Some(outages) = self.outages.get(&(case, placement)) else {
            return ["", "-", "-", "-"].map(str::to_owned);
        };
        let lost = outages.iter().map(|outage| outage.lost).max().unwrap_or(0);
        [
            outages.len().to_string(),
            shown(median(outages)),
            shown(sorted(outages).last().copied().flatten()),
            lost.to_string(),
        ]
    }
}

/// From the shortest to the longest; one that did not end is longer than any.
fn sorted(outages: &[Outage]) -> Vec<Option<Duration>> {
    let mut longest: Vec<_> = outages.iter().map(|outage| outage.longest).collect();
    longest.sort_by_key(|it| it.unwrap_or(Duration::MAX));
    longest
}

/// The middle one; of two the longer.
pub(crate) fn median(outages: &[Outage]) -> Option<Duration> {
    sorted(outages).get(outages.len() / 2).copied().flatten()
}

pub(crate) fn shown(outage: Option<Duration>) -> String {
    match outage {
        None => "not over".into(),
        Some(outage) if outage >= Duration::from_secs(1) => {
            format!("{:.2} s", outage.as_secs_f64())
        }
        Some(outage) => format!("{} ms", outage.as_millis()),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "What the client missed: the longest time without an answered packet.\n")?;
        writeln!(f, "{:30}{:>33}{:>36}", "", "leader on another node", "leader on the target")?;
        write!(f, "{:30}", "CASE")?;
        for _ in Placement::BOTH {
            write!(f, "{:>5}{:>10}{:>10}{:>8}   ", "N", "MEDIAN", "WORST", "LOST")?;
        }
        writeln!(f)?;
        for case in Case::ALL {
            if !self.outages.keys().any(|(measured, _)| *measured == case) {
                continue;
            }
            write!(f, "{:30}", case.title())?;
            for placement in Placement::BOTH {
                let [repeats, median, worst, lost] = self.cells(case, placement);
                write!(f, "{repeats:>5}{median:>10}{worst:>10}{lost:>8}   ")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "\nN repeats, each in a fresh lab; LOST packets of one every 5 ms, at most.")?;
        writeln!(f, "\nOthers, derived from their code with its defaults, not measured:\n")?;
        let (planned, detection) = ("PLANNED", "DETECTION");
        writeln!(f, "{:26}{planned:20}{detection:20}{:22}CLIENT SEES", "SYSTEM", "+ ANNOUNCE")?;
        for peer in PEERS {
            let (system, planned, detection) = (peer.system, peer.planned, peer.detection);
            writeln!(f, "{system:26}{planned:20}{detection:20}{:22}{}", peer.announce, peer.floor)?;
        }
        for failure in &self.failures {
            writeln!(f, "\nNot measured: {failure}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(millis: Option<u64>) -> Outage {
        Outage { longest: millis.map(Duration::from_millis), lost: 3 }
    }

    #[test]
    fn an_outage_that_did_not_end_is_the_worst() {
        let outages = [outage(Some(20)), outage(None), outage(Some(1500))];
        assert_eq!(median(&outages), Some(Duration::from_millis(1500)));
        let mut table = Table::default();
        for outage in outages {
            table.add(Case::NodePowerLoss, Placement::Apart, outage);
        }
        let line = table.to_string();
        let line = line.lines().find(|line| line.starts_with("target node loses")).unwrap();
        let cells: Vec<_> = line.split("  ").map(str::trim).filter(|it| !it.is_empty()).collect();
        let expected = ["target node loses power", "3", "1.50 s", "not over", "3", "-", "-", "-"];
        assert_eq!(cells, expected);
    }

    #[test]
    fn programs_get_every_repeat() {
        let mut table = Table::default();
        table.add(Case::LeaderSigterm, Placement::Together, outage(Some(20)));
        table.add(Case::LeaderSigterm, Placement::Together, outage(None));
        let cases = &table.json()["cases"];
        assert_eq!(cases[0]["case"], "leader-sigterm");
        assert_eq!(cases[0]["outages_ms"], json!([20.0, null]));
    }
}
