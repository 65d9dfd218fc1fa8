//! What the TOML reader says, in words of the file: its own name the types of the program, and no field.

use std::fmt::Write;

/// What the reader says of the value between `before` and `after`, with the name of its field where the line tells it.
pub(super) fn plain(message: &str, before: &str, after: &str) -> String {
    let wrong = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let said = match wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) {
        Some((given, needed)) => {
            format!("{} is needed, not {}", type_needed(needed), kind_given(given, after))
        }
        None => match message.strip_prefix("unknown variant ") {
            Some(rest) => format!("unknown value {rest}"),
            None if message == "invalid socket address syntax" => {
                "an address with a port is needed, such as 127.0.0.1:8080".to_owned()
            }
            // Of a value that is one of a few names.
            None if message.starts_with("wanted ") => "a string is needed".to_owned(),
            None => return one_line(message),
        },
    };
    one_line(&key_before(before).map_or_else(|| said.clone(), |key| format!("{key}: {said}")))
}

fn type_needed(type_name: &str) -> &str {
    match type_name {
        "u16" | "u32" | "u64" | "usize" => "a whole number from 0 on",
        "a sequence" => "a list",
        "path string" => "a string",
        "socket address" => "an address with a port",
        name if name.starts_with("struct ") => "a table",
        name => name,
    }
}

fn kind_given(kind: &str, text: &str) -> String {
    match kind {
        "sequence" => "a list".to_owned(),
        // Dates are handed over as tables of one entry.
        "map" if text.starts_with(|first: char| first.is_ascii_digit()) => "a date or time".to_owned(),
        "map" => "a table".to_owned(),
        // What stands there may be a secret.
        kind if kind.starts_with("string ") => "a string".to_owned(),
        _ => {
            kind.trim_end_matches(" as i128").trim_end_matches(" as u128").replace("floating point", "float")
        }
    }
}

/// The key of the value that begins behind `before`, where it stands on the same line.
fn key_before(before: &str) -> Option<&str> {
    let (left, _) = before.rsplit('\n').next()?.rsplit_once('=')?;
    let key = left.trim_end().rsplit([' ', '\t', '{', ',', '[']).next()?;
    let is_key = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!key.is_empty() && key.chars().all(is_key)).then_some(key)
}

/// Keys may hold line breaks.
fn one_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if c.is_control() {
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use crate::config::RawConfig;

    fn says(text: &str) -> String {
        let error = toml::from_str::<RawConfig>(text).unwrap_err();
        let span = error.span().unwrap();
        super::plain(error.message(), &text[..span.start], &text[span.start..])
    }

    #[test]
    fn an_error_names_the_field_and_what_is_needed_there() {
        let texts = [
            "redis = 5",
            "[[redis]]\nurls = []",
            "[redis]\nurls = \"h:1\"",
            "[redis]\nurls = [\"h:1\", 5]",
            "[redis]\nusername = 1979-05-27",
            "[redis]\nusername = {}",
            "[redis]\npassword_file = true",
            "[read]\nbatch_ids_max = -1",
            "[read]\nbatch_ids_max = 1.5 # not whole",
            "[http]\nbody_bytes_max = \"1 = 1\"",
            "[http]\nconnections_max = 99999999999999999999",
            "[http]\nlisten = \"here\"",
            "[http]\nlisten = 8080",
            "[shard]\ntransport = \"lane\"",
            "[shard]\ntransport = 5",
            "[shard]\ntransport = {}",
            "[shard]\ntransport = { lanes = 1, cluster = 2 }",
            "[[read]]",
            "[shard]\n\"a\\nb\" = 5",
            "entity = {}",
            "[entity]\nname = \"user\"",
            "entity = [5]",
            "[[entity]]\nprefix = \"x\"",
            "[[entity]]\nname = \"u\"\nfeature = [{ name = 1 }]",
        ];
        insta::assert_snapshot!(texts.map(says).join("\n"), @r#"
        redis: a table is needed, not integer `5`
        a table is needed, not a list
        urls: a list is needed, not a string
        urls: a string is needed, not integer `5`
        username: a string is needed, not a date or time
        username: a string is needed, not a table
        password_file: a string is needed, not boolean `true`
        batch_ids_max: a whole number from 0 on is needed, not integer `-1`
        batch_ids_max: a whole number from 0 on is needed, not float `1.5`
        body_bytes_max: a whole number from 0 on is needed, not a string
        connections_max: a whole number from 0 on is needed, not integer `99999999999999999999`
        listen: an address with a port is needed, such as 127.0.0.1:8080
        listen: an address with a port is needed, not integer `8080`
        transport: unknown value `lane`, expected `lanes` or `cluster`
        transport: a string is needed
        transport: a string is needed
        transport: a string is needed
        a table is needed, not a list
        unknown field `a\nb`, expected one of `pipeline_commands_max`, `commands_in_flight_max`, `transport`, `lanes_per_node`, `read_from`, `hedge`, `hedge_budget_percent`
        entity: a list is needed, not a table
        a list is needed, not a table
        entity: a table is needed, not integer `5`
        missing field `name`
        name: a string is needed, not integer `1`
        "#);
    }
}
