//! Lists of ids: one a line, read in windows, so that a list of any length takes the memory of one window.

use std::fmt;
use std::io::BufRead;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::SourceError;
use super::open::Input;
use super::split::{Cut, Piece, PieceReader, without_bom};
use crate::model::limits::ID_LINE_BYTES_MAX;
use crate::model::{EntityId, EntityIdError};

/// How ids are written in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdsFormat {
    /// One id a line, as it is; spaces count.
    #[default]
    Lines,
    /// One JSON string a line, for ids that hold line breaks.
    Json,
}

impl IdsFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Lines, Self::Json];

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for IdsFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for IdsFormat {
    type Err = IdsError;

    fn from_str(text: &str) -> Result<Self, IdsError> {
        let known = Self::ALL.into_iter().find(|format| format.as_str() == text);
        known.ok_or_else(|| IdsError::UnknownFormat(text.to_owned()))
    }
}

/// Why a list of ids ends early.
#[derive(Debug, thiserror::Error)]
pub enum IdsError {
    /// A text that is no [`IdsFormat`].
    #[error("unknown format of ids {0:?}; known are lines and json")]
    UnknownFormat(String),
    /// The list can't be opened, or not read on.
    #[error(transparent)]
    Input(#[from] SourceError),
    /// A line is not an id.
    #[error("{source_name}:{line}: {problem}")]
    Line {
        /// The file, or `-`.
        source_name: Arc<str>,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads a list of ids in windows. Lines end in LF or CR LF, the last may lack it; a byte order mark is skipped.
pub struct IdsReader {
    name: Arc<str>,
    format: IdsFormat,
    lines: PieceReader<Box<dyn BufRead + Send>>,
    /// An error behind ids that were given out first.
    held: Option<IdsError>,
    done: bool,
}

impl IdsReader {
    /// Opens the file at `path`, or standard input where it is `-`.
    pub fn open(path: &Path, format: IdsFormat) -> Result<Self, IdsError> {
        let source_name: Arc<str> = path.to_string_lossy().into();
        match Input::open(path) {
            Ok(input) => Ok(Self::new(source_name, input.reader, format)),
            Err(error) => Err(SourceError::Open { source_name, error }.into()),
        }
    }

    /// The ids that `reader` gives; `name` stands in errors.
    pub fn new(name: impl Into<Arc<str>>, reader: Box<dyn BufRead + Send>, format: IdsFormat) -> Self {
        let lines = PieceReader::new(reader, Cut::Lines, ID_LINE_BYTES_MAX);
        Self { name: name.into(), format, lines, held: None, done: false }
    }

    /// Up to `ids_max` next ids, `None` at the end. The ids before a bad line are given out first, then the
    /// error; after an error there is nothing more.
    pub fn next_window(&mut self, ids_max: usize) -> Result<Option<Vec<EntityId>>, IdsError> {
        if let Some(error) = self.held.take() {
            return Err(error);
        }
        let mut window = Vec::new();
        while !self.done && window.len() < ids_max {
            match self.next_id() {
                Ok(Some(id)) => window.push(id),
                Ok(None) => self.done = true,
                Err(error) => {
                    self.done = true;
                    if window.is_empty() {
                        return Err(error);
                    }
                    self.held = Some(error);
                }
            }
        }
        Ok(if window.is_empty() && self.done { None } else { Some(window) })
    }

    /// Bytes of input used so far.
    pub fn bytes_read(&self) -> u64 {
        self.lines.bytes_read()
    }

    fn next_id(&mut self) -> Result<Option<EntityId>, IdsError> {
        let present = self.lines.advance();
        let line = self.lines.line();
        match present {
            Ok(false) => return Ok(None),
            Ok(true) => {}
            Err(error) => {
                return Err(SourceError::Read { source_name: Arc::clone(&self.name), line, error }.into());
            }
        }
        match id_of(self.format, line, &self.lines.piece()) {
            Ok(id) => Ok(Some(id)),
            Err(problem) => Err(IdsError::Line { source_name: Arc::clone(&self.name), line, problem }),
        }
    }
}

fn id_of(format: IdsFormat, line: u64, piece: &Piece<'_>) -> Result<EntityId, String> {
    let raw = match *piece {
        Piece::TooLong { bytes } => return Err(too_long(format, bytes)),
        Piece::Whole(raw) | Piece::BadQuotes { raw, .. } => without_bom(line, raw),
    };
    let text = std::str::from_utf8(raw).map_err(|_| "the id is not UTF-8")?;
    if text.is_empty() {
        return Err("the line is blank; an id is needed".into());
    }
    let id = match format {
        IdsFormat::Lines => EntityId::new(text),
        IdsFormat::Json => {
            let id: String = serde_json::from_str(text).map_err(|_| "the line is not one JSON string")?;
            EntityId::new(id)
        }
    };
    id.map_err(|error| error.to_string())
}

fn too_long(format: IdsFormat, bytes: u64) -> String {
    match format {
        IdsFormat::Lines => {
            EntityIdError::TooLong { bytes: usize::try_from(bytes).unwrap_or(usize::MAX) }.to_string()
        }
        IdsFormat::Json => format!("the line has {bytes} bytes, the limit is {ID_LINE_BYTES_MAX}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(input: &[u8], format: IdsFormat) -> IdsReader {
        IdsReader::new("ids.txt", Box::new(std::io::Cursor::new(input.to_vec())), format)
    }

    fn windows(mut reader: IdsReader, ids_max: usize) -> String {
        let mut seen = Vec::new();
        loop {
            match reader.next_window(ids_max) {
                Ok(Some(window)) => seen.push(format!("{window:?}")),
                Ok(None) => return seen.join(" "),
                Err(error) => {
                    seen.push(format!("error: {error}"));
                    assert!(reader.next_window(ids_max).is_ok_and(|window| window.is_none()));
                    return seen.join(" ");
                }
            }
        }
    }

    #[test]
    fn ids_come_in_windows_in_the_order_of_the_file() {
        let input = b"\xEF\xBB\xBFu1\r\n a b \nu\xC3\xA9\n\"q\"\nu5";
        insta::assert_snapshot!(windows(reader(input, IdsFormat::Lines), 2), @r#"["u1", " a b "] ["ué", "\"q\""] ["u5"]"#);
        insta::assert_snapshot!(windows(reader(b"", IdsFormat::Lines), 2), @"");
        insta::assert_snapshot!(windows(reader(b"a\nb\n", IdsFormat::Lines), 2), @r#"["a", "b"]"#);
        insta::assert_snapshot!(windows(reader(br#""a\nb""#, IdsFormat::Json), 2), @r#"["a\nb"]"#);
    }

    #[test]
    fn a_bad_line_is_named_after_the_ids_before_it_were_given() {
        for (input, format) in [
            (&b"u1\n\nu3\n"[..], IdsFormat::Lines),
            (b"u1\n\xff\n", IdsFormat::Lines),
            (b"\"u1\"\nu2\n", IdsFormat::Json),
            (b"\"u1\"\n\"\"\n", IdsFormat::Json),
            (b"1\n", IdsFormat::Json),
        ] {
            let told = windows(reader(input, format), 10);
            assert!(
                told.starts_with("[\"u1\"] error: ids.txt:2: ") || told.starts_with("error: ids.txt:1: "),
                "{told}"
            );
        }
        for bytes in [1025, 20_000] {
            let mut input = vec![b'x'; bytes];
            input.push(b'\n');
            let told = windows(reader(&input, IdsFormat::Lines), 10);
            assert_eq!(told, format!("error: ids.txt:1: an entity id has {bytes} bytes, the limit is 1024"));
        }
    }

    #[test]
    fn the_longest_id_fits_a_line_of_json_however_it_is_escaped() {
        let id: String = "\u{1}".repeat(1024);
        let line = serde_json::to_string(&id).unwrap();
        let window = reader(line.as_bytes(), IdsFormat::Json).next_window(1).unwrap().unwrap();
        assert_eq!(window[0].as_str(), id);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = IdsReader::open(Path::new("/nowhere/ids.txt"), IdsFormat::Lines).err().unwrap();
        insta::assert_snapshot!(error, @"cannot open /nowhere/ids.txt: No such file or directory (os error 2)");
        assert!("xml".parse::<IdsFormat>().is_err());
        assert!(
            IdsFormat::ALL.iter().all(|format| format.to_string().parse::<IdsFormat>().unwrap() == *format)
        );
    }

    proptest::proptest! {
        #[test]
        fn every_id_comes_once_and_in_order(ids in proptest::collection::vec("[^\n\r\u{feff}]{1,5}", 0..20), ids_max in 1_usize..7) {
            for format in IdsFormat::ALL {
                let line = |id: &String| match format {
                    IdsFormat::Lines => format!("{id}\n"),
                    IdsFormat::Json => format!("{}\n", serde_json::Value::from(id.as_str())),
                };
                let input: String = ids.iter().map(line).collect();
                let mut reader = reader(input.as_bytes(), format);
                let mut seen = Vec::new();
                while let Some(window) = reader.next_window(ids_max).unwrap() {
                    proptest::prop_assert!(!window.is_empty() && window.len() <= ids_max);
                    seen.extend(window.iter().map(ToString::to_string));
                }
                proptest::prop_assert_eq!(&seen, &ids);
            }
        }
    }
}
