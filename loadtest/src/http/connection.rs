//! One keep-alive connection: send a request, read its response. Just enough HTTP/1.1 to stay cheap beside the server.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A response larger than this is an error.
const RESPONSE_BYTES_MAX: usize = 1 << 20;
const CONNECT_SECS_MAX: Duration = Duration::from_secs(5);

pub struct Connection {
    address: SocketAddr,
    timeout: Duration,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr, timeout: Duration) -> io::Result<Connection> {
        let mut connection = Connection { address, timeout, stream: None, buffer: Vec::with_capacity(4096) };
        connection.stream()?;
        Ok(connection)
    }

    fn stream(&mut self) -> io::Result<&mut TcpStream> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, CONNECT_SECS_MAX)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(self.timeout))?;
            stream.set_write_timeout(Some(self.timeout))?;
            self.stream = Some(stream);
        }
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Gives the status. After an error, or when the server closes, the next request opens a new connection.
    pub fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        let result = self.try_exchange(request);
        match result {
            Ok((status, keep)) => {
                if !keep {
                    self.stream = None;
                }
                Ok(status)
            }
            Err(error) => {
                self.stream = None;
                Err(error)
            }
        }
    }

    /// The body of the last response; as sent when it came in chunks.
    pub fn body(&self) -> &[u8] {
        let head = self.buffer.windows(4).position(|window| window == b"\r\n\r\n");
        head.map_or(&[], |end| &self.buffer[end + 4..])
    }

    /// Whether the last response had this header; its name in lower case.
    pub fn has_header(&self, name: &str) -> bool {
        let head = self.buffer.split(|byte| *byte == b'\n').take_while(|line| line.len() > 1);
        head.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':')).any(|(found, _)| found.eq_ignore_ascii_case(name))
    }

    fn try_exchange(&mut self, request: &[u8]) -> io::Result<(u16, bool)> {
        self.stream()?.write_all(request)?;
        self.buffer.clear();
        loop {
            if let Some(response) = parse(&self.buffer)? {
                return Ok(response);
            }
            if self.buffer.len() > RESPONSE_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the response is too large"));
            }
            let mut chunk = [0; 4096];
            let read = self.stream()?.read(&mut chunk)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }
}

/// Status, and whether the connection stays; `None` until the response is whole.
fn parse(bytes: &[u8]) -> io::Result<Option<(u16, bool)>> {
    let invalid = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    let Some(head_len) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..head_len]).map_err(|_| invalid("the response head is not text"))?;
    let body = &bytes[head_len + 4..];
    let mut lines = head.split("\r\n");
    let status_line = lines.next().filter(|line| line.starts_with("HTTP/1.")).ok_or_else(|| invalid("not HTTP/1"))?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| invalid("no status"))?;
    let (mut length, mut chunked, mut keep) = (None, false, true);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().map_err(|_| invalid("a content-length that is no number"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            keep = !value.eq_ignore_ascii_case("close");
        }
    }
    let whole = match length {
        _ if chunked => body.ends_with(b"0\r\n\r\n"),
        Some(length) => body.len() >= length,
        None => status == 204,
    };
    if !whole && !chunked && length.is_none() {
        return Err(invalid("a response without a length"));
    }
    Ok(whole.then_some((status, keep)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_whole_or_awaited() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Some(Some((200, true)))),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{", Some(None)),
            ("HTTP/1.1 503 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", Some(Some((503, false)))),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", Some(Some((200, true)))),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", Some(None)),
            ("HTTP/1.1 200 OK\r\n", Some(None)),
            ("SSH-2.0\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\n\r\n", None),
        ] {
            assert_eq!(parse(text.as_bytes()).ok(), expected, "{text:?}");
        }
    }
}
