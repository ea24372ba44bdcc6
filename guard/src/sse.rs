//! The event stream as bytes (WHATWG HTML §9.2.6), decoded piece by piece, with bounds.

/// Longest event. A `keys` event of a hundred keys is a tenth of that.
const MAX_EVENT: usize = 256 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Empty if the stream names none.
    pub name: String,
    /// That of this event, not an earlier one's.
    pub id: Option<String>,
    pub data: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Event(Event),
    /// Milliseconds.
    Retry(u64),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("an event longer than {MAX_EVENT} bytes")]
    TooLong,
    #[error("a line that is not UTF-8")]
    NotUtf8,
}

#[derive(Default)]
pub struct Decoder {
    line: Vec<u8>,
    /// The last byte was a carriage return, so that a line feed now ends nothing.
    after_return: bool,
    is_past_mark: bool,
    event: Event,
    has_data: bool,
}

impl Decoder {
    /// Takes what came and gives what it completes.
    ///
    /// # Errors
    /// The stream is broken; nothing more can be made of it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Item>, Broken> {
        let mut items = Vec::new();
        for &byte in bytes {
            let was_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if was_return => {}
                b'\n' | b'\r' => self.end_line(&mut items)?,
                _ => {
                    if self.line.len() + self.event.data.len() >= MAX_EVENT {
                        return Err(Broken::TooLong);
                    }
                    self.line.push(byte);
                }
            }
        }
        Ok(items)
    }

    fn end_line(&mut self, items: &mut Vec<Item>) -> Result<(), Broken> {
        let line = std::mem::take(&mut self.line);
        let mut line = str::from_utf8(&line).map_err(|_| Broken::NotUtf8)?;
        if !std::mem::replace(&mut self.is_past_mark, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                items.push(Item::Event(event));
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                items.extend(value.parse().ok().map(Item::Retry));
            }
            // A comment, or a field that is not ours.
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, id: Option<&str>, data: &str) -> Item {
        Item::Event(Event { name: name.to_owned(), id: id.map(str::to_owned), data: data.to_owned() })
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let stream = "\u{feff}retry: 1420\n\nid: 1.5\nevent: entry\ndata: {\"a\":1}\n\n: still here\n\ndata:x\r\ndata: y\r\rfoo\nevent: lost\n\nevent: keys\ndata\n\n";
        let expected = vec![
            Item::Retry(1420),
            event("entry", Some("1.5"), "{\"a\":1}"),
            event("", None, "x\ny"),
            event("keys", None, ""),
        ];
        assert_eq!(Decoder::default().push(stream.as_bytes()), Ok(expected.clone()));
        for size in 1..9 {
            let mut decoder = Decoder::default();
            let items = stream.as_bytes().chunks(size).flat_map(|piece| decoder.push(piece).unwrap());
            assert_eq!(items.collect::<Vec<_>>(), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_unfinished_event_is_none() {
        assert_eq!(Decoder::default().push(b"data: {}\n"), Ok(vec![]));
    }

    #[test]
    fn what_never_ends_is_broken_and_so_is_what_is_no_text() {
        let long = vec![b'x'; MAX_EVENT + 1];
        assert_eq!(Decoder::default().push(&long), Err(Broken::TooLong));
        let lines = b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(MAX_EVENT / 20);
        assert_eq!(Decoder::default().push(&lines), Err(Broken::TooLong));
        assert_eq!(Decoder::default().push(b"data: \xff\n"), Err(Broken::NotUtf8));
    }
}
