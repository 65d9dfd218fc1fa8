//! Commands on their way to a shard.

use redis::Cmd;

/// One command, ready to be sent; cheap to build, and sent again as it is after a redirect.
#[derive(Clone)]
pub struct Command(Cmd);

impl Command {
    /// A command without arguments yet.
    pub fn new(name: &str) -> Self {
        Self(redis::cmd(name))
    }

    /// A script that works on `key`; what is added are its further arguments.
    pub fn script(text: &str, key: &[u8]) -> Self {
        Self::new("EVAL").arg(text).arg("1").arg(key)
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.0.arg(argument.as_ref());
        self
    }

    /// Adds several arguments.
    pub fn args<A: AsRef<[u8]>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        for argument in arguments {
            self.0.arg(argument.as_ref());
        }
        self
    }

    /// Adds a number.
    pub fn number(mut self, number: u64) -> Self {
        self.0.arg(number);
        self
    }

    /// Is this the command of that name?
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self.0.args_iter().next(), Some(redis::Arg::Simple(first)) if first == name.as_bytes())
    }

    pub(super) fn into_inner(self) -> Cmd {
        self.0
    }
}

impl std::fmt::Debug for Command {
    /// The name only: arguments hold keys and feature values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.0.args_iter().next();
        let name = match &name {
            Some(redis::Arg::Simple(name)) => String::from_utf8_lossy(name),
            _ => "?".into(),
        };
        write!(f, "Command({name} …)")
    }
}
