//! A CSV of traffic: one row an interval, played evenly over the run.

use std::path::Path;

use super::LoadError;

#[derive(Debug)]
pub(super) struct Trace {
    values: Vec<f64>,
}

impl Trace {
    pub fn read(path: &Path, column: Option<&str>) -> Result<Trace, LoadError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| LoadError::ReadTrace { path: path.to_owned(), source })?;
        Trace::parse(&text, column).map_err(|(line, problem)| LoadError::BadTrace {
            path: path.to_owned(),
            line,
            problem,
        })
    }

    fn parse(text: &str, column: Option<&str>) -> Result<Trace, (u64, String)> {
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let headers = reader.headers().map_err(|error| (1, error.to_string()))?.clone();
        let index = match column {
            Some(name) => headers.iter().position(|header| header == name).ok_or_else(|| {
                let known = headers.iter().collect::<Vec<_>>().join(", ");
                (1, format!("there is no column `{name}`; there is: {known}"))
            })?,
            None => headers.len().saturating_sub(1),
        };
        let mut values = Vec::new();
        for record in reader.records() {
            let record =
                record.map_err(|error| (error.position().map_or(0, csv::Position::line), error.to_string()))?;
            let line = record.position().map_or(0, csv::Position::line);
            let field = record.get(index).unwrap_or_default();
            match field.parse::<f64>() {
                Ok(value) if value >= 0.0 && value.is_finite() => values.push(value),
                _ => return Err((line, format!("`{field}` is not a number of requests from 0 on"))),
            }
        }
        if values.iter().all(|value| *value == 0.0) {
            return Err((1, "the trace has no traffic in it".to_owned()));
        }
        Ok(Trace { values })
    }

    /// The rows as requests per second; with a peak, scaled so that the busiest row is that.
    pub fn rates(self, peak: Option<f64>) -> Vec<f64> {
        let busiest = self.values.iter().copied().fold(0.0, f64::max);
        let scale = peak.map_or(1.0, |peak| peak / busiest);
        self.values.into_iter().map(|value| value * scale).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, column: Option<&str>, expected: Result<Vec<f64>, &str>) {
        let seen = Trace::parse(text, column)
            .map(|trace| trace.values)
            .map_err(|(line, problem)| format!("{line}: {problem}"));
        assert_eq!(seen, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn reads_one_column_and_says_where_it_cannot() {
        check("t,n\n1,5\n2,7.5\n", None, Ok(vec![5.0, 7.5]));
        check("\u{feff}t,n,tokens\n1, 5 ,9\n", Some("n"), Ok(vec![5.0]));
        check("t,n\n1,5\n2,-3\n", None, Err("3: `-3` is not a number of requests from 0 on"));
        check("t,n\n1,x\n", None, Err("2: `x` is not a number of requests from 0 on"));
        check("t,n\n1,5\n", Some("m"), Err("1: there is no column `m`; there is: t, n"));
        check("t,n\n", None, Err("1: the trace has no traffic in it"));
    }

    #[test]
    fn a_peak_scales_the_busiest_row() {
        let trace = Trace { values: vec![5.0, 20.0] };
        assert_eq!(trace.rates(Some(100.0)), vec![25.0, 100.0]);
    }
}
