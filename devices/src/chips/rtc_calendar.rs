//! Seconds since 1970 to and from the date and time a real-time clock shows (proleptic Gregorian calendar, UTC).

/// 0000-01-01 00:00:00.
const FIRST: i64 = -62_167_219_200;
/// 9999-12-31 23:59:59.
const LAST: i64 = 253_402_300_799;
const SECONDS_PER_DAY: i64 = 86_400;

/// A date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// 0 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl DateTime {
    /// The date and time at `seconds` since 1970, within the years 0 to 9999.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(FIRST, LAST);
        let (days, rest) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
        // Years that begin in March, so that the leap day comes last; 400 years have 146,097 days.
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Self {
            year: (era * 400 + year_of_era + i64::from(month <= 2)) as u16,
            month: month as u8,
            day: (day_of_year - (153 * march_month + 2) / 5 + 1) as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
        }
    }

    /// Seconds since 1970. Fields out of range are carried on, so that anything a guest writes is some time.
    #[must_use]
    pub fn to_unix(self) -> i64 {
        let month = i64::from(self.month.clamp(1, 12));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(self.day) - 1;
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let days =
            era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
        let time = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        (days * SECONDS_PER_DAY + time).clamp(FIRST, LAST)
    }

    /// Day of the week as the clock chip counts it: Sunday is 1.
    #[must_use]
    pub fn weekday(self) -> u8 {
        let days = self.to_unix().div_euclid(SECONDS_PER_DAY);
        ((days + 4).rem_euclid(7) + 1) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        let date = DateTime { year: 2000, month: 2, day: 29, hour: 23, minute: 59, second: 58 };
        assert_eq!(date.to_unix(), 951_868_798);
        assert_eq!(DateTime::from_unix(951_868_798), date);
        assert_eq!(date.weekday(), 3, "a Tuesday");
        assert_eq!(DateTime::from_unix(0).weekday(), 5, "a Thursday");
    }

    #[test]
    fn every_day_for_centuries_comes_back() {
        for day in -200_000..200_000 {
            let seconds = day * SECONDS_PER_DAY + 12_345;
            assert_eq!(DateTime::from_unix(seconds).to_unix(), seconds);
        }
    }

    #[test]
    fn the_ends_of_time_are_dates() {
        assert_eq!(DateTime::from_unix(i64::MIN).year, 0);
        assert_eq!(DateTime::from_unix(i64::MAX).year, 9999);
    }
}
