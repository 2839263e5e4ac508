//! Commands read from pickles, and answers written as such.

use std::collections::BTreeMap;

use serde_pickle::{DeOptions, HashableValue, SerOptions, Value};

use super::admit::admit;

/// A word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A text.
    Text(String),
    /// A list; of its values, the texts.
    List(Vec<String>),
    /// A number, or the like.
    Other,
}

/// An error, as fail2ban's server answers one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Exception {
    /// What the client prints as it is.
    Said(String),
    /// A value that is none. Printed as it is.
    Value(String),
    /// There is no such jail: the client says so.
    UnknownJail(String),
    /// Words are missing: the client says that the command is invalid.
    Missing,
}

/// Reads a command.
///
/// # Errors
///
/// Why it is none, in words.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Word>, String> {
    admit(bytes).map_err(|unfit| unfit.to_string())?;
    let value =
        serde_pickle::value_from_slice(bytes, DeOptions::new().decode_strings()).map_err(|error| error.to_string())?;
    let (Value::List(values) | Value::Tuple(values)) = value else { return Err("it is no list".to_owned()) };
    Ok(values
        .into_iter()
        .map(|value| match value {
            Value::String(text) => Word::Text(text),
            Value::List(values) | Value::Tuple(values) => Word::List(values.into_iter().filter_map(text).collect()),
            Value::None
            | Value::Bool(_)
            | Value::I64(_)
            | Value::Int(_)
            | Value::F64(_)
            | Value::Bytes(_)
            | Value::Set(_)
            | Value::FrozenSet(_)
            | Value::Dict(_) => Word::Other,
        })
        .collect())
}

fn text(value: Value) -> Option<String> {
    if let Value::String(text) = value { Some(text) } else { None }
}

/// Writes an answer.
///
/// # Errors
///
/// If it cannot be written.
pub(super) fn write(answer: Result<Value, Exception>) -> Result<Vec<u8>, serde_pickle::Error> {
    let exception = match answer {
        Ok(value) => return serde_pickle::value_to_vec(&pair(int(0), value), SerOptions::new()),
        Err(exception) => exception,
    };
    let (class, said) = match &exception {
        Exception::Said(text) => ("builtins\nException", text.as_str()),
        Exception::Value(text) => ("builtins\nValueError", text.as_str()),
        Exception::UnknownJail(name) => ("fail2ban.exceptions\nUnknownJailException", name.as_str()),
        Exception::Missing => ("builtins\nIndexError", "list index out of range"),
    };
    // `(1, class(said))` in protocol 3: the crate writes no objects.
    let length = u32::try_from(said.len()).unwrap_or(0);
    let said = if length == 0 { "" } else { said };
    let head = [&b"\x80\x03K\x01c"[..], class.as_bytes(), b"\nX", &length.to_le_bytes()].concat();
    Ok([&head[..], said.as_bytes(), b"\x85R\x86."].concat())
}

pub(super) fn int(number: impl TryInto<i64>) -> Value {
    Value::I64(number.try_into().unwrap_or(i64::MAX))
}

pub(super) fn string(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

pub(super) fn list<T>(values: impl IntoIterator<Item = T>, value: impl Fn(T) -> Value) -> Value {
    Value::List(values.into_iter().map(value).collect())
}

pub(super) fn pair(first: Value, second: Value) -> Value {
    Value::Tuple(vec![first, second])
}

/// A row of what the client makes a tree of.
pub(super) fn row(name: &str, value: Value) -> Value {
    pair(string(name), value)
}

pub(super) fn dict(entries: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Dict(entries.into_iter().map(|(key, value)| (HashableValue::String(key), value)).collect::<BTreeMap<_, _>>())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Instructions that may be let pass, with what they need, in any order; and a few others.
    fn instruction() -> impl Strategy<Value = Vec<u8>> {
        let plain = prop::sample::select(&b"N\x88\x89])}(aeultds\x85\x86\x87\x94.Rc0"[..]).prop_map(|code| vec![code]);
        let numbered = (prop::sample::select(&b"Khq"[..]), 0..4_u8).prop_map(|(code, number)| vec![code, number]);
        let text = (prop::sample::select(&b"\x8cU"[..]), vec(any::<u8>(), 0..4))
            .prop_map(|(code, text)| [&[code, u8::try_from(text.len()).unwrap_or(0)][..], &text].concat());
        prop_oneof![4 => plain, 2 => numbered, 2 => text]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn whatever_comes_is_read_or_refused_without_a_panic(body in vec(instruction(), 0..24), ends in any::<bool>()) {
            let mut pickle: Vec<u8> = body.concat();
            if ends {
                pickle.push(b'.');
            }
            if let Ok(words) = read(&pickle) {
                prop_assert!(words.len() <= pickle.len());
            }
        }

        #[test]
        fn a_list_of_texts_is_read_as_it_was_written(texts in vec(".{0,300}", 0..8)) {
            let pickle = serde_pickle::value_to_vec(&list(&texts, string), SerOptions::new()).unwrap();

            let words: Vec<Word> = texts.into_iter().map(Word::Text).collect();
            prop_assert_eq!(read(&pickle), Ok(words));
        }
    }

    #[test]
    fn a_command_is_a_list_of_words() {
        let pickle = b"\x80\x05\x95\0\0\0\0\0\0\0\0]\x94(\x8c\x06reload\x94\x8c\x05--all\x94]\x94\x8c\x07--unban\x94aK\x01h\x02e.";

        let words = read(pickle).unwrap();

        let text = |text: &str| Word::Text(text.to_owned());
        let expected =
            [text("reload"), text("--all"), Word::List(vec!["--unban".to_owned()]), Word::Other, text("--all")];
        assert_eq!(words, expected);
        assert!(read(b"\x8c\x04ping.").unwrap_err().contains("no list"));
        assert!(read(b"]\x8c\x02\xff\xffa.").is_err(), "no UTF-8");
    }

    #[test]
    fn an_answer_is_a_pair_of_a_code_and_a_value_or_an_exception() {
        assert_eq!(write(Ok(string("pong"))).unwrap(), b"\x80\x03J\0\0\0\0X\x04\0\0\0pong\x86.");
        let unknown = write(Err(Exception::UnknownJail("sshd".to_owned()))).unwrap();
        assert_eq!(unknown, b"\x80\x03K\x01cfail2ban.exceptions\nUnknownJailException\nX\x04\0\0\0sshd\x85R\x86.");
        let missing = write(Err(Exception::Missing)).unwrap();
        assert_eq!(missing, b"\x80\x03K\x01cbuiltins\nIndexError\nX\x17\0\0\0list index out of range\x85R\x86.");
    }
}
