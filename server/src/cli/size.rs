//! Sizes in bytes as people write them.

/// Reads `512M`, `2G`, `1.5GiB` or plain bytes; letters are powers of 1024.
///
/// # Errors
///
/// What is wanted, in words.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wanted =
        || format!("{text:?} is no size: give bytes, or a number with K, M, G or T, as 512M or 2G");
    let text_of_number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[text_of_number.len()..].to_ascii_uppercase();
    let unit = unit
        .strip_suffix("IB")
        .or(unit.strip_suffix('B'))
        .unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return Err(wanted()),
    };
    let number: f64 = text_of_number.trim().parse().map_err(|_| wanted())?;
    let bytes = number * 1024f64.powi(power);
    if !(0.0..1e18).contains(&bytes) {
        return Err(wanted());
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("134217728", 128 << 20),
            ("512M", 512 << 20),
            ("512 MiB", 512 << 20),
            ("2g", 2 << 30),
            ("1.5GB", 3 << 29),
            ("16K", 16 << 10),
            ("1T", 1 << 40),
            ("7B", 7),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in [
            "", "M", "-1G", "1X", "1MM", "half", "NaN", "inf", "1e30", "1é",
        ] {
            let error = parse_bytes(text).unwrap_err();
            assert!(error.contains("512M"), "{text}: {error}");
        }
    }
}
