//! A CSV of traffic, as exports write it: any separator, with or without header and times.

use std::collections::BTreeMap;

use units::Millis;

use super::document::{CsvOptions, GapFill, Source, Unit};
use super::{Curve, MOST_PER_SECOND, clock};

/// A row of the file with the line that it stands in.
struct Row {
    line: usize,
    fields: Vec<String>,
}

struct Table {
    header: Option<Vec<String>>,
    rows: Vec<Row>,
    /// Numbers are written 1,5.
    decimal_comma: bool,
}

/// Names that say that a value is a rate.
const RATES: [&str; 7] = ["per_second", "persecond", "per second", "rps", "rate", "/s", "qps"];
/// Names that are likely requests, best first.
const LIKELY: [&str; 8] =
    ["requests_per_second", "rps", "requests", "request", "count", "hits", "invocations", "value"];

/// Reads a trace.
///
/// # Errors
/// At the first thing that cannot be used, with its line.
pub fn read_csv(text: &str, options: &CsvOptions) -> Result<Source, String> {
    let table = Table::read(text)?;
    let mut notes = Vec::new();
    let offset = match &options.timezone {
        Some(zone) => {
            clock::offset(zone).ok_or_else(|| format!("timezone: `{zone}` is not an offset such as +02:00"))?
        }
        None => 0,
    };
    let time = table.time_column(options, offset)?;
    let value = table.value_column(options, time, &mut notes)?;
    let rows = table.values(value)?;
    let unit = options.unit.unwrap_or_else(|| table.unit_of(value, time.is_some()));
    let samples = match time {
        Some(time) => table.timed(time, &rows, offset, &mut notes)?,
        None => {
            let interval = options.interval.unwrap_or(Millis::from_secs(60)).0;
            if options.interval.is_none() {
                notes.push(
                    "no column holds times; rows are taken as one minute each (`interval` says otherwise)".to_owned(),
                );
            }
            rows.iter().enumerate().map(|(index, value)| (index as i64 * interval, *value)).collect()
        }
    };
    let name = table.name(value);
    let interval = interval_of(&samples, options);
    if options.unit.is_none() {
        let what = match unit {
            Unit::PerSecond => "requests per second".to_owned(),
            Unit::PerInterval => format!("requests in {} s", interval as f64 / 1000.0),
        };
        notes.push(format!("{name} is taken as {what} (`unit` says otherwise)"));
    }
    let factor = if unit == Unit::PerInterval { 1000.0 / interval as f64 } else { 1.0 };
    let curve = filled(&samples, interval, unit, options.gaps, factor, &mut notes)?;
    if curve.peak() > MOST_PER_SECOND {
        return Err(format!("{name}: {:.0} requests a second are more than {MOST_PER_SECOND:.0}", curve.peak()));
    }
    if curve.peak() == 0.0 {
        return Err(format!("{name}: there is no traffic in it"));
    }
    Ok(Source { curve, notes })
}

impl Table {
    fn read(text: &str) -> Result<Table, String> {
        let text = text.trim_start_matches('\u{feff}');
        let first = text.lines().find(|line| !line.trim().is_empty()).ok_or("the file is empty")?;
        let separator = separator(first);
        let mut rows = split(text, separator)?;
        let is_header = |row: &Row| {
            row.fields.iter().all(|field| number(field, true).is_none() && clock::instant(field, 0).is_none())
        };
        let header = rows.first().is_some_and(is_header).then(|| rows.remove(0).fields);
        let width = header.as_ref().or(rows.first().map(|row| &row.fields)).map_or(0, Vec::len);
        if let Some(row) = rows.iter().find(|row| row.fields.len() != width) {
            return Err(format!("line {}: it has {} fields, the first line has {width}", row.line, row.fields.len()));
        }
        if rows.is_empty() {
            return Err("there is no row in it".to_owned());
        }
        let commas =
            rows.iter().flat_map(|row| &row.fields).any(|field| field.contains(',') && number(field, true).is_some());
        Ok(Table { header, rows, decimal_comma: separator != ',' && commas })
    }

    fn width(&self) -> usize {
        self.rows.first().map_or(0, |row| row.fields.len())
    }

    fn name(&self, column: usize) -> String {
        match &self.header {
            Some(header) => format!("column `{}`", header[column]),
            None => format!("column {}", column + 1),
        }
    }

    fn find(&self, name: &str) -> Result<usize, String> {
        let by_name = self.header.as_ref().and_then(|header| header.iter().position(|known| known == name));
        let by_number = name.parse::<usize>().ok().filter(|number| (1..=self.width()).contains(number));
        by_name.or(by_number.map(|number| number - 1)).ok_or_else(|| {
            let known =
                self.header.as_ref().map_or_else(|| format!("1 to {}", self.width()), |header| header.join(", "));
            format!("line 1: there is no column `{name}`; there are {known}")
        })
    }

    fn time_column(&self, options: &CsvOptions, offset: i32) -> Result<Option<usize>, String> {
        if let Some(name) = &options.time_column {
            return self.find(name).map(Some);
        }
        let value = options.column.as_ref().map(|name| self.find(name)).transpose()?;
        let named = |column: usize| {
            let name = self.header.as_ref().map_or("", |header| header[column].as_str()).to_lowercase();
            ["time", "date", "timestamp", "minute", "period", "hour", "ts", "t"]
                .iter()
                .any(|word| name == *word || (word.len() > 2 && name.contains(word)))
        };
        let first = &self.rows[0].fields;
        let is_plain = |column: usize| number(&first[column], true).is_some();
        let is_time = |column: usize| {
            let text = &first[column];
            // A plain number is a time only where the name says so or where it can hardly be anything else.
            clock::instant(text, offset).is_some()
                && (!is_plain(column)
                    || named(column)
                    || number(text, true).is_some_and(|n| (1e9..3e9).contains(&n) || n > 1e12))
        };
        Ok((0..self.width()).find(|column| Some(*column) != value && is_time(*column)))
    }

    fn value_column(
        &self,
        options: &CsvOptions,
        time: Option<usize>,
        notes: &mut Vec<String>,
    ) -> Result<usize, String> {
        if let Some(name) = &options.column {
            return self.find(name);
        }
        let numeric: Vec<usize> = (0..self.width())
            .filter(|column| {
                Some(*column) != time && number(&self.rows[0].fields[*column], self.decimal_comma).is_some()
            })
            .collect();
        let likely = |word: &&str| {
            let header = self.header.as_ref()?;
            numeric.iter().copied().find(|column| header[*column].to_lowercase().contains(*word))
        };
        let Some(column) = LIKELY.iter().find_map(likely).or(numeric.first().copied()) else {
            return Err(format!("line {}: no column holds numbers", self.rows[0].line));
        };
        if numeric.len() > 1 {
            notes.push(format!("{} is taken as the traffic (`column` says otherwise)", self.name(column)));
        }
        Ok(column)
    }

    fn unit_of(&self, column: usize, timed: bool) -> Unit {
        let name = self.header.as_ref().map_or(String::new(), |header| header[column].to_lowercase());
        if RATES.iter().any(|word| name.contains(word)) || (!timed && self.header.is_none()) {
            return Unit::PerSecond;
        }
        Unit::PerInterval
    }

    fn values(&self, column: usize) -> Result<Vec<f64>, String> {
        let each = |row: &Row| {
            let field = &row.fields[column];
            let problem = |what: &str| format!("line {}, {}: `{field}` {what}", row.line, self.name(column));
            match number(field, self.decimal_comma) {
                Some(value) if value < 0.0 => Err(problem("is less than nothing")),
                // In an hour, as many as the largest rate that is admitted.
                Some(value) if value > MOST_PER_SECOND * 3600.0 => Err(problem("is more than any platform serves")),
                Some(value) => Ok(value),
                None => Err(problem("is not a number")),
            }
        };
        self.rows.iter().map(each).collect()
    }

    /// Rows by time, from nought. Rows that are out of order are sorted, equal ones dropped; both are told.
    fn timed(
        &self,
        column: usize,
        values: &[f64],
        offset: i32,
        notes: &mut Vec<String>,
    ) -> Result<Vec<(i64, f64)>, String> {
        let (mut seen, mut disordered, mut doubled) = (BTreeMap::<i64, (f64, usize)>::new(), 0, 0);
        for (row, value) in self.rows.iter().zip(values) {
            let text = &row.fields[column];
            let at = clock::instant(text, offset)
                .ok_or_else(|| format!("line {}, {}: `{text}` is not a time", row.line, self.name(column)))?;
            if seen.last_key_value().is_some_and(|(last, _)| at < *last) {
                disordered += 1;
            }
            match seen.get(&at) {
                Some((known, line)) if known.to_bits() != value.to_bits() => {
                    return Err(format!(
                        "line {}: the time {text} stands in line {line} too, with another value",
                        row.line
                    ));
                }
                Some(_) => doubled += 1,
                None => drop(seen.insert(at, (*value, row.line))),
            }
        }
        if disordered > 0 {
            notes.push(format!("{disordered} rows were out of order and have been sorted"));
        }
        if doubled > 0 {
            notes.push(format!("{doubled} rows stood there twice and count once"));
        }
        let start = seen.keys().next().copied().unwrap_or_default();
        Ok(seen.into_iter().map(|(at, (value, _))| (at - start, value)).collect())
    }
}

/// The most frequent distance between neighbours; of equally frequent ones the shortest.
fn interval_of(samples: &[(i64, f64)], options: &CsvOptions) -> i64 {
    if let Some(interval) = options.interval {
        return interval.0.max(1);
    }
    let mut counts = BTreeMap::<i64, usize>::new();
    for pair in samples.windows(2) {
        *counts.entry(pair[1].0 - pair[0].0).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(distance, count)| (*count, -distance)).map_or(60_000, |(distance, _)| distance)
}

/// More missing rows than this are a mistake in the times.
const MOST_MISSING: i64 = 2_000_000;

fn filled(
    samples: &[(i64, f64)],
    interval: i64,
    unit: Unit,
    gaps: Option<GapFill>,
    factor: f64,
    notes: &mut Vec<String>,
) -> Result<Curve, String> {
    let fill = gaps.unwrap_or(if unit == Unit::PerInterval { GapFill::Zero } else { GapFill::Interpolate });
    let (mut steps, mut missing) = (Vec::with_capacity(samples.len()), 0);
    for (index, (at, value)) in samples.iter().enumerate() {
        steps.push((*at, value * factor));
        let Some((next, next_value)) = samples.get(index + 1).copied() else { break };
        let holes = (next - at + interval / 2) / interval - 1;
        if holes <= 0 {
            continue;
        }
        missing += holes;
        if missing > MOST_MISSING {
            return Err(format!("{missing} rows and more are missing between the times"));
        }
        for hole in 1..=holes {
            let share = hole as f64 / (holes + 1) as f64;
            let filled = match fill {
                GapFill::Zero => 0.0,
                GapFill::Hold => *value,
                GapFill::Interpolate => value + (next_value - value) * share,
                GapFill::Error => {
                    return Err(format!(
                        "{holes} rows are missing {} s after the start (`gaps` may fill them)",
                        at / 1000
                    ));
                }
            };
            steps.push((at + hole * interval, filled * factor));
        }
    }
    if missing > 0 {
        let with = match fill {
            GapFill::Zero => "nothing",
            GapFill::Hold => "the value before them",
            GapFill::Interpolate | GapFill::Error => "the line between their neighbours",
        };
        notes.push(format!("{missing} missing rows were filled with {with} (`gaps` says otherwise)"));
    }
    let end = samples.last().map_or(0, |sample| sample.0) + interval;
    Ok(Curve::new(steps, Some(Millis(end))))
}

/// The separator that the line has most of.
fn separator(line: &str) -> char {
    let count = |separator: &char| line.matches(*separator).count();
    let best = [';', '\t', '|', ','].into_iter().max_by_key(count).unwrap_or(',');
    // `2023-11-15;1,5` has as many commas as semicolons; the semicolon is the separator then.
    if best == ',' && count(&';') >= count(&',') && count(&';') > 0 { ';' } else { best }
}

fn number(text: &str, decimal_comma: bool) -> Option<f64> {
    let value = if decimal_comma && text.contains(',') && !text.contains('.') {
        text.replacen(',', ".", 1).parse::<f64>()
    } else {
        text.parse::<f64>()
    };
    value.ok().filter(|value| value.is_finite())
}

/// Fields with quotes as RFC 4180 has them; blank lines are passed over.
fn split(text: &str, separator: char) -> Result<Vec<Row>, String> {
    let (mut rows, mut fields, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut line, mut start) = (false, 1, 1);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            '\n' => {
                line += 1;
                if quoted {
                    field.push(' ');
                    continue;
                }
                end_row(&mut rows, &mut fields, &mut field, start);
                start = line;
            }
            '\r' if !quoted => {}
            other if other == separator && !quoted => fields.push(std::mem::take(&mut field).trim().to_owned()),
            other => field.push(other),
        }
    }
    if quoted {
        return Err(format!("line {start}: a quote is not closed"));
    }
    end_row(&mut rows, &mut fields, &mut field, start);
    Ok(rows)
}

fn end_row(rows: &mut Vec<Row>, fields: &mut Vec<String>, field: &mut String, line: usize) {
    fields.push(std::mem::take(field).trim().to_owned());
    let fields = std::mem::take(fields);
    if fields.iter().any(|field| !field.is_empty()) {
        rows.push(Row { line, fields });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, options: &CsvOptions, expected: Result<&[(i64, f64)], &str>) -> Vec<String> {
        match (read_csv(text, options), expected) {
            (Ok(source), Ok(steps)) => {
                assert_eq!(source.curve.steps(), steps, "{text}");
                source.notes
            }
            (Err(seen), Err(expected)) => {
                assert!(seen.contains(expected), "{text}: {seen}");
                Vec::new()
            }
            (seen, _) => panic!("{text}: {seen:?}"),
        }
    }

    fn column(name: &str) -> CsvOptions {
        CsvOptions { column: Some(name.to_owned()), ..CsvOptions::default() }
    }

    #[test]
    fn columns_times_and_separators_are_found() {
        let two: &[(i64, f64)] = &[(0, 1.0), (60_000, 2.0)];
        let plain = CsvOptions::default();
        check("time,requests_per_second\n2023-11-15 12:00,1\n2023-11-15 12:01,2\n", &plain, Ok(two));
        check("\u{feff}time;rps\r\n2023-11-15 12:00;1,0\r\n2023-11-15 12:01;2,0\r\n", &plain, Ok(two));
        check("1700049600\t60\n1700049660\t120\n", &plain, Ok(two));
        check("minute,requests,tokens\n2023-11-16 18:15,60,13563\n2023-11-16 18:16,120,28162\n", &plain, Ok(two));
        check("a|b|c\n2023-11-16T18:15:00+02:00|60|\"x\"\n2023-11-16T16:16:00Z|120|y\n", &column("b"), Ok(two));
        check("1\n2\n", &plain, Ok(two));
        check(
            "timestamp,value\n2014-04-10 00:04:00,300.0\n2014-04-10 00:09:00,600.0\n",
            &plain,
            Ok(&[(0, 1.0), (300_000, 2.0)]),
        );
    }

    #[test]
    fn repairs_are_told_with_their_count() {
        let rows = "t,count\n2023-11-15 12:00,60\n2023-11-15 12:03,60\n2023-11-15 12:01,120\n2023-11-15 12:01,120\n2023-11-15 12:04,60\n";
        let notes = check(rows, &CsvOptions::default(), Ok(&[(0, 1.0), (60_000, 2.0), (120_000, 0.0), (180_000, 1.0)]))
            .join("\n");
        for words in [
            "2 rows were out of order",
            "1 rows stood there twice",
            "1 missing rows were filled with nothing",
            "taken as requests in 60 s",
        ] {
            assert!(notes.contains(words), "{notes}");
        }
        let hold = CsvOptions { gaps: Some(GapFill::Hold), ..CsvOptions::default() };
        check(
            "t,rps\n2023-11-15 12:00,1\n2023-11-15 12:01,2\n2023-11-15 12:04,3\n2023-11-15 12:05,3\n",
            &hold,
            Ok(&[(0, 1.0), (60_000, 2.0), (240_000, 3.0)]),
        );
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_line() {
        let plain = CsvOptions::default();
        check("", &plain, Err("the file is empty"));
        check("time,rps\n", &plain, Err("no row"));
        check(
            "time,rps\n2023-11-15 12:00,1\n2023-11-15 12:01,-2\n",
            &plain,
            Err("line 3, column `rps`: `-2` is less than nothing"),
        );
        check(
            "time,rps\n2023-11-15 12:00,1\n2023-11-15 12:01,many\n",
            &plain,
            Err("line 3, column `rps`: `many` is not a number"),
        );
        check("time,rps\n2023-11-15 12:00,1\nsoon,2\n", &plain, Err("line 3, column `time`: `soon` is not a time"));
        check(
            "time,rps\n2023-11-15 12:00,1\n2023-11-15 12:00,2\n",
            &plain,
            Err("line 3: the time 2023-11-15 12:00 stands in line 2 too"),
        );
        check("time,rps\n2023-11-15 12:00,1\n2023-11-15 12:01\n", &plain, Err("line 3: it has 1 fields"));
        check("time,rps\n2023-11-15 12:00,1e99\n", &plain, Err("line 2, column `rps`: `1e99` is more"));
        check("time,rps\n2023-11-15 12:00,inf\n", &plain, Err("line 2"));
        check("time,rps\n2023-11-15 12:00,0\n", &plain, Err("no traffic"));
        check("time,rps\n2023-11-15 12:00,\"1\n", &plain, Err("line 2: a quote is not closed"));
        check(
            "time,rps\n2023-11-15 12:00,1\n",
            &column("requests"),
            Err("there is no column `requests`; there are time, rps"),
        );
        let zone = CsvOptions { timezone: Some("Europe/Madrid".to_owned()), ..plain };
        check("time,rps\n2023-11-15 12:00,1\n", &zone, Err("timezone: `Europe/Madrid`"));
    }
}
