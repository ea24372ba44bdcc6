//! Decodes an event stream (WHATWG HTML §9.2.6) piece by piece, with limits.

/// The longest event. A `keys` event with a hundred keys is a tenth of that.
const MAX_EVENT: usize = 256 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Empty if the event has no name.
    pub name: String,
    /// The id of this event, never of an earlier one.
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
pub enum DecodeError {
    #[error("an event longer than {MAX_EVENT} bytes")]
    TooLong,
    #[error("a line that is not UTF-8")]
    NotUtf8,
}

#[derive(Default)]
pub struct Decoder {
    line: Vec<u8>,
    /// The last byte was a carriage return, so a line feed does not end another line.
    after_return: bool,
    is_past_byte_order_mark: bool,
    event: Event,
    has_data: bool,
}

impl Decoder {
    /// Takes received bytes, and adds the items that they complete to `items`. The items do not depend on how the
    /// stream is cut into pieces.
    ///
    /// # Errors
    /// The stream is broken and can't be read any further. `items` has all that came before.
    pub fn push(&mut self, bytes: &[u8], items: &mut Vec<Item>) -> Result<(), DecodeError> {
        for &byte in bytes {
            let was_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if was_return => {}
                b'\n' | b'\r' => self.end_line(items)?,
                _ => {
                    if self.line.len() + self.event.data.len() >= MAX_EVENT {
                        return Err(DecodeError::TooLong);
                    }
                    self.line.push(byte);
                }
            }
        }
        Ok(())
    }

    /// The number of bytes that are held for unfinished events.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        let id = self.event.id.as_ref().map_or(0, String::capacity);
        self.line.capacity() + self.event.name.capacity() + self.event.data.capacity() + id
    }

    fn end_line(&mut self, items: &mut Vec<Item>) -> Result<(), DecodeError> {
        let line = std::mem::take(&mut self.line);
        let mut line = str::from_utf8(&line).map_err(|_| DecodeError::NotUtf8)?;
        if !std::mem::replace(&mut self.is_past_byte_order_mark, true) {
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
            // A comment, or an unknown field.
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

    fn decoded(stream: &[u8], size: usize) -> (Vec<Item>, Result<(), DecodeError>) {
        let (mut decoder, mut items) = (Decoder::default(), Vec::new());
        let ended = stream.chunks(size).try_for_each(|piece| decoder.push(piece, &mut items));
        (items, ended)
    }

    #[test]
    fn events_are_the_same_however_the_stream_is_split() {
        let stream = "\u{feff}retry: 1420\n\nid: 1.5\nevent: entry\ndata: {\"a\":1}\n\n: still here\n\ndata:x\r\ndata: y\r\rfoo\nevent: lost\n\nevent: keys\ndata\n\n";
        let expected = vec![
            Item::Retry(1420),
            event("entry", Some("1.5"), "{\"a\":1}"),
            event("", None, "x\ny"),
            event("keys", None, ""),
        ];
        assert_eq!(decoded(stream.as_bytes(), stream.len()), (expected.clone(), Ok(())));
        for size in 1..9 {
            assert_eq!(decoded(stream.as_bytes(), size), (expected.clone(), Ok(())), "in pieces of {size}");
        }
    }

    #[test]
    fn an_unfinished_event_is_not_returned() {
        assert_eq!(decoded(b"data: {}\n", 100), (vec![], Ok(())));
    }

    #[test]
    fn an_endless_event_and_one_that_is_not_utf8_are_errors() {
        let long = vec![b'x'; MAX_EVENT + 1];
        assert_eq!(decoded(&long, 4096).1, Err(DecodeError::TooLong));
        let lines = b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(MAX_EVENT / 20);
        assert_eq!(decoded(&lines, 4096), (vec![], Err(DecodeError::TooLong)));
        for size in [1, 100] {
            let before = vec![event("", None, "x")];
            assert_eq!(decoded(b"data: x\n\ndata: \xff\n", size), (before, Err(DecodeError::NotUtf8)));
        }
    }
}
