//! The algorithm of the standard, sentence by sentence and without regard to speed: the text is
//! decoded as a whole, split into lines as a whole, and every buffer is a string.

use super::{Item, Outcome};

/// Interprets a whole stream.
pub(crate) fn interpret(bytes: &[u8]) -> Outcome {
    // "Streams must be decoded using the UTF-8 decode algorithm": which strips one leading byte
    // order mark.
    let stream = decode(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    let (lines, rest) = lines(&stream);
    // "When a stream is parsed, a data buffer, an event type buffer, and a last event ID buffer
    // must be associated with it. They must be initialized to the empty string."
    let mut source = Source::default();
    // "Lines must be processed, in the order they are received, as follows".
    for line in lines {
        source.line(&line);
    }
    // "Once the end of the file is reached, any pending data must be discarded": the outcome has it
    // as `unfinished`.
    let mut pending = source.clone();
    if !rest.is_empty() {
        pending.line(&rest);
    }
    let unfinished = (!pending.data_buffer.is_empty()).then(|| pending.data_buffer[1..].to_owned());
    Outcome {
        items: source.items,
        last_event_id: source.last_event_id,
        reconnection_time: source.reconnection_time,
        unfinished: unfinished.map(|data| data.strip_suffix('\n').unwrap_or(&data).to_owned()),
    }
}

#[derive(Clone, Default)]
struct Source {
    /// Has a mark before the first line: without it, an empty buffer and one with an empty line are
    /// equal after the line feed is removed.
    data_buffer: String,
    event_type_buffer: String,
    last_event_id_buffer: String,
    last_event_id: String,
    reconnection_time: Option<u64>,
    items: Vec<Item>,
    /// The ID that was set in this block. The standard has no name for it.
    id_of_block: Option<String>,
    retry_of_block: Option<u64>,
}

impl Source {
    fn line(&mut self, line: &str) {
        if line.is_empty() {
            // "If the line is empty (a blank line): Dispatch the event, as defined below."
            self.dispatch();
        } else if let Some(comment) = line.strip_prefix(':') {
            // "If the line starts with a U+003A COLON character (:): Ignore the line."
            self.items.push(Item::Comment(comment.to_owned()));
        } else if let Some(colon) = line.find(':') {
            // "Collect the characters on the line before the first U+003A COLON character (:), and
            // let field be that string. Collect the characters on the line after the first U+003A
            // COLON character (:), and let value be that string. If value starts with a U+0020
            // SPACE character, remove it from value."
            let value = &line[colon + 1..];
            self.field(&line[..colon], value.strip_prefix(' ').unwrap_or(value));
        } else {
            // "Otherwise, the string is not empty but does not contain a U+003A COLON character
            // (:): Process the field … using the whole line as the field name, and the empty string
            // as the field value."
            self.field(line, "");
        }
    }

    /// "Field names must be compared literally, with no case folding performed."
    fn field(&mut self, name: &str, value: &str) {
        match name {
            // "Set the event type buffer to the field value."
            "event" => self.event_type_buffer = value.to_owned(),
            // "Append the field value to the data buffer, then append a single U+000A LINE FEED (LF)
            // character to the data buffer."
            "data" => {
                if self.data_buffer.is_empty() {
                    self.data_buffer.push('^');
                }
                self.data_buffer.push_str(value);
                self.data_buffer.push('\n');
            }
            // "If the field value does not contain U+0000 NULL, then set the last event ID buffer to
            // the field value. Otherwise, ignore the field."
            "id" => {
                if !value.contains('\0') {
                    self.last_event_id_buffer = value.to_owned();
                    self.id_of_block = Some(value.to_owned());
                }
            }
            // "If the field value consists of only ASCII digits, then interpret the field value as
            // an integer in base ten, and set the event stream's reconnection time to that integer.
            // Otherwise, ignore the field." An empty value is not an integer, as in browsers.
            "retry" => {
                if !value.is_empty() && value.chars().all(|it| it.is_ascii_digit()) {
                    let digits = value.trim_start_matches('0');
                    let number = if digits.is_empty() { "0" } else { digits };
                    let number = number.parse().unwrap_or(u64::MAX);
                    self.reconnection_time = Some(number);
                    self.retry_of_block = Some(number);
                }
            }
            // "Otherwise: The field is ignored."
            _ => self.items.push(Item::Field(name.to_owned(), value.to_owned())),
        }
    }

    fn dispatch(&mut self) {
        // "Set the last event ID string of the event source to the value of the last event ID
        // buffer. The buffer does not get reset".
        self.last_event_id = self.last_event_id_buffer.clone();
        let id = self.id_of_block.take();
        let retry = self.retry_of_block.take();
        // "If the data buffer is an empty string, set the data buffer and the event type buffer to
        // the empty string and return."
        if self.data_buffer.is_empty() {
            self.event_type_buffer.clear();
            if id.is_some() || retry.is_some() {
                self.items.push(Item::Block(id, retry));
            }
            return;
        }
        // "If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove the
        // last character from the data buffer."
        assert_eq!(self.data_buffer.pop(), Some('\n'));
        let data = self.data_buffer[1..].to_owned();
        // "Initialize event's type attribute to "message" …. If the event type buffer has a value
        // other than the empty string, change the type of the newly created event to equal the value
        // of the event type buffer."
        let mut event_type = "message".to_owned();
        if !self.event_type_buffer.is_empty() {
            event_type.clone_from(&self.event_type_buffer);
        }
        self.items.push(Item::Event(event_type, data, self.last_event_id.clone()));
        // "Set the data buffer and the event type buffer to the empty string."
        self.data_buffer.clear();
        self.event_type_buffer.clear();
    }
}

/// "Reading everything line by line, with a CRLF character pair, a single LF character not preceded
/// by a CR character, and a single CR character not followed by a LF character being the ways in
/// which a line can end." Returns the lines, and the last line if it has no end.
fn lines(stream: &str) -> (Vec<String>, String) {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut previous = None;
    for character in stream.chars() {
        match character {
            '\n' if previous == Some('\r') => {}
            '\n' | '\r' => lines.push(std::mem::take(&mut line)),
            other => line.push(other),
        }
        previous = Some(character);
    }
    (lines, line)
}

/// The UTF-8 decoder of the Encoding standard, byte by byte, with replacement.
fn decode(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut code_point, mut seen, mut needed) = (0_u32, 0, 0);
    let (mut lower, mut upper) = (0x80, 0xbf);
    let mut queue: Vec<Option<u8>> = bytes.iter().copied().map(Some).chain([None]).rev().collect();
    while let Some(read) = queue.pop() {
        // "If byte is end-of-queue and UTF-8 bytes needed is not 0, then set UTF-8 bytes needed to
        // 0 and return error."
        let Some(byte) = read else {
            if needed != 0 {
                text.push('\u{fffd}');
            }
            break;
        };
        // "If UTF-8 bytes needed is 0, then based on byte".
        if needed == 0 {
            match byte {
                0x00..=0x7f => text.push(char::from(byte)),
                0xc2..=0xdf => (needed, code_point) = (1, u32::from(byte & 0x1f)),
                0xe0..=0xef => {
                    if byte == 0xe0 {
                        lower = 0xa0;
                    }
                    if byte == 0xed {
                        upper = 0x9f;
                    }
                    (needed, code_point) = (2, u32::from(byte & 0xf));
                }
                0xf0..=0xf4 => {
                    if byte == 0xf0 {
                        lower = 0x90;
                    }
                    if byte == 0xf4 {
                        upper = 0x8f;
                    }
                    (needed, code_point) = (3, u32::from(byte & 0x7));
                }
                _ => text.push('\u{fffd}'),
            }
            continue;
        }
        // "If byte is not in the range UTF-8 lower boundary to UTF-8 upper boundary, inclusive …
        // restore byte to ioQueue and return error."
        if byte < lower || byte > upper {
            (code_point, needed, seen) = (0, 0, 0);
            (lower, upper) = (0x80, 0xbf);
            queue.push(Some(byte));
            text.push('\u{fffd}');
            continue;
        }
        (lower, upper) = (0x80, 0xbf);
        code_point = (code_point << 6) | u32::from(byte & 0x3f);
        seen += 1;
        if seen == needed {
            text.push(char::from_u32(code_point).unwrap());
            (code_point, needed, seen) = (0, 0, 0);
        }
    }
    text
}
