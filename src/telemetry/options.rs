//! Whether traces are exported, where to, and how many.

use url::Url;

/// Part of the traces begun here that is exported, where nothing is said. Those that a caller began are exported where
/// the caller exports them.
pub const SAMPLE_RATIO_DEFAULT: f64 = 0.01;
/// Can this program export traces?
pub const EXPORTED: bool = cfg!(feature = "otlp");
/// Where a collector takes traces. Source: OTLP/HTTP, "Endpoint URLs for OTLP/HTTP".
const TRACES_PATH: &str = "v1/traces";

/// How traces are exported.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceOptions {
    /// The collector, with the path that takes traces; see [`endpoint`].
    pub endpoint: Url,
    /// Part of the traces begun here that is exported, 0 to 1.
    pub sample_ratio: f64,
}

/// Why traces can't be sent there.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EndpointError {
    /// It is not an address at all.
    #[error("not a URL such as http://127.0.0.1:4318: {0}")]
    NoUrl(#[from] url::ParseError),
    /// It has something that the address of a collector has not.
    #[error("{0}")]
    Unusable(&'static str),
}

/// The address for traces of the collector at `base`, such as `http://127.0.0.1:4318`.
pub fn endpoint(base: &str) -> Result<Url, EndpointError> {
    let mut url = Url::parse(base)?;
    if url.scheme() != "http" {
        let why = "only http:// can be exported to: have a collector on this machine, and let it speak TLS";
        return Err(EndpointError::Unusable(why));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EndpointError::Unusable("it may hold no credentials: set OTEL_EXPORTER_OTLP_HEADERS"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(EndpointError::Unusable("an endpoint has neither a query nor a fragment"));
    }
    let path = format!("{}/{TRACES_PATH}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_for_traces_is_added_to_a_base() {
        for (base, whole) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://otel:4318/", "http://otel:4318/v1/traces"),
            ("http://[::1]:4318/a/b", "http://[::1]:4318/a/b/v1/traces"),
        ] {
            assert_eq!(endpoint(base).unwrap().as_str(), whole);
        }
    }

    #[test]
    fn an_address_that_can_not_be_exported_to_is_refused_and_not_repeated() {
        for odd in
            ["", "otel:4318", "https://otel", "http://", "http://u:secret@otel", "http://otel/?a=secret"]
        {
            let error = endpoint(odd).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
