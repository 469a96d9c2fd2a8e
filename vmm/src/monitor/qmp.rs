//! Messages of QMP, the QEMU Machine Protocol (QEMU's `docs/interop/qmp-spec`), version 1.

use serde_json::{Map, Value, json};

use super::subject::Refused;

/// A command with what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub name: String,
    pub arguments: Arguments,
    pub id: Option<Value>,
}

/// Why a request is not answered with a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no such command, or not now.
    CommandNotFound(String),
    /// Anything else.
    Generic(String),
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Fault::Generic(refused.0)
    }
}

/// The arguments of a command; each is taken out by its name, and none may be left.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Arguments(Map<String, Value>);

impl Arguments {
    pub(super) fn whole(&mut self, name: &str) -> Result<u64, Fault> {
        let wrong = || Fault::Generic(format!("argument '{name}' must be a whole number, not negative"));
        self.0.remove(name).ok_or_else(|| missing(name))?.as_u64().ok_or_else(wrong)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<String, Fault> {
        match self.0.remove(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(Fault::Generic(format!("argument '{name}' must be a string"))),
            None => Err(missing(name)),
        }
    }

    /// Takes an argument that may be anything.
    pub(super) fn any(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Refuses what has not been taken.
    pub(super) fn end(self) -> Result<(), Fault> {
        match self.0.keys().next() {
            Some(name) => Err(Fault::Generic(format!("argument '{name}' is not known"))),
            None => Ok(()),
        }
    }
}

fn missing(name: &str) -> Fault {
    Fault::Generic(format!("argument '{name}' is missing"))
}

impl Request {
    /// Reads a message. With what is wrong about it comes its id, if it has one.
    pub(super) fn read(line: &[u8]) -> Result<Self, (Fault, Option<Value>)> {
        let broken = |what: String| (Fault::Generic(what), None);
        let message: Value =
            serde_json::from_slice(line).map_err(|error| broken(format!("this is not JSON: {error}")))?;
        let Value::Object(mut message) = message else {
            return Err(broken("a message must be a JSON object".to_owned()));
        };
        let id = message.remove("id");
        let wrong = |what: &str| (Fault::Generic(what.to_owned()), id.clone());
        let name = match message.remove("execute") {
            Some(Value::String(name)) => name,
            Some(_) => return Err(wrong("'execute' must be a string")),
            None => return Err(wrong("'execute' is missing")),
        };
        let arguments = match message.remove("arguments") {
            Some(Value::Object(arguments)) => Arguments(arguments),
            Some(_) => return Err(wrong("'arguments' must be an object")),
            None => Arguments::default(),
        };
        match message.keys().next() {
            Some(name) => Err(wrong(&format!("member '{name}' is not known"))),
            None => Ok(Self { name, arguments, id }),
        }
    }
}

/// The first thing a client reads.
pub(super) fn greeting() -> String {
    json!({"QMP": {"version": version(), "capabilities": []}}).to_string()
}

/// The version: ours, in the place that QMP has for QEMU's.
pub(super) fn version() -> Value {
    let part = |text: &str| text.parse::<u64>().unwrap_or(0);
    json!({
        "qemu": {
            "major": part(env!("CARGO_PKG_VERSION_MAJOR")),
            "minor": part(env!("CARGO_PKG_VERSION_MINOR")),
            "micro": part(env!("CARGO_PKG_VERSION_PATCH")),
        },
        "package": concat!("rrvmm ", env!("CARGO_PKG_VERSION")),
    })
}

/// The answer to a request.
pub(super) fn reply(result: Result<Value, Fault>, id: Option<Value>) -> String {
    let mut message = match result {
        Ok(value) => json!({"return": value}),
        Err(fault) => {
            let (class, desc) = match fault {
                Fault::CommandNotFound(desc) => ("CommandNotFound", desc),
                Fault::Generic(desc) => ("GenericError", desc),
            };
            json!({"error": {"class": class, "desc": desc}})
        }
    };
    if let Some(id) = id {
        message["id"] = id;
    }
    message.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read() {
        let mut request =
            Request::read(br#" {"execute": "replay-seek", "arguments": {"icount": 7}, "id": [1]} "#).unwrap();
        assert_eq!((request.name.as_str(), request.id.clone()), ("replay-seek", Some(json!([1]))));
        assert_eq!(request.arguments.whole("icount"), Ok(7));
        assert!(request.arguments.clone().end().is_ok());
        assert!(request.arguments.whole("icount").is_err());
    }

    #[test]
    fn what_is_wrong_is_told_with_the_id() {
        for line in [
            &b"\xff\xfe"[..],
            b"",
            b"{",
            b"[]",
            b"7",
            br#"{"execute": 7, "id": "a"}"#,
            br#"{"id": "a"}"#,
            br#"{"execute": "x", "arguments": [], "id": "a"}"#,
            br#"{"execute": "x", "more": 1, "id": "a"}"#,
            "[".repeat(100_000).as_bytes(),
        ] {
            let (fault, id) = Request::read(line).unwrap_err();
            assert!(matches!(fault, Fault::Generic(_)));
            assert_eq!(id.is_some(), line.ends_with(br#""a"}"#), "{line:?}");
        }
    }

    #[test]
    fn numbers_below_zero_or_with_a_fraction_are_refused() {
        for number in ["-1", "1.5", "1e30", "\"7\"", "null"] {
            let line = format!(r#"{{"execute": "replay-seek", "arguments": {{"icount": {number}}}}}"#);
            let mut request = Request::read(line.as_bytes()).unwrap();
            assert!(request.arguments.whole("icount").is_err(), "{number}");
        }
    }
}
