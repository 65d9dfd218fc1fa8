//! Config files: read, or refused with the file, and with the line and column or the field, in words of the file.

use std::path::Path;

use proptest::prelude::*;
use slotwise::config::{Config, ConfigError, Overrides};

use crate::cases::try_many;
use crate::mutate::{Bytes, Material, inputs};

const FILES: Material = Material {
    valid: &[
        b"[redis]\nurls = [\"redis://127.0.0.1:7101\", \"h:7102\"]\nusername = \"ada\"\npassword_file = \"secret\"\nresponse_timeout_ms = 250\n",
        b"[read]\nbatch_ids_max = 500\nrequest_timeout_ms = 40\n[shard]\ntransport = \"lanes\"\nlanes_per_node = 2\n",
        b"[http]\nlisten = \"127.0.0.1:9000\" # here\nbody_bytes_max = 1_000\nrequests_in_flight_max = 7\nshutdown_grace_ms = 0x10\n",
        b"[[entity]]\nname = \"user\"\nprefix = 'fs:user:'\nbatch_ttl_seconds = 60\n[[entity.cohort]]\nname = \"vip\"\ntags = [\"v0\", \"v1\"]\nmembers_file = \"vip.txt\"\n",
        b"[[entity]]\nname = \"m\"\n[[entity.cohort]]\nname = \"top\"\nmembers_set = \"m-top\"\nrefresh_seconds = 5\n[[entity]]\nname = \"u\"\n",
        b"[[entity]]\nname = \"u\"\nfeature = [{ name = \"a\", type = \"int64\", kind = \"batch\", default = 0 }]\n[[entity.feature]]\nname = \"b\"\n",
        b"[[entity]]\nname = \"u\"\n[[entity.feature]]\nname = \"a\"\ntype = \"float64\"\nkind = \"streaming\"\nttl_seconds = 60\ndefault = 0.5\n\
          [[entity.feature_set]]\nname = \"s\"\nfeatures = [\"a\"]\n",
    ],
    pieces: &[
        b"5", b"-1", b"0", b"1.5", b"nan", b"inf", b"true", b"\"x\"", b"\"\"", b"'x'", b"[]", b"[5]", b"[\"x\"]", b"{}", b"{ x = 1 }", b"2026-01-01",
        b"99999999999999999999", b"9223372036854775807", b"18446744073709551615", b"\"\\ud800\"", b"\"\\q\"", b"\"\"\"", b"\"", b"'", b"#",
        b"[redis]\n", b"[read]\n", b"[[entity]]\n", b"[[redis]]\n", b"[entity]\n", b"[x]\n", b"[", b"]", b"=", b".", b"\n", b"\r\n", b"\r", b" ",
        b"name = \"y\"\n", b"urls = \"h:1\"\n", b"lost = 1\n", b"transport = \"x\"\n", b"listen = \"x\"\n", b"\"rediss://h:1\"", b"\"h:99999\"",
        b"\"none\"", b"\"/\"", b"\"{x}\"", b"\xff", b"\xc3", b"\x00", b"\xef\xbb\xbf", b"\xc3\xa9", &[b'x'; 1_100], &[b'['; 300], &[b'{'; 300],
    ],
    marks: b"\n=[],\"{}.",
};

/// Words of the program that no file has.
const FOREIGN: &[&str] = &[
    "struct",
    "Raw",
    "enum",
    "variant",
    "sequence",
    " map",
    "usize",
    "u64",
    "u32",
    "i64",
    "f64",
    "Option",
    "tuple",
    "newtype",
    "borrowed",
    "deserialize",
    "path string",
    "untagged",
];

/// What a message says, without what it repeats from the file.
fn own_words(message: &str) -> String {
    let quoted = |mark: char| move |text: String| text.split(mark).step_by(2).collect::<Vec<_>>().join("…");
    quoted('"')(quoted('`')(message.to_owned()))
}

#[test]
fn any_file_is_read_or_refused_by_line_and_column_or_by_field() {
    // In memory, where there is such a place: a disk that others keep busy takes longer for a file than all the rest.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    std::fs::write(folder.path().join("vip.txt"), "u1\nu 2\n").unwrap();
    std::fs::write(folder.path().join("secret"), "hunter2\n").unwrap();
    let path = folder.path().join("slotwise.toml");
    try_many("config files", inputs(FILES), move |Bytes(text)| {
        std::fs::write(&path, &text).unwrap();
        let Err(error) = Config::load(Some(&path), &Overrides::default()) else { return Ok(()) };
        let told = error.to_string();
        match &error {
            ConfigError::Malformed { path: named, line, column, problem } => {
                prop_assert_eq!(named, &path);
                let lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
                prop_assert!(*line <= lines.len() && *column <= lines[line - 1].len() + 1, "{}", told);
                prop_assert!(!problem.is_empty() && !problem.contains(['\n', '\r']), "{:?}", told);
                let own = own_words(problem);
                prop_assert!(
                    !FOREIGN.iter().any(|word| own.contains(word)),
                    "a word of the program: {}",
                    told
                );
            }
            ConfigError::Invalid { field, problem } => {
                let section = ["redis.", "read.", "shard.", "http.", "entity["]
                    .iter()
                    .any(|section| field.starts_with(section));
                let line_of_a_file = Path::new(field).starts_with(folder.path());
                prop_assert!(section || line_of_a_file, "no field: {}", told);
                prop_assert!(!problem.is_empty());
            }
            ConfigError::Unreadable { path: named, .. } => {
                prop_assert!(
                    *named != path && told.len() > named.as_os_str().len(),
                    "names no place: {}",
                    told
                );
            }
        }
        Ok(())
    });
}
