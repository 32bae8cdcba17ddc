//! Questions to the person at the terminal, whatever stdin and stdout are connected to: what has to be read before
//! it is answered must be seen, and an answer must come from a person.

use crate::error::{Context, Error, Kind, Result};
use rustix::termios::{QueueSelector, tcflush};
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Write};

/// The longest answer, in bytes.
const MAX_ANSWER: usize = 1024;

/// The process's own terminal.
#[derive(Debug)]
pub struct Terminal(File);

impl Terminal {
    /// The terminal, if there is one.
    pub fn open() -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        file.is_terminal().then_some(Terminal(file))
    }

    /// Shows text. It is printed as it is, so names from outside are escaped before.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn show(&mut self, text: &str) -> Result<()> {
        self.0.write_all(text.as_bytes()).or_kind(Kind::Unavailable, "no_terminal", || "the terminal is gone".into())
    }

    /// Asks, and reads one line, without the space around it. What was typed or pasted before the question is thrown
    /// away.
    ///
    /// # Errors
    /// `not_confirmed` if the answer is the end of input or too long; the terminal is gone.
    pub fn ask(&mut self, question: &str) -> Result<String> {
        let _ = tcflush(&self.0, QueueSelector::IFlush);
        self.show(question)?;
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            let read = self.0.read(&mut byte);
            match read.or_kind(Kind::Unavailable, "no_terminal", || "the terminal is gone".into())? {
                0 => return Err(Error::new(Kind::Interrupted, "not_confirmed", "there was no answer")),
                _ if byte == *b"\n" => break,
                _ if line.len() >= MAX_ANSWER => {
                    return Err(Error::blocked("not_confirmed", "the answer is too long"));
                }
                _ => line.extend(byte),
            }
        }
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }
}
