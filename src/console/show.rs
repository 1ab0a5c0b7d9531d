//! Times, durations, numbers and foreign text as the pages show them.

use time::{OffsetDateTime, UtcOffset};

use super::texts::Texts;
use crate::contract::check::Language;
use crate::engine::time::{EventTime, SECOND};

/// Where the pages' clock stands.
#[derive(Clone, Copy, Debug)]
pub struct Zone(pub UtcOffset);

impl Zone {
    fn at(self, time: EventTime) -> OffsetDateTime {
        let at = OffsetDateTime::from_unix_timestamp(time.0.div_euclid(SECOND)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        at.checked_to_offset(self.0).unwrap_or(at)
    }

    /// `28.11.2026` or `2026-11-28`, as the language writes dates.
    pub fn date(self, t: &Texts, time: EventTime) -> String {
        let at = self.at(time);
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        match t.language() {
            Language::Ru => format!("{day:02}.{month:02}.{year}"),
            Language::En => format!("{year}-{month:02}-{day:02}"),
        }
    }

    /// `14:30:05`
    pub fn clock(self, time: EventTime) -> String {
        let (hour, minute, second) = self.at(time).to_hms();
        format!("{hour:02}:{minute:02}:{second:02}")
    }

    /// `14:30`
    pub fn minute(self, time: EventTime) -> String {
        let (hour, minute, _) = self.at(time).to_hms();
        format!("{hour:02}:{minute:02}")
    }

    /// Date and minute.
    pub fn moment(self, t: &Texts, time: EventTime) -> String {
        format!("{} {}", self.date(t, time), self.minute(time))
    }

    /// As `<input type="datetime-local">` writes it.
    pub fn input(self, time: EventTime) -> String {
        let at = self.at(time);
        format!("{:04}-{:02}-{:02}T{:02}:{:02}", at.year(), u8::from(at.month()), at.day(), at.hour(), at.minute())
    }

    /// Reads what [`Zone::input`] writes, with or without seconds.
    pub fn parse(self, text: &str) -> Option<EventTime> {
        let seconds = if text.len() == 16 { ":00" } else { "" };
        let offset = self.label();
        crate::contract::instant::parse(&format!("{text}{seconds}{offset}")).ok()
    }

    /// The beginning of the day that this time is in.
    pub fn midnight(self, time: EventTime) -> EventTime {
        let at = self.at(time).replace_time(time::Time::MIDNIGHT);
        EventTime(at.unix_timestamp() * SECOND)
    }

    /// `+03:00`
    pub fn label(self) -> String {
        let (hours, minutes, _) = self.0.as_hms();
        let sign = if self.0.is_negative() { '-' } else { '+' };
        format!("{sign}{:02}:{:02}", hours.unsigned_abs(), minutes.unsigned_abs())
    }
}

/// `3 h 05 min`: two units at most. Seconds.
pub fn span(t: &Texts, secs: i64) -> String {
    let (day, hour, minute, second) = match t.language() {
        Language::En => ("d", "h", "min", "s"),
        Language::Ru => ("д", "ч", "мин", "с"),
    };
    let secs = secs.max(0);
    let two = |big: i64, of: &str, small: i64, than: &str| {
        if small == 0 { format!("{big}\u{a0}{of}") } else { format!("{big}\u{a0}{of} {small}\u{a0}{than}") }
    };
    match secs {
        0..60 => format!("{secs}\u{a0}{second}"),
        60..3_600 => format!("{}\u{a0}{minute}", secs / 60),
        3_600..86_400 => two(secs / 3_600, hour, secs % 3_600 / 60, minute),
        _ => two(secs / 86_400, day, secs % 86_400 / 3_600, hour),
    }
}

/// `1.8 ms`, `340 ms`, `2.1 s`.
pub fn latency(t: &Texts, secs: f64) -> String {
    let (millis, second) = match t.language() {
        Language::En => ("ms", "s"),
        Language::Ru => ("мс", "с"),
    };
    let text = match secs {
        secs if secs < 0.01 => format!("{:.1}\u{a0}{millis}", secs * 1e3),
        secs if secs < 1.0 => format!("{:.0}\u{a0}{millis}", secs * 1e3),
        secs => format!("{secs:.1}\u{a0}{second}"),
    };
    if t.language() == Language::Ru { text.replace('.', ",") } else { text }
}

/// Of `part` in `of`, as whole percents; `None` of nothing.
pub fn percent(part: u64, of: u64) -> Option<String> {
    (of > 0).then(|| format!("{:.0}\u{a0}%", part as f64 * 100.0 / of as f64))
}

/// Foreign text in which nothing is invisible: control, bidi, zero-width and other ignorable characters are shown by their number.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) {
            out.push_str(&format!("[U+{:04X}]", c as u32));
        } else {
            out.push(c);
        }
    }
    out
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn en() -> &'static Texts {
        Texts::of(Language::En)
    }

    #[test]
    fn spans_have_two_units() {
        for (secs, expected) in [
            (-5, "0 s"),
            (59, "59 s"),
            (61, "1 min"),
            (3_600, "1 h"),
            (11_100, "3 h 5 min"),
            (90_000, "1 d 1 h"),
            (8_640_000, "100 d"),
        ] {
            assert_eq!(span(en(), secs).replace('\u{a0}', " "), expected);
        }
    }

    #[test]
    fn times_are_shown_and_read_in_the_zone() {
        let moscow = Zone(UtcOffset::from_hms(3, 0, 0).expect("an offset"));
        let at = crate::contract::instant::parse("2026-11-28T22:15:07Z").expect("a time");
        assert_eq!(moscow.moment(en(), at), "2026-11-29 01:15");
        assert_eq!(moscow.moment(Texts::of(Language::Ru), at), "29.11.2026 01:15");
        assert_eq!(moscow.clock(at), "01:15:07");
        assert_eq!(moscow.label(), "+03:00");
        let input = moscow.input(at);
        assert_eq!(input, "2026-11-29T01:15");
        assert_eq!(moscow.parse(&input), Some(EventTime(at.0 - 7 * SECOND)));
        assert_eq!(moscow.parse("2026-11-29T01:15:07"), Some(at));
        assert_eq!(moscow.input(moscow.midnight(at)), "2026-11-29T00:00");
        for text in ["", "yesterday", "2026-02-30T10:00", "2026-11-29"] {
            assert_eq!(moscow.parse(text), None, "{text}");
        }
        let west = Zone(UtcOffset::from_hms(-3, -30, 0).expect("an offset"));
        assert_eq!(west.label(), "-03:30");
    }

    #[test]
    fn nothing_foreign_stays_invisible() {
        assert_eq!(visible("Иван\u{202e}нави\u{200b}"), "Иван[U+202E]нави[U+200B]");
        assert_eq!(visible("é ё עברית"), "é ё עברית");
        assert_eq!(visible("a\nb"), "a[U+000A]b");
    }

    #[test]
    fn shares_and_times_are_short() {
        assert_eq!(percent(1, 3).as_deref(), Some("33\u{a0}%"));
        assert_eq!(percent(0, 0), None);
        assert_eq!(latency(en(), 0.0018), "1.8\u{a0}ms");
        assert_eq!(latency(Texts::of(Language::Ru), 2.14), "2,1\u{a0}с");
    }
}
