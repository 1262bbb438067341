//! The comparison for people and for programs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::compare::{Difference, Kind, compare};
use crate::exchange::Exchange;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Requests to Azure, each counted as often as it was sent.
    pub azure_requests: usize,
    pub embedded_requests: usize,
    /// What went wrong on the way, in Azure's words; the comparison reaches as far as the run did.
    pub stopped_by: Option<String>,
    pub differences: Vec<Difference>,
}

impl Report {
    pub fn new(azure: &[Exchange], embedded: &[Exchange], stopped_by: Option<String>) -> Report {
        Report {
            azure_requests: azure.len(),
            embedded_requests: embedded.len(),
            stopped_by,
            differences: compare(azure, embedded),
        }
    }

    /// `title` says what was compared, when and where, a line each.
    pub fn markdown(&self, title: &[String]) -> String {
        let mut text = String::from("# How Azure and the embedded cloud answered\n\n");
        for line in title {
            text += &format!("- {line}\n");
        }
        text +=
            &format!("- {} requests to Azure, {} to the embedded cloud\n", self.azure_requests, self.embedded_requests);
        if let Some(error) = &self.stopped_by {
            text += &format!("- **Not finished:** {}\n", error.replace('\n', " "));
        }
        if self.differences.is_empty() {
            return text + "\nNo answer differed in its status, headers, properties or values.\n";
        }
        let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
        for difference in &self.differences {
            *counts.entry(difference.kind).or_default() += 1;
        }
        let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {}", words(*kind))).collect();
        text += &format!("\n{} differences: {}.\n", self.differences.len(), counts.join(", "));
        let requests: BTreeSet<&String> = self.differences.iter().map(|difference| &difference.request).collect();
        for request in requests {
            text += &format!("\n## `{request}`\n\n| what | where | Azure | embedded |\n| --- | --- | --- | --- |\n");
            for difference in self.differences.iter().filter(|difference| &difference.request == request) {
                let cell = |value: &Option<String>| value.as_deref().map_or_else(|| "–".to_owned(), escaped);
                text += &format!(
                    "| {} | {} | {} | {} |\n",
                    words(difference.kind),
                    escaped(&difference.at),
                    cell(&difference.azure),
                    cell(&difference.embedded)
                );
            }
        }
        text
    }
}

fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Request => "asked of one side only",
        Kind::Status => "status",
        Kind::Header => "header",
        Kind::Property => "property on one side",
        Kind::Type => "type",
        Kind::Value => "value",
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exchange(status: u16) -> Exchange {
        let path = "/subscriptions?api-version=2022-12-01".to_owned();
        Exchange { method: "GET".into(), path, status, headers: Vec::new(), body: Some(json!({})) }
    }

    #[test]
    fn a_report_has_a_table_for_each_request() {
        let report = Report::new(&[exchange(200)], &[exchange(202)], Some("a | b\nc".into()));
        let text = report.markdown(&["eastus".to_owned()]);
        assert!(text.contains("1 differences: 1 status."), "{text}");
        assert!(text.contains("## `GET /subscriptions?api-version=2022-12-01`"), "{text}");
        assert!(text.contains("| status |  | 200 | 202 |"), "{text}");
        assert!(text.contains("**Not finished:** a | b c"), "{text}");
        let same = Report::new(&[exchange(200)], &[exchange(200)], None);
        assert!(same.markdown(&[]).contains("No answer differed"));
    }
}
