//! Durations as people write them: `500ms`, `30s`, `5m`, `2h`, `90d`.

use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

/// A duration of a flag, a variable, or a line of `dms.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting(Duration);

/// The unit is not optional: a bare number has been read as seconds by one and as minutes by another too often.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time: write a whole number and its unit, as in 500ms, 30s, 5m, 2h or 90d")]
pub struct NotATime;

impl From<Setting> for Duration {
    fn from(setting: Setting) -> Self {
        setting.0
    }
}

impl FromStr for Setting {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or(NotATime)?;
        let (number, unit) = text.split_at(unit);
        let number: u64 = number.parse().map_err(|_| NotATime)?;
        let seconds = |each| number.checked_mul(each).map(Duration::from_secs).ok_or(NotATime);
        match unit {
            "ms" => Ok(Duration::from_millis(number)),
            "s" => seconds(1),
            "m" => seconds(60),
            "h" => seconds(3600),
            "d" => seconds(24 * 3600),
            _ => Err(NotATime),
        }
        .map(Self)
    }
}

impl From<Duration> for Setting {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&show(self.0))
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// In the largest unit that says it exactly.
pub(super) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_millis() > 0 {
        format!("{}ms", duration.as_millis())
    } else if seconds > 0 && seconds.is_multiple_of(24 * 3600) {
        format!("{}d", seconds / (24 * 3600))
    } else if seconds > 0 && seconds.is_multiple_of(3600) {
        format!("{}h", seconds / 3600)
    } else if seconds > 0 && seconds.is_multiple_of(60) {
        format!("{}m", seconds / 60)
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        for (text, milliseconds) in
            [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000)]
        {
            let setting: Setting = text.parse().expect("a time");
            assert_eq!(Duration::from(setting), Duration::from_millis(milliseconds));
        }
        for text in ["", "30", "s", "1.5h", "-1s", "3 s", "1w", "99999999999999999h"] {
            assert_eq!(text.parse::<Setting>(), Err(NotATime), "{text}");
        }
    }

    #[test]
    fn a_shown_time_reads_back() {
        for text in ["500ms", "1500ms", "30s", "5m", "2h", "90d", "0s"] {
            let setting: Setting = text.parse().expect("a time");
            assert_eq!(show(setting.into()), text);
        }
    }
}
