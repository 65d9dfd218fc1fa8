//! Which format `Accept` asks for.

use axum::http::{HeaderMap, header};

use crate::encode::Format;

use super::error::ApiError;

/// How much a client wants a format: its quality in thousandths, then how exactly it named it.
type Wish = (u32, u8);
/// As exact as can be: by its name.
const NAMED: u8 = 3;

/// What Prometheus calls its protobuf format, and what has to be said with it.
const METRICS_PROTOBUF: &str = "application/vnd.google.protobuf";
const METRICS_PROTOBUF_PARAMETERS: [&str; 2] =
    ["proto=io.prometheus.client.metricfamily", "encoding=delimited"];

/// The format that the client likes best, JSON where it does not mind.
pub(super) fn format(headers: &HeaderMap) -> Result<Format, ApiError> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(Format::Json);
    }
    let mut best: Option<(Wish, Format)> = None;
    for format in Format::ALL {
        let wish = wish(&ranges, format.content_type());
        // Strictly more: of equals, the first in our order.
        if wish.0 > 0 && best.is_none_or(|(most, _)| wish > most) {
            best = Some((wish, format));
        }
    }
    best.map(|(_, format)| format)
        .ok_or_else(|| ApiError::NotAcceptable(Format::ALL.map(Format::content_type).join(", ")))
}

/// Does the client name Prometheus' protobuf format, and like it better than its text format?
pub(super) fn prefers_protobuf(headers: &HeaderMap) -> bool {
    let ranges = ranges(headers);
    let named = ranges.iter().filter(|range| {
        let given = range.split(';').skip(1).map(|given| given.replace([' ', '\t', '"'], "").to_lowercase());
        let given: Vec<String> = given.collect();
        METRICS_PROTOBUF_PARAMETERS.iter().all(|wanted| given.iter().any(|given| given == wanted))
    });
    let named: Vec<&str> = named.copied().collect();
    let protobuf = wish(&named, METRICS_PROTOBUF);
    protobuf.1 == NAMED && protobuf.0 > wish(&ranges, "text/plain").0
}

fn ranges(headers: &HeaderMap) -> Vec<&str> {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .collect()
}

/// The most exact of `ranges` that covers the media type decides (RFC 9110, 12.5.1).
fn wish(ranges: &[&str], media_type: &str) -> Wish {
    let family = media_type.split('/').next().unwrap_or_default();
    let mut found: Wish = (0, 0);
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let exactness = if name.eq_ignore_ascii_case(media_type) {
            NAMED
        } else if name.strip_suffix("/*").is_some_and(|name| name.eq_ignore_ascii_case(family)) {
            2
        } else if name == "*/*" {
            1
        } else {
            continue;
        };
        if exactness > found.1 {
            found = (parts.find_map(quality).unwrap_or(1_000), exactness);
        }
    }
    found
}

/// `q=0.5` as 500; a quality that can't be read counts as none given.
fn quality(parameter: &str) -> Option<u32> {
    let (name, value) = parameter.split_once('=')?;
    let value: f32 = name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().ok())??;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    let thousandths = (value.clamp(0.0, 1.0) * 1_000.0).round() as u32;
    Some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &[&str]) -> Option<Format> {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, value.parse().unwrap());
        }
        format(&headers).ok()
    }

    #[test]
    fn the_client_gets_the_format_it_likes_best() {
        for json in
            [&[][..], &[""], &["*/*"], &["application/json"], &["application/*"], &["APPLICATION/JSON"]]
        {
            assert_eq!(of(json), Some(Format::Json), "{json:?}");
        }
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(of(&[browser]), Some(Format::Json));
        assert_eq!(of(&["application/x-ndjson"]), Some(Format::Ndjson));
        assert_eq!(of(&["text/csv; header=present"]), Some(Format::Csv));
        assert_eq!(of(&["text/*"]), Some(Format::Csv));
        #[cfg(feature = "arrow")]
        assert_eq!(of(&["application/vnd.apache.arrow.stream, */*;q=0.1"]), Some(Format::Arrow));
        assert_eq!(of(&["application/json;q=0.5, text/csv"]), Some(Format::Csv));
        assert_eq!(of(&["text/plain", "text/csv;q=0.1"]), Some(Format::Csv));
        assert_eq!(of(&["*/*, application/x-ndjson"]), Some(Format::Ndjson), "the exact name wins");
        assert_eq!(of(&["application/json;q=0, */*;q=0.1"]), Some(Format::Ndjson));
    }

    #[test]
    fn metrics_are_protobuf_for_who_names_it_and_prefers_it() {
        let of = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            prefers_protobuf(&headers)
        };
        let protobuf =
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let text =
            "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let later = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.4,\
                     */*;q=0.2";
        for yes in [format!("{protobuf},{text}"), format!("{protobuf};q=0.6,{later}"), protobuf.to_owned()] {
            assert!(of(&yes), "{yes}");
        }
        let other = protobuf.replace("delimited", "text");
        for no in [
            format!("{protobuf};q=0.3,{text}"),
            format!("{protobuf};q=0.5,{text}"),
            format!("{protobuf};q=0"),
            format!("{other},{text}"),
            format!("{METRICS_PROTOBUF},{text}"),
            format!("{protobuf},text/plain"),
            "*/*".to_owned(),
            "application/*".to_owned(),
            text.to_owned(),
        ] {
            assert!(!of(&no), "{no}");
        }
    }

    #[test]
    fn where_nothing_fits_there_is_none() {
        for none in [&["text/html"][..], &["application/json;q=0"], &["image/*, text/plain"], &["*/*;q=0"]] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
