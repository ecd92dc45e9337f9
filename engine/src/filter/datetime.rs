//! Datetimes as text.
//!
//! What RFC 3339 (section 5.6) allows, and beyond it what the API dialect's clients write: a space for the `T`, and parts left out
//! from the right. With the grammar our own, all that a library would add is the calendar: [`days_since_1970`].
//!
//! ```text
//! datetime = date [ ("T" | "t" | " ") HH:MM [ :SS [ "." digits ] [ [" "] offset ] ] ]
//! date     = YYYY-MM-DD
//! offset   = "Z" | "z" | "UTC" (after a space) | ("+" | "-") HH [ [":"] MM ]
//! ```

/// Reads a datetime as microseconds since 1970-01-01 00:00 UTC, negative before; `None` if the text is none.
///
/// - Without an offset it is UTC; digits beyond the microsecond are cut off; space in front is skipped.
/// - A second of 60 (a leap second) is the first of the next minute.
/// - Years 0000 to 9999 of the Gregorian calendar, dates that exist only. Time O(bytes).
pub fn parse_datetime(text: &str) -> Option<i64> {
    let mut reader = Reader {
        rest: text.trim_start().as_bytes(),
    };
    let micros = reader.datetime()?;
    reader.rest.is_empty().then_some(micros)
}

struct Reader<'t> {
    rest: &'t [u8],
}

impl Reader<'_> {
    fn datetime(&mut self) -> Option<i64> {
        let (year, month, day) = self.date()?;
        let days = days_since_1970(year, month, day)?;
        let mut seconds = days * 86_400;
        let mut micros = 0;
        if self.skip(b"T") || self.skip(b"t") || self.skip(b" ") {
            seconds += self.number(2, 23)? * 3600;
            seconds += self.after(b":")?.number(2, 59)? * 60;
            if self.skip(b":") {
                seconds += self.number(2, 60)?;
                micros = self.fraction()?;
                seconds -= self.offset_seconds()?;
            }
        }
        Some(seconds * 1_000_000 + micros)
    }

    fn date(&mut self) -> Option<(i64, i64, i64)> {
        let year = self.number(4, 9999)?;
        let month = self.after(b"-")?.number(2, 12)?;
        let day = self.after(b"-")?.number(2, 31)?;
        Some((year, month, day))
    }

    /// Microseconds behind the dot; 0 without one.
    fn fraction(&mut self) -> Option<i64> {
        if !self.skip(b".") {
            return Some(0);
        }
        let digits = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (fraction, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let padded = fraction
            .iter()
            .copied()
            .chain(std::iter::repeat(b'0'))
            .take(6);
        (digits > 0).then(|| padded.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0')))
    }

    /// Seconds east of UTC; 0 at the end of the text.
    fn offset_seconds(&mut self) -> Option<i64> {
        if self.rest.is_empty() || self.skip(b" UTC") {
            return Some(0);
        }
        self.skip(b" ");
        let sign = match self.rest.split_first()? {
            (b'Z' | b'z', rest) => {
                self.rest = rest;
                return Some(0);
            }
            (b'+', _) => 1,
            (b'-', _) => -1,
            _ => return None,
        };
        self.rest = &self.rest[1..];
        let hours = self.number(2, 23)?;
        let minutes = if self.skip(b":") || !self.rest.is_empty() {
            self.number(2, 59)?
        } else {
            0
        };
        Some(sign * (hours * 3600 + minutes * 60))
    }

    fn number(&mut self, digits: usize, max: i64) -> Option<i64> {
        let (number, rest) = self.rest.split_at_checked(digits)?;
        if !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.rest = rest;
        let value = number
            .iter()
            .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        (value <= max).then_some(value)
    }

    fn after(&mut self, prefix: &[u8]) -> Option<&mut Self> {
        self.skip(prefix).then_some(self)
    }

    fn skip(&mut self, prefix: &[u8]) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

/// Days from 1970-01-01 to this date of the Gregorian calendar; `None` if there is no such date.
///
/// A year counts from March, so that a leap day is its last: then the days before a month are a straight line, rounded.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) {
        return None;
    }
    let (march_year, march_month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days =
        march_year.div_euclid(4) - march_year.div_euclid(100) + march_year.div_euclid(400);
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    Some(march_year * 365 + leap_days + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: i64 = 1_718_454_600_000_000;

    #[test]
    fn datetimes() {
        fn check(text: &str, expected: i64) {
            assert_eq!(parse_datetime(text), Some(expected), "{text}");
        }
        check("1970-01-01T00:00:00Z", 0);
        check("1969-12-31T23:59:59.999999Z", -1);
        check("2024-06-15T12:30:00Z", NOON);
        check("2024-06-15t12:30:00z", NOON);
        check("2024-06-15 12:30:00", NOON);
        check("2024-06-15T12:30", NOON);
        check("  2024-06-15T12:30", NOON);
        check("2024-06-15 12:30:00 UTC", NOON);
        check("2024-06-15 12:30:00.000 Z", NOON);
        check("2024-06-15T14:30:00+02:00", NOON);
        check("2024-06-15T14:30:00 +0200", NOON);
        check("2024-06-15T14:30:00+02", NOON);
        check("2024-06-15T07:00:00-05:30", NOON);
        check("2024-06-16T12:29:00+23:59", NOON);
        check("2024-06-15T12:30:00.5Z", NOON + 500_000);
        check("2024-06-15T12:30:00.123456Z", NOON + 123_456);
        check("2024-06-15T12:30:00.123456789Z", NOON + 123_456);
        check("2024-06-15T12:29:60Z", NOON);
        check("2024-06-15", 1_718_409_600_000_000);
        check("2024-02-29", 1_709_164_800_000_000);
        check("2000-02-29", 951_782_400_000_000);
        check("0000-01-01", -62_167_219_200_000_000);
        check("9999-12-31T23:59:59.999999-23:59", 253_402_387_139_999_999);
    }

    #[test]
    fn not_datetimes() {
        for text in [
            "",
            " ",
            "2024",
            "2024-06",
            "2024-6-15",
            "24-06-15",
            "20240615",
            "2024/06/15",
            "2024-13-01",
            "2024-00-01",
            "2024-06-31",
            "2023-02-29",
            "1900-02-29",
            "2024-06-00",
            "2024-06-15T",
            "2024-06-15T12",
            "2024-06-15 12",
            "2024-06-15T24:00",
            "2024-06-15T12:60",
            "2024-06-15T12:30:61",
            "2024-06-15T12:30Z",
            "2024-06-15T12:30:00.",
            "2024-06-15T12:30:00,5Z",
            "2024-06-15T12:30:00+",
            "2024-06-15T12:30:00+2",
            "2024-06-15T12:30:00+24:00",
            "2024-06-15T12:30:00+02:60",
            "2024-06-15T12:30:00+02:",
            "2024-06-15T12:30:00UTC",
            "2024-06-15T12:30:00 ",
            "2024-06-15T12:30:00Z ",
            "2024-06-15T12:30:00ZZ",
            "2024-06-15Z",
            "+2024-06-15",
            "2024-06-1é",
            "yesterday",
        ] {
            assert_eq!(parse_datetime(text), None, "{text:?}");
        }
    }

    #[test]
    fn days_follow_each_other() {
        let mut expected = days_since_1970(0, 1, 1).unwrap();
        for year in 0..=9999 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(days) = days_since_1970(year, month, day) {
                        assert_eq!(days, expected, "{year}-{month}-{day}");
                        expected += 1;
                    }
                }
            }
        }
        assert_eq!(expected, days_since_1970(9999, 12, 31).unwrap() + 1);
        assert_eq!(days_since_1970(1970, 1, 1), Some(0));
    }

    proptest! {
        #[test]
        fn any_text_reads_without_panic(text in "\\PC{0,30}|[0-9TZ: .+-]{0,40}|2024-06-15T12:30:[0-9]{2}[ .Z+:0-9]{0,10}") {
            let _ = parse_datetime(&text);
        }
    }
}
