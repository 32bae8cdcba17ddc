//! A person's terminal: the binary in tmux, which shows what a person would see and types what a person would type.

use crate::support::{Place, tool};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A terminal with one program in it.
pub struct Screen {
    socket: PathBuf,
}

impl Screen {
    /// Runs a command of [`Place::command`] in a terminal of its own.
    pub fn run(place: &Place, command: &Command) -> Self {
        let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_string_lossy().replace('\'', r"'\''"));
        let mut script = format!("cd {}\n", quoted(place.path("").as_os_str()));
        for (name, value) in command.get_envs() {
            let name = name.to_string_lossy();
            script += &value.map_or(format!("unset {name}\n"), |value| format!("export {name}={}\n", quoted(value)));
        }
        script += &quoted(command.get_program());
        command.get_args().for_each(|argument| script += &format!(" {}", quoted(argument)));
        script += "\necho \"[exit $?]\"\nsleep 600\n";
        let name = uuid::Uuid::new_v4().simple().to_string();
        let file = place.path(format!("{name}.sh"));
        std::fs::write(&file, script).expect("writable");
        let screen = Screen { socket: place.path(&name[..8]) };
        let line = format!("bash {}", quoted(file.as_os_str()));
        screen.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "110", "-y", "200", &line]);
        screen
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = tool("tmux").arg("-S").arg(&self.socket).args(arguments).output().expect("tmux");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).trim_end().to_owned()
    }

    /// Waits until the screen shows these words, and gives everything on it.
    #[track_caller]
    pub fn shows(&self, words: &str) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let text = self.text();
            if text.contains(words) {
                return text;
            }
            assert!(Instant::now() < until, "{words:?} does not come up in\n{text}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Types a line.
    pub fn types(&self, line: &str) {
        self.tmux(&["send-keys", "-l", "--", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    /// Pastes a text.
    pub fn pastes(&self, text: &str) {
        let mut load = tool("tmux");
        load.arg("-S").arg(&self.socket).args(["load-buffer", "-"]).stdin(Stdio::piped());
        let mut load = load.spawn().expect("tmux");
        load.stdin.take().expect("piped").write_all(text.as_bytes()).expect("tmux reads");
        assert!(load.wait().expect("tmux ends").success());
        self.tmux(&["paste-buffer"]);
    }

    /// Waits for the program's end, and gives everything on the screen.
    #[track_caller]
    pub fn exits(&self, code: i32) -> String {
        let text = self.shows("[exit ");
        assert!(text.contains(&format!("[exit {code}]")), "{text}");
        text
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = tool("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}
