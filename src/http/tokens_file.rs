//! The tokens file: TOML, `[[token]]` with a name, the token or its SHA-256, and scopes. Errors name the line and never
//! what stands there.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use toml::Spanned;

use super::tokens::{
    Entry, Scope, TOKEN_BYTES_MAX, TOKEN_BYTES_MIN, TOKENS_FILE_BYTES_MAX, TOKENS_MAX, TokenHash,
};

/// Longest name of a token, in bytes.
const NAME_BYTES_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    token: Vec<Spanned<RawToken>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    name: Spanned<String>,
    token: Option<Spanned<Secret>>,
    sha256: Option<Spanned<Secret>>,
    scopes: Spanned<Vec<Scope>>,
}

/// A text that no error repeats.
struct Secret(String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer) {
            Ok(toml::Value::String(text)) => Ok(Self(text)),
            Ok(_) | Err(_) => Err(D::Error::custom("it is no string")),
        }
    }
}

/// Line and trouble.
type Problem = (usize, String);

/// Every token of the file.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Entry>, Problem> {
    if bytes.len() as u64 > TOKENS_FILE_BYTES_MAX {
        return Err((1, format!("the file is larger than the limit of {TOKENS_FILE_BYTES_MAX} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        (before.iter().filter(|byte| **byte == b'\n').count() + 1, "it is no UTF-8".to_owned())
    })?;
    let line = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    let raw: RawFile = toml::from_str(text).map_err(|error| {
        (line(error.span().map_or(0, |span| span.start)), without_what_stands_there(error.message()))
    })?;
    if raw.token.is_empty() {
        return Err((1, "it has no [[token]], so that nobody could ask for anything".to_owned()));
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(raw.token.len());
    for token in raw.token {
        let start = token.span().start;
        let token = token.into_inner();
        let name_at = token.name.span().start;
        let entry = entry(token, start).map_err(|(at, problem)| (line(at), problem))?;
        if entries.len() == TOKENS_MAX {
            return Err((line(start), format!("more than the limit of {TOKENS_MAX} tokens")));
        }
        if entries.iter().any(|other| other.name == entry.name || other.hash == entry.hash) {
            return Err((line(name_at), format!("the name or the token of {:?} is given twice", entry.name)));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// One token; a problem comes with its place in the text.
fn entry(raw: RawToken, start: usize) -> Result<Entry, (usize, String)> {
    let name = raw.name.get_ref();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = format!("name: it is not 1 to {NAME_BYTES_MAX} letters, digits and signs of ASCII");
        return Err((raw.name.span().start, problem));
    }
    if raw.scopes.get_ref().is_empty() {
        return Err((raw.scopes.span().start, "scopes: there is none; say read, write or admin".to_owned()));
    }
    let (hash, plain) = match (&raw.token, &raw.sha256) {
        (Some(token), None) => (of_token(token)?, true),
        (None, Some(hash)) => (of_hash(hash)?, false),
        _ => return Err((start, format!("{name}: give exactly one of token and sha256"))),
    };
    Ok(Entry { name: name.as_str().into(), hash, scopes: raw.scopes.into_inner(), plain })
}

fn of_token(token: &Spanned<Secret>) -> Result<TokenHash, (usize, String)> {
    let text = &token.get_ref().0;
    let fits = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&text.len());
    if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = format!(
            "token: it is not {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} letters, digits and signs of ASCII"
        );
        return Err((token.span().start, problem));
    }
    Ok(Sha256::digest(text.as_bytes()).into())
}

fn of_hash(hash: &Spanned<Secret>) -> Result<TokenHash, (usize, String)> {
    let wrong = || (hash.span().start, "sha256: it is not 64 hexadecimal digits".to_owned());
    let text = hash.get_ref().0.as_bytes();
    let mut bytes = TokenHash::default();
    if text.len() != 2 * bytes.len() {
        return Err(wrong());
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
        let digits =
            std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        *byte = digits.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(wrong)?;
    }
    Ok(bytes)
}

/// The reader's message without the values that it quotes, which may be tokens. Names of fields and what it expected stay.
fn without_what_stands_there(message: &str) -> String {
    if ["unknown field", "missing field", "duplicate"].iter().any(|start| message.starts_with(start)) {
        return message.replace('\n', ", ");
    }
    let (found, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let mut told = String::with_capacity(message.len());
    let mut quoted = false;
    for part in found.split(['"', '`']) {
        if !quoted {
            told.push_str(part);
        }
        quoted = !quoted;
    }
    let expected = if expected.is_empty() { String::new() } else { format!(", expected {expected}") };
    (told.split_whitespace().collect::<Vec<_>>().join(" ") + &expected).replace('\n', ", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line and trouble of a file that is good for nothing.
    fn problem(text: &str) -> (usize, String) {
        parse(text.as_bytes()).err().unwrap_or_else(|| panic!("{text} passes"))
    }

    fn token(lines: &str) -> String {
        format!("# comment\n[[token]]\nname = \"scoring\"\n{lines}\n")
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_the_secret() {
        let good = "token = \"s3cret-s3cret-s3cret\"";
        for (text, line, says) in [
            (String::new(), 1, "no [[token]]"),
            (token(good), 2, "missing field `scopes`"),
            (token(&format!("{good}\nscopes = []")), 5, "scopes: there is none"),
            (token(&format!("{good}\nscopes = [\"root\"]")), 5, "unknown variant, expected one of `read`"),
            (token(&format!("{good}\nscope = [\"read\"]")), 5, "unknown field `scope`"),
            (token("scopes = [\"read\"]"), 2, "exactly one of token and sha256"),
            (token("token = \"s3cret\"\nscopes = [\"read\"]"), 4, "token: it is not 16 to 512"),
            (token("token = \"s3cret with a space in it\"\nscopes = [\"read\"]"), 4, "token: it is not"),
            (token("token = 73313373133733337\nscopes = [\"read\"]"), 4, "it is no string"),
            (token("sha256 = \"s3cret\"\nscopes = [\"read\"]"), 4, "sha256: it is not 64"),
            (
                token(&format!("sha256 = \"{}\"\nscopes = [\"read\"]", "+f".repeat(32))),
                4,
                "sha256: it is not",
            ),
            (token("token = \"s3cret"), 4, ""),
            (
                format!("{0}{0}", token(&format!("{good}\nscopes = [\"read\"]"))),
                8,
                "\"scoring\" is given twice",
            ),
            (token(good).replace("scoring", "a b") + "scopes = [\"read\"]", 3, "name: it is not"),
        ] {
            let (found, message) = problem(&text);
            assert!(found == line && message.contains(says), "{text}\n{found}: {message}");
            assert!(!message.contains("s3cret") && !message.contains("7331337"), "{message}");
        }
        assert_eq!(parse(b"[[token]]\nname = \"\xff\"").err().unwrap(), (2, "it is no UTF-8".to_owned()));
    }

    #[test]
    fn no_error_repeats_what_may_be_a_token() {
        for text in [
            "token = \"SECRETTOKEN0123456789\"",
            "[[token]]\nname = \"a\"\ntoken = \"0123456789abcdef\"\nscopes = \"SECRETTOKEN0123456789\"",
            "[[token]]\nname = \"a\"\ntoken = \"0123456789abcdef\"\nscopes = [\"SECRETTOKEN0123456789\"]",
            "[[token]]\nname = \"a\"\ntoken = SECRETTOKEN0123456789",
        ] {
            let (line, told) = problem(text);
            assert!(line > 0 && !told.is_empty() && !told.contains("SECRET"), "{told}");
        }
    }
}
