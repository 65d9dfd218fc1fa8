//! Replies whole and in pieces, against what the client crate makes of the same bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use redis::Value;

use super::*;
use crate::model::limits::{REPLY_DEPTH_MAX, REPLY_ITEMS_MAX, REPLY_LINE_BYTES_MAX, REPLY_STRING_BYTES_MAX};

/// A value as a node may send it.
#[derive(Debug, Clone)]
enum Sent {
    Text(Vec<u8>),
    /// `_` or `$-1`.
    Nil(&'static str),
    /// Everything that is one line: errors, too.
    Line(String),
    /// `!` or `=`, whose text may hold line ends.
    Long(char, String),
    /// `*`, `~`, `%` or `>`.
    Many(char, Vec<Sent>),
    /// Described by so many pairs.
    Described(Vec<(Sent, Sent)>, Box<Sent>),
}

impl Sent {
    fn put(&self, bytes: &mut Vec<u8>) {
        let long =
            |kind, text: &[u8]| [format!("{kind}{}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat();
        match self {
            Self::Text(text) => bytes.extend(long('$', text)),
            Self::Nil(text) => bytes.extend(format!("{text}\r\n").bytes()),
            Self::Line(text) => bytes.extend(format!("{text}\r\n").bytes()),
            Self::Long(kind, text) => bytes.extend(long(*kind, text.as_bytes())),
            Self::Many(kind, values) => {
                let (count, each) = if *kind == '%' { (values.len() / 2, 2) } else { (values.len(), 1) };
                bytes.extend(format!("{kind}{count}\r\n").bytes());
                values.iter().take(count * each).for_each(|value| value.put(bytes));
            }
            Self::Described(pairs, value) => {
                bytes.extend(format!("|{}\r\n", pairs.len()).bytes());
                pairs.iter().flat_map(|(key, value)| [key, value]).for_each(|value| value.put(bytes));
                value.put(bytes);
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes
    }
}

/// The replies to one pipeline: what comes before each, and the reply.
#[derive(Debug, Clone)]
struct Pipeline {
    width: usize,
    asking: bool,
    rows: Vec<(Vec<Sent>, Sent)>,
}

/// A row as it should be read.
type Row = Result<Vec<Option<Vec<u8>>>, KeyFault>;

fn node() -> NodeAddr {
    NodeAddr::new("10.0.0.9", 7000)
}

impl Pipeline {
    fn scanner(&self) -> ReplyScanner {
        ReplyScanner::new(self.rows.len(), self.width, self.asking)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (before, reply) in &self.rows {
            before.iter().for_each(|value| value.put(&mut bytes));
            if self.asking {
                bytes.extend(b"+OK\r\n");
            }
            reply.put(&mut bytes);
        }
        bytes
    }

    /// What the client crate reads, row by row.
    fn expected(&self) -> Vec<Row> {
        let row = |(_, reply): &(_, Sent)| match bare(redis::parse_redis_value(&reply.bytes()).unwrap()) {
            Value::ServerError(error) => Err(KeyFault::new(&error, &node())),
            Value::Array(cells) if cells.len() == self.width => cells
                .into_iter()
                .map(|cell| match cell {
                    Value::BulkString(text) => Ok(Some(text)),
                    Value::Nil => Ok(None),
                    _ => Err(KeyFault::Refused("a cell of HMGET that is no string".into())),
                })
                .collect(),
            _ => Err(KeyFault::Refused("an answer to HMGET of another shape".into())),
        };
        self.rows.iter().map(row).collect()
    }
}

fn bare(value: Value) -> Value {
    match value {
        Value::Attribute { data, .. } => bare(*data),
        value => value,
    }
}

/// What a scanner that is done has read.
fn read(scanner: ReplyScanner, bytes: &[u8]) -> Vec<Row> {
    let (rows, width, taken) = (scanner.rows(), scanner.width(), scanner.taken());
    let (spans, faults) = scanner.finish();
    assert_eq!(spans.len(), rows * width);
    let cells = |row: usize| spans[row * width..(row + 1) * width].iter();
    let row = |row: usize| match faults.iter().find(|(faulty, _)| *faulty == row) {
        Some((_, fault)) => {
            assert!(cells(row).all(|cell| *cell == Span::ABSENT), "a faulty row has no values");
            Err(fault.clone())
        }
        None => Ok(cells(row).map(|cell| cell.slice(&bytes[..taken]).map(<[u8]>::to_vec)).collect()),
    };
    (0..rows).map(row).collect()
}

/// Feeds pipelines as a connection does: pieces as they come, what was taken dropped after each pipeline. Pipelines in
/// `given_up` lose their caller after their first piece.
fn feed(pipelines: &[Pipeline], pieces: &[usize], given_up: &[bool]) -> Vec<Option<Vec<Row>>> {
    let sent: Vec<u8> = pipelines.iter().flat_map(Pipeline::bytes).collect();
    let (mut input, mut at, mut pieces) = (Vec::new(), 0, pieces.iter().cycle());
    let mut answers = Vec::new();
    for (number, pipeline) in pipelines.iter().enumerate() {
        let (mut scanner, mut wanted) = (pipeline.scanner(), true);
        while !scanner.scan(&input, &node()).unwrap() {
            if given_up[number % given_up.len()] && wanted {
                scanner.give_up();
                wanted = false;
            }
            if !wanted {
                input.drain(..scanner.taken());
                scanner.forget_taken();
            }
            let end = (at + pieces.next().unwrap()).min(sent.len());
            assert!(end > at, "all has come, and it is not whole");
            input.extend(&sent[at..end]);
            at = end;
        }
        let taken = scanner.taken();
        answers.push(wanted.then(|| read(scanner, &input)));
        input.drain(..taken);
    }
    assert_eq!((input.len(), at), (0, sent.len()), "exactly what came was taken");
    answers
}

fn text() -> impl Strategy<Value = Sent> {
    let ends = Just(b"\r\n$-1\r\n*2\r\n".to_vec());
    prop_oneof![
        6 => vec(any::<u8>(), 0..12),
        2 => vec(any::<u8>(), 90..110),
        1 => vec(any::<u8>(), 990..1_010),
        1 => ends,
    ]
    .prop_map(Sent::Text)
}

fn nil() -> impl Strategy<Value = Sent> {
    prop_oneof![Just(Sent::Nil("_")), Just(Sent::Nil("$-1"))]
}

fn error() -> impl Strategy<Value = Sent> {
    let known = prop_oneof![
        Just("MOVED 3999 127.0.0.1:6381"),
        Just("ASK 3999 :6381"),
        Just("TRYAGAIN Multiple keys"),
        Just("WRONGTYPE Operation against a key"),
        Just("LOADING"),
    ];
    prop_oneof![
        known.clone().prop_map(|text| Sent::Line(format!("-{text}"))),
        known.prop_map(|text| Sent::Long('!', text.to_owned())),
        "[A-Z]{1,8} [ -~]{1,300}".prop_map(|text| Sent::Line(format!("-{text}"))),
    ]
}

/// Any value that is neither a string nor absent, nor an error.
fn other() -> impl Strategy<Value = Sent> {
    let line = prop_oneof![
        any::<i64>().prop_map(|number| format!(":{number}")),
        "[ -~]{0,40}".prop_map(|text| format!("+{text}")),
        Just("#t".to_owned()),
        Just(",1.5e3".to_owned()),
        Just("(3492890328409238509324850943850943825024385".to_owned()),
    ];
    let leaf = prop_oneof![
        3 => line.prop_map(Sent::Line),
        1 => "[a-z\r\n]{0,20}".prop_map(|text| Sent::Long('=', format!("txt:{text}"))),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let value = prop_oneof![inner.clone(), text(), nil()];
        prop_oneof![
            (prop_oneof![Just('*'), Just('~'), Just('%')], vec(value.clone(), 0..4))
                .prop_map(|(kind, values)| Sent::Many(kind, values)),
            (vec((value.clone(), value), 1..3), inner)
                .prop_map(|(pairs, value)| Sent::Described(pairs, value.into())),
        ]
    })
}

fn reply(width: usize) -> impl Strategy<Value = Sent> {
    let list = |values| Sent::Many('*', values);
    let cell = || prop_oneof![4 => text(), 1 => nil()];
    prop_oneof![
        6 => vec(cell(), width).prop_map(list),
        1 => vec(cell(), 0..6).prop_map(list),
        1 => vec(prop_oneof![3 => cell(), 1 => other(), 1 => error()], width).prop_map(list),
        1 => error(),
        1 => other(),
        1 => (vec((text(), other()), 1..3), vec(cell(), width))
            .prop_map(move |(pairs, cells)| Sent::Described(pairs, list(cells).into())),
        1 => Just(Sent::Nil("*-1")),
    ]
}

fn push() -> impl Strategy<Value = Sent> {
    let kind = Sent::Line("+invalidate".to_owned());
    vec(prop_oneof![text(), other()], 0..3)
        .prop_map(move |values| Sent::Many('>', [vec![kind.clone()], values].concat()))
}

fn pipeline() -> impl Strategy<Value = Pipeline> {
    (1usize..5, any::<bool>()).prop_flat_map(|(width, asking)| {
        let before = prop_oneof![4 => Just(Vec::new()), 1 => vec(push(), 1..3)];
        vec((before, reply(width)), 1..6).prop_map(move |rows| Pipeline { width, asking, rows })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replies_are_read_as_the_client_crate_reads_them_in_whatever_pieces_they_come(
        pipelines in vec(pipeline(), 1..4),
        pieces in vec(1usize..200, 1..20),
    ) {
        let expected: Vec<_> = pipelines.iter().map(|pipeline| Some(pipeline.expected())).collect();
        prop_assert_eq!(feed(&pipelines, &pieces, &[false]), expected);
    }

    #[test]
    fn a_caller_that_gives_up_leaves_the_others_their_values(
        pipelines in vec(pipeline(), 2..5),
        pieces in vec(1usize..60, 1..20),
        given_up in vec(any::<bool>(), 2..5),
    ) {
        let answers = feed(&pipelines, &pieces, &given_up);
        for (pipeline, answer) in pipelines.iter().zip(answers) {
            prop_assert_eq!(&answer.unwrap_or_else(|| pipeline.expected()), &pipeline.expected());
        }
    }

    #[test]
    fn a_changed_byte_never_panics_and_is_judged_the_same_however_it_comes(
        pipeline in pipeline(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        pieces in vec(1usize..40, 1..20),
    ) {
        let mut bytes = pipeline.bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let mut at_once = pipeline.scanner();
        let expected = at_once.scan(&bytes, &node());
        let (mut in_pieces, mut judged, mut at) = (pipeline.scanner(), Ok(false), 0);
        for piece in pieces.iter().cycle() {
            at = (at + piece).min(bytes.len());
            judged = in_pieces.scan(&bytes[..at], &node());
            if judged != Ok(false) || at == bytes.len() {
                break;
            }
        }
        prop_assert_eq!(judged, expected);
        prop_assert!(at_once.taken() <= bytes.len());
        if expected == Ok(true) {
            prop_assert_eq!(read(in_pieces, &bytes), read(at_once, &bytes));
        }
    }
}

/// One of everything.
fn mixed(asking: bool) -> Pipeline {
    let text = |text: &str| Sent::Text(text.as_bytes().to_vec());
    let list = |values| Sent::Many('*', values);
    let rows = vec![
        (vec![], list(vec![text("a"), Sent::Nil("_")])),
        (vec![], Sent::Line("-MOVED 1 :2".to_owned())),
        (vec![Sent::Many('>', vec![text("push"), text("\r\n")])], list(vec![text(""), text("\r\n$1\r\n")])),
        (vec![], Sent::Long('!', "ERR of\r\ntwo lines".to_owned())),
        (vec![], list(vec![Sent::Line(":1".to_owned()), list(vec![text("x"), Sent::Many('%', vec![])])])),
        (
            vec![],
            Sent::Described(
                vec![(text("ttl"), Sent::Line(":3".to_owned()))],
                list(vec![text("b"), text(&"c".repeat(120))]).into(),
            ),
        ),
        (vec![], list(vec![text("too"), text("many"), text("cells")])),
        (vec![], list(vec![Sent::Nil("$-1"), text("last")])),
    ];
    Pipeline { width: 2, asking, rows }
}

#[test]
fn a_reply_may_be_cut_at_every_byte() {
    for pipeline in [mixed(false), mixed(true)] {
        let (bytes, expected) = (pipeline.bytes(), pipeline.expected());
        assert_eq!(expected.iter().filter(|row| row.is_ok()).count(), 4, "{expected:?}");
        for cut in 0..bytes.len() {
            let mut scanner = pipeline.scanner();
            assert_eq!(scanner.scan(&bytes[..cut], &node()), Ok(false), "cut at {cut}");
            assert_eq!(scanner.scan(&bytes, &node()), Ok(true), "cut at {cut}");
            assert_eq!(scanner.taken(), bytes.len());
            assert_eq!(read(scanner, &bytes), expected, "cut at {cut}");

            let mut scanner = pipeline.scanner();
            scanner.scan(&bytes[..cut], &node()).unwrap();
            scanner.give_up();
            let dropped = scanner.taken();
            scanner.forget_taken();
            assert_eq!(scanner.scan(&bytes[dropped..], &node()), Ok(true), "given up at {cut}");
            assert_eq!(dropped + scanner.taken(), bytes.len(), "given up at {cut}");
        }
    }
}

#[test]
fn what_follows_the_last_reply_is_left_for_whoever_asked_for_it() {
    let pipeline = mixed(false);
    let bytes = pipeline.bytes();
    for behind in [&b"*"[..], b"\r\n", b"not RESP at all"] {
        let mut scanner = pipeline.scanner();
        assert_eq!(scanner.scan(&[&bytes, behind].concat(), &node()), Ok(true));
        assert_eq!(scanner.taken(), bytes.len());
    }
}

#[test]
fn a_refused_asking_leaves_the_verdict_to_the_reply_after_it() {
    let mut scanner = ReplyScanner::new(2, 1, true);
    let bytes = b"-ERR This instance has cluster support disabled\r\n*1\r\n$1\r\na\r\n+OK\r\n-TRYAGAIN x\r\n";
    assert_eq!(scanner.scan(bytes, &node()), Ok(true));
    assert_eq!(
        read(scanner, bytes),
        [Ok(vec![Some(b"a".to_vec())]), Err(KeyFault::NotReady("TRYAGAIN x".into()))]
    );
}

#[test]
fn what_is_no_reply_is_malformed() {
    for bytes in [
        "HTTP/1.1 400 Bad Request\r\n",
        "*1\r\n$1\r\nab\r\n",
        "*1\r\n$5\r\nab\r\n*1\r\n$1\r\n",
        "*1\r\n$1\r\na\rb",
        "*1\r\n$-2\r\n",
        "*1\r\n$a\r\n",
        "*1\r\n*1\r\n?\r\n",
        "!3\r\nERRx\r\n",
    ] {
        let mut scanner = ReplyScanner::new(1, 1, false);
        assert!(scanner.scan(bytes.as_bytes(), &node()).is_err(), "{bytes:?}");
    }
}

#[test]
fn replies_are_taken_up_to_their_limits_and_not_beyond() {
    let scan = |bytes: &str| ReplyScanner::new(1, 1, false).scan(bytes.as_bytes(), &node());
    // A row is a list, and its cell is nested once.
    let nested = |depth: usize| format!("*1\r\n{}:1\r\n", "*1\r\n".repeat(depth));
    assert_eq!(scan(&nested(REPLY_DEPTH_MAX)), Ok(true));
    assert!(scan(&nested(REPLY_DEPTH_MAX + 1)).is_err());
    let line = |bytes: usize| format!("-{}\r\n", "x".repeat(bytes - 1));
    assert_eq!(scan(&line(REPLY_LINE_BYTES_MAX - 1)), Ok(true));
    assert!(scan(&line(REPLY_LINE_BYTES_MAX)).is_err());
    assert!(scan(&"x".repeat(REPLY_LINE_BYTES_MAX)).is_err());
    for kind in ["*", "~", ">"] {
        assert_eq!(scan(&format!("{kind}{REPLY_ITEMS_MAX}\r\n")), Ok(false), "{kind}");
        assert!(scan(&format!("{kind}{}\r\n", REPLY_ITEMS_MAX + 1)).is_err(), "{kind}");
    }
    for kind in ["%", "|"] {
        assert_eq!(scan(&format!("{kind}{}\r\n", REPLY_ITEMS_MAX / 2)), Ok(false), "{kind}");
        assert!(scan(&format!("{kind}{}\r\n", REPLY_ITEMS_MAX / 2 + 1)).is_err(), "{kind}");
    }
    for before in ["*1\r\n$", "*1\r\n=", "!", "$"] {
        assert_eq!(scan(&format!("{before}{REPLY_STRING_BYTES_MAX}\r\n")), Ok(false), "{before:?}");
        assert!(scan(&format!("{before}{}\r\n", REPLY_STRING_BYTES_MAX + 1)).is_err(), "{before:?}");
    }
}
