//! The answer of Prometheus' `/api/v1/query_range` (or `query`), as JSON.

use std::collections::BTreeMap;

use serde::Deserialize;
use units::Millis;

use super::document::Source;
use super::{Curve, MOST_PER_SECOND};

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    values: Vec<(f64, String)>,
    value: Option<(f64, String)>,
}

/// The sum of all series, in requests per second, starting at the first sample.
///
/// # Errors
/// When the text is not such an answer, or a sample makes no sense; with its place.
pub fn read_prometheus(text: &str) -> Result<Source, String> {
    let answer: Answer = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| format!("not an answer of Prometheus: {error}"))?;
    if answer.status != "success" {
        return Err(format!("Prometheus answered {}: {}", answer.status, answer.error.unwrap_or_default()));
    }
    let data = answer.data.ok_or("the answer has no `data`")?;
    if !["matrix", "vector"].contains(&data.kind.as_str()) {
        return Err(format!("data.resultType: `{}` is neither matrix nor vector", data.kind));
    }
    let (mut sums, mut absent) = (BTreeMap::<i64, f64>::new(), 0);
    for (index, series) in data.result.iter().enumerate() {
        let mut last = None;
        for (number, (at, value)) in series.values.iter().chain(&series.value).enumerate() {
            let place = || format!("data.result[{index}].values[{number}]");
            if !at.is_finite() || last.is_some_and(|last| *at <= last) {
                return Err(format!("{}: its time does not come after the one before", place()));
            }
            last = Some(*at);
            let rate: f64 = value.parse().map_err(|_| format!("{}: `{value}` is not a number", place()))?;
            if rate.is_nan() {
                absent += 1;
            } else if (0.0..=MOST_PER_SECOND).contains(&rate) {
                *sums.entry((at * 1000.0 + 0.5) as i64).or_default() += rate;
            } else {
                return Err(format!("{}: {value} is not a number of requests per second", place()));
            }
        }
    }
    let (Some(first), Some(last)) = (sums.keys().next().copied(), sums.keys().next_back().copied()) else {
        return Err("there is no sample in it".to_owned());
    };
    let step = sums.keys().zip(sums.keys().skip(1)).map(|(a, b)| b - a).min().unwrap_or(60_000);
    let mut notes = Vec::new();
    if data.result.len() > 1 {
        notes.push(format!("{} series were added up", data.result.len()));
    }
    if absent > 0 {
        notes.push(format!("{absent} samples without a number (NaN) were left out; the value before them holds"));
    }
    let holes = sums.keys().zip(sums.keys().skip(1)).map(|(a, b)| (b - a) / step - 1).sum::<i64>();
    if holes > 0 {
        notes.push(format!("{holes} samples are missing; the value before them holds"));
    }
    let steps = sums.iter().map(|(at, rate)| (at - first, *rate));
    Ok(Source { curve: Curve::new(steps, Some(Millis(last - first + step))), notes })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of the curve, and how many notes there are.
    type Expected<'a> = (&'a [(i64, f64)], usize);

    fn check(result: &str, expected: Result<Expected<'_>, &str>) {
        let text = format!(r#"{{"status": "success", "data": {{"resultType": "matrix", "result": {result}}}}}"#);
        match (read_prometheus(&text), expected) {
            (Ok(source), Ok((steps, notes))) => {
                assert_eq!((source.curve.steps(), source.notes.len()), (steps, notes), "{text}");
            }
            (Err(seen), Err(expected)) => assert!(seen.contains(expected), "{text}: {seen}"),
            (seen, _) => panic!("{text}: {seen:?}"),
        }
    }

    #[test]
    fn series_are_added_and_repairs_are_told() {
        check(r#"[{"metric": {}, "values": [[60, "1"], [120, "2.5"]]}]"#, Ok((&[(0, 1.0), (60_000, 2.5)], 0)));
        check(
            r#"[{"values": [[60, "1"], [120, "2"]]}, {"values": [[60, "1"], [120, "NaN"], [240, "1"]]}]"#,
            Ok((&[(0, 2.0), (180_000, 1.0)], 3)),
        );
        check(r#"[{"values": [[60, "-1"]]}]"#, Err("data.result[0].values[0]: -1"));
        check(r#"[{"values": [[60, "1"], [60, "1"]]}]"#, Err("values[1]: its time does not come after"));
        check("[]", Err("no sample"));
        assert!(read_prometheus(r#"{"status": "error", "error": "bad"}"#).unwrap_err().contains("bad"));
        assert!(read_prometheus("{").unwrap_err().contains("not an answer of Prometheus"));
    }
}
