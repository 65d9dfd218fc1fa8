//! Query parameters. Stricter than a form: an unknown name, a name given twice and bytes that are no UTF-8 are
//! errors, because each of them would otherwise read something else than what was asked for.

use axum::http::Uri;

use super::error::ApiError;

/// The parameters of one request.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// The parameters of `uri`; none but `known` may be there.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for part in uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decoded(name).ok_or_else(|| wrong("a query parameter's name is no UTF-8"))?;
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(wrong(&format!("unknown query parameter {name:?}; this route takes {known}")));
            }
            let value = decoded(value).ok_or_else(|| wrong(&format!("{name}: the value is no UTF-8")))?;
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// Every value of a parameter, in order.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may be given once.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(wrong(&format!("{name}: given twice")));
        }
        Ok(first)
    }

    /// The same, as a whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let number = |text: &str| {
            text.parse().map_err(|_| wrong(&format!("{name}: {text:?} is not a whole number from 0 on")))
        };
        self.one(name)?.map(number).transpose()
    }

    /// The same, up to 255.
    pub(super) fn small_number(&self, name: &str) -> Result<Option<u8>, ApiError> {
        let small = |given| u8::try_from(given).map_err(|_| wrong(&format!("{name}: {given} is above 255")));
        self.number(name)?.map(small).transpose()
    }

    /// A parameter that is `true` or `false`; false where it is not given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.one(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(text) => Err(wrong(&format!("{name}: {text:?} is neither true nor false"))),
        }
    }
}

fn wrong(message: &str) -> ApiError {
    ApiError::Query(message.to_owned())
}

/// `+` and `%XX` decoded; a `%` without two hex digits stands for itself, as in a path. `None` where it is no
/// UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = tail;
                }
                _ => bytes.push(b'%'),
            },
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Query, ApiError> {
        Query::of(&format!("/x?{text}").parse().unwrap(), &["features", "n"])
    }

    #[test]
    fn parameters_are_decoded_and_may_repeat_where_that_means_something() {
        let query = query("features=a,b&&features=%F0%9F%A6%80+%2B&features=100%&n=7").unwrap();
        assert_eq!(query.all("features").collect::<Vec<_>>(), ["a,b", "🦀 +", "100%"]);
        assert_eq!(query.number("n"), Ok(Some(7)));
        assert!(query.one("features").is_err());
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_names_the_parameter() {
        let message = |result: Result<Option<u64>, ApiError>| result.unwrap_err().to_string();
        assert_eq!(
            query("feature=a").unwrap_err().to_string(),
            "unknown query parameter \"feature\"; this route takes features, n"
        );
        assert_eq!(query("features=%FF").unwrap_err().to_string(), "features: the value is no UTF-8");
        assert_eq!(message(query("n=-1").unwrap().number("n")), "n: \"-1\" is not a whole number from 0 on");
        assert_eq!(message(query("n=1&n=2").unwrap().number("n")), "n: given twice");
        assert_eq!(query("").unwrap().number("n"), Ok(None));
        let flag = |text: &str| query(text).unwrap().flag("n").map_err(|error| error.to_string());
        assert_eq!((flag("n=true"), flag("n=false"), flag("")), (Ok(true), Ok(false), Ok(false)));
        assert_eq!(flag("n=1"), Err("n: \"1\" is neither true nor false".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn any_text_reads_back(text: String) {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            proptest::prop_assert_eq!(decoded(&encoded), Some(text));
        }
    }
}
