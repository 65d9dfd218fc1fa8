//! What a node answered, in types of our own, so that nothing above this layer names `redis`.

use std::str;

use redis::Value;

/// One reply of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Nothing: a missing key or field.
    Nil,
    /// A whole number.
    Int(i64),
    /// A floating-point number (RESP3).
    Double(f64),
    /// A truth value (RESP3).
    Bool(bool),
    /// A bulk string: any bytes.
    Bytes(Vec<u8>),
    /// A status line such as `OK`.
    Text(String),
    /// A list, a set or a push message.
    Array(Vec<Reply>),
    /// Pairs, in the order they were sent (RESP3).
    Map(Vec<(Reply, Reply)>),
    /// An error inside a list; an error that is the whole reply is an `Err` instead.
    Error(String),
}

impl Reply {
    /// The number of an `Int`, or of a text that is one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => self.as_str()?.parse().ok(),
        }
    }

    /// The bytes of a string of either kind.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Text(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The text of a string of either kind, where it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| str::from_utf8(bytes).ok())
    }

    /// The items of a list.
    pub fn into_array(self) -> Option<Vec<Reply>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Is this the absence of a value?
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        let list = |items: Vec<Value>| Self::Array(items.into_iter().map(Self::from).collect());
        match value {
            Value::Nil => Self::Nil,
            Value::Int(number) => Self::Int(number),
            Value::Double(number) => Self::Double(number),
            Value::Boolean(truth) => Self::Bool(truth),
            Value::BulkString(bytes) | Value::BigNumber(bytes) => Self::Bytes(bytes),
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => Self::Text(text),
            Value::Okay => Self::Text("OK".to_owned()),
            Value::Array(items) | Value::Set(items) | Value::Push { data: items, .. } => list(items),
            Value::Map(pairs) => Self::Map(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect()),
            Value::Attribute { data, .. } => Self::from(*data),
            Value::ServerError(error) => Self::Error(
                format!("{} {}", error.code(), error.details().unwrap_or_default()).trim_end().to_owned(),
            ),
            // `Value` may grow; a reply we can't read is an error, never an absent value.
            other => Self::Error(format!("reply of an unknown type: {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_numbers_read_the_same_in_either_shape() {
        assert_eq!(Reply::from(Value::Okay).as_str(), Some("OK"));
        assert_eq!(Reply::from(Value::BulkString(b"12".to_vec())).as_i64(), Some(12));
        assert_eq!(Reply::from(Value::Int(12)).as_i64(), Some(12));
        assert_eq!(Reply::from(Value::BulkString(vec![0xff])).as_str(), None);
        assert!(Reply::from(Value::Nil).is_nil());
        let items = Reply::from(Value::Array(vec![Value::Nil, Value::Int(1)])).into_array();
        assert_eq!(items, Some(vec![Reply::Nil, Reply::Int(1)]));
    }
}
