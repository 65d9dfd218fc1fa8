//! Opens a file or standard input as a source of rows, in the format asked for or the one its name says.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::{CsvSource, NdjsonSource, RowSource, SourceError};

/// Bytes read from a file at once.
const READ_BUFFER_BYTES: usize = 256 << 10;

/// How rows are written in a file. To add one: a file beside this one, a line here and in [`RowFormat::source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// A header row with a column `id`, then one row per entity.
    Csv,
    /// One JSON object `{"id":…,"features":{…}}` a line.
    Ndjson,
}

/// A text or a file name that is no [`RowFormat`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowFormatError {
    /// A name that is not known.
    #[error("unknown row format {0:?}; known are csv and ndjson (or jsonl)")]
    Unknown(String),
    /// A file whose name does not end in a format's extension.
    #[error("the name does not tell the format (.csv, .ndjson, .jsonl); name the format")]
    NoExtension,
}

impl RowFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Csv, Self::Ndjson];

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// The format that a file's extension says, in any case: `.csv`, `.ndjson` or `.jsonl`.
    pub fn of_path(path: &Path) -> Result<Self, RowFormatError> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.and_then(|text| text.parse().ok()).ok_or(RowFormatError::NoExtension)
    }

    /// Rows of this format out of any reader; `name` stands in errors and rejections. Reads the header of a CSV.
    pub fn source<R: BufRead + Send + 'static>(
        self,
        name: impl Into<Arc<str>>,
        reader: R,
    ) -> Result<Box<dyn RowSource>, SourceError> {
        Ok(match self {
            Self::Csv => Box::new(CsvSource::new(name, reader)?),
            Self::Ndjson => Box::new(NdjsonSource::new(name, reader)),
        })
    }
}

impl fmt::Display for RowFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RowFormat {
    type Err = RowFormatError;

    fn from_str(text: &str) -> Result<Self, RowFormatError> {
        match text.to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "ndjson" | "jsonl" => Ok(Self::Ndjson),
            _ => Err(RowFormatError::Unknown(text.to_owned())),
        }
    }
}

/// A source with the size of its input.
pub struct OpenedSource {
    /// The rows.
    pub rows: Box<dyn RowSource>,
    /// Size of the input in bytes, where it is a file; compare with [`RowSource::bytes_read`].
    pub bytes_total: Option<u64>,
}

impl OpenedSource {
    /// Opens the file at `path`, or standard input where it is `-`. Without `format`, the file's name says it.
    pub fn open(path: &Path, format: Option<RowFormat>) -> Result<Self, SourceError> {
        let source_name: Arc<str> = path.to_string_lossy().into();
        let format = match format {
            Some(format) => format,
            None => RowFormat::of_path(path)
                .map_err(|error| SourceError::Format { source_name: Arc::clone(&source_name), error })?,
        };
        let input = Input::open(path)
            .map_err(|error| SourceError::Open { source_name: Arc::clone(&source_name), error })?;
        Ok(Self { rows: format.source(source_name, input.reader)?, bytes_total: input.bytes_total })
    }
}

/// A file or standard input, buffered.
pub(super) struct Input {
    pub(super) reader: Box<dyn BufRead + Send>,
    pub(super) bytes_total: Option<u64>,
}

impl Input {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            let reader = BufReader::with_capacity(READ_BUFFER_BYTES, io::stdin());
            return Ok(Self { reader: Box::new(reader), bytes_total: None });
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // A pipe says 0.
        let bytes_total = metadata.is_file().then_some(metadata.len());
        Ok(Self { reader: Box::new(BufReader::with_capacity(READ_BUFFER_BYTES, file)), bytes_total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_asked_for_or_the_one_the_name_says() {
        for format in RowFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(RowFormat::of_path(Path::new(&format!("dir.x/users.{format}"))), Ok(format));
        }
        assert_eq!(RowFormat::of_path(Path::new("a.JSONL")), Ok(RowFormat::Ndjson));
        assert_eq!("xml".parse::<RowFormat>(), Err(RowFormatError::Unknown("xml".into())));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.csv");
        std::fs::write(&path, "id,a\nu1,2\n").unwrap();
        let opened = OpenedSource::open(&path, None).unwrap();
        assert_eq!(opened.bytes_total, Some(10));
        assert_eq!(opened.rows.name().as_ref(), path.to_str().unwrap());
        assert_eq!(opened.rows.count(), 1);
        let as_ndjson = OpenedSource::open(&path, Some(RowFormat::Ndjson)).unwrap();
        assert_eq!(as_ndjson.rows.count(), 2, "two lines, both rejected");
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = |path: &Path, format| match OpenedSource::open(path, format) {
            Ok(_) => panic!("{path:?} opened"),
            Err(error) => error.to_string().replace(dir.path().to_str().unwrap(), "DIR"),
        };
        insta::assert_snapshot!(error(&dir.path().join("absent.csv"), None), @"cannot open DIR/absent.csv: No such file or directory (os error 2)");
        insta::assert_snapshot!(error(dir.path(), Some(RowFormat::Csv)), @"cannot open DIR: is a directory");
        insta::assert_snapshot!(error(Path::new("users.txt"), None), @"users.txt: the name does not tell the format (.csv, .ndjson, .jsonl); name the format");
        insta::assert_snapshot!(error(Path::new("-"), None), @"-: the name does not tell the format (.csv, .ndjson, .jsonl); name the format");
    }
}
