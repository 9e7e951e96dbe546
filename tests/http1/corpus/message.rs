//! A message taken apart only as far as two of them can be compared.

/// First line, field lines, and all behind the empty line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    first: Vec<u8>,
    /// As they were written, sorted by name; those of one name in their order.
    lines: Vec<Vec<u8>>,
    body: Vec<u8>,
}

fn name(line: &[u8]) -> Vec<u8> {
    line.split(|&byte| byte == b':').next().unwrap_or_default().to_ascii_lowercase()
}

fn value(line: &[u8]) -> &[u8] {
    line.iter().position(|&byte| byte == b':').map_or(&[][..], |colon| line[colon + 1..].trim_ascii())
}

impl Message {
    /// Takes `bytes` apart.
    pub(super) fn of(bytes: &[u8]) -> Result<Message, String> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.ok_or_else(|| format!("no head: {}", bytes.escape_ascii()))?;
        let mut lines = bytes[..end].split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec());
        let first = lines.next().unwrap_or_default();
        let mut lines: Vec<_> = lines.collect();
        lines.sort_by_key(|line| name(line));
        Ok(Message { first, lines, body: bytes[end + 4..].to_vec() })
    }

    fn has(&self, wanted: &[u8]) -> bool {
        self.lines.iter().any(|line| name(line) == wanted)
    }

    /// Adds what Tidegate tells a replica about a request that came from here.
    pub(super) fn with_ours(mut self) -> Message {
        let host = self.lines.iter().find(|line| name(line) == b"host").map(|line| value(line).escape_ascii().to_string());
        let host = host.unwrap_or_default();
        let quote = if host.contains([':', '[']) { "\"" } else { "" };
        let told = if host.is_empty() { String::new() } else { format!(";host={quote}{host}{quote}") };
        self.lines.extend([
            b"X-Forwarded-For: 127.0.0.1".to_vec(),
            b"X-Forwarded-Proto: http".to_vec(),
            format!("Forwarded: for=127.0.0.1{told};proto=http").into_bytes(),
        ]);
        self.lines.extend((!host.is_empty()).then(|| format!("X-Forwarded-Host: {host}").into_bytes()));
        self.lines.sort_by_key(|line| name(line));
        self
    }

    /// With its names in lower case, as HTTP/2 has them.
    pub(super) fn in_lower_case(mut self) -> Message {
        for line in &mut self.lines {
            let length = name(line).len();
            line[..length].make_ascii_lowercase();
        }
        self
    }

    /// Leaves out the `X-Request-Id` that Tidegate made, unless `expected` has one.
    pub(super) fn without_made_id(mut self, expected: &[u8]) -> Message {
        if Message::of(expected).is_ok_and(|expected| !expected.has(b"x-request-id")) {
            let made = |line: &[u8]| name(line) == b"x-request-id" && value(line).len() == 32;
            if let Some(at) = self.lines.iter().position(|line| made(line)) {
                self.lines.remove(at);
            }
        }
        self
    }

    /// Leaves out one `Date` of an answer that is final, unless `expected` has one.
    pub(super) fn without_made_date(mut self, expected: &[u8]) -> Message {
        let interim = self.first.starts_with(b"HTTP/1.1 1");
        if !interim && Message::of(expected).is_ok_and(|expected| !expected.has(b"date")) {
            match self.lines.iter().position(|line| name(line) == b"date" && value(line).ends_with(b" GMT")) {
                Some(at) => _ = self.lines.remove(at),
                None => self.lines.push(b"(no Date)".to_vec()),
            }
        }
        self
    }

    fn show(&self) -> String {
        let lines: Vec<_> = self.lines.iter().map(|line| format!("\n        {}", line.escape_ascii())).collect();
        format!("{}{}\n        ({} bytes) {}", self.first.escape_ascii(), lines.concat(), self.body.len(), self.body.escape_ascii())
    }
}

/// Says how `got` differs from `expected`.
pub(super) fn differs(got: Message, expected: Message) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("got\n      {}\n    instead of\n      {}", got.show(), expected.show())) }
}
