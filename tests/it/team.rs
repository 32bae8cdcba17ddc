//! People with SSH keys, and a staging workspace of theirs on software tokens.

use crate::support::{Place, Ran, tool};
use keyctl::config::Config;
use std::path::{Path, PathBuf};

/// Where signatures say what they are for.
pub const ORIGIN: &str = "staging.example/keyctl";
pub const ROSTER: &str = "keyctl-roster-v1";
pub const APPROVAL: &str = "keyctl-approval-v1";

/// A staging workspace's people, each with an SSH key.
pub struct Team {
    pub place: Place,
}

pub const PEOPLE: &[(&str, &[&str], &str)] = &[
    ("alice@example.com", &["security-reviewer"], "ed25519"),
    ("bob@example.com", &["platform-admin"], "ecdsa"),
    ("carol@example.com", &["packaging-engineer", "linux-packaging-owner"], "ed25519"),
    ("dan@example.com", &["cab-approver"], "ed25519"),
    ("erin@example.com", &["security-reviewer", "platform-admin"], "ed25519"),
];

impl Team {
    /// People, keys, and files to found a workspace with; nothing is founded yet.
    pub fn new() -> Self {
        let team = Team { place: Place::new() };
        for (email, _, kind) in PEOPLE {
            team.make_key(email, kind);
        }
        std::fs::write(team.place.path("keyctl.toml"), staging()).expect("keyctl.toml");
        team.write_roster("roster.toml", 1, |_, _| {});
        team
    }

    /// A founded workspace.
    pub fn founded() -> Self {
        let team = Team::new();
        let request = team.begin();
        for (email, ..) in PEOPLE {
            team.sign(email, ROSTER, &request);
        }
        team.keyctl("alice@example.com", &["init"]).ok();
        team
    }

    /// The first run of `init`: gives the request that everyone is to sign.
    pub fn begin(&self) -> PathBuf {
        let ran = self.init("alice@example.com").fails(5, "approval_needed");
        PathBuf::from(ran.one()["request"].as_str().expect("a request"))
    }

    /// `init` with the files of this place, by the person with this key.
    pub fn init(&self, email: &str) -> Ran {
        self.keyctl(email, &["init", "--from", "keyctl.toml"])
    }

    pub fn make_key(&self, email: &str, kind: &str) {
        let file = self.key(email);
        let args = ["-q", "-N", "", "-C", email, "-t", kind, "-f"];
        assert!(tool("ssh-keygen").args(args).arg(&file).status().expect("ssh-keygen").success());
    }

    pub fn key(&self, email: &str) -> PathBuf {
        self.place.path(format!("{email}.key"))
    }

    pub fn line(&self, email: &str) -> String {
        let file = self.place.path(format!("{email}.key.pub"));
        std::fs::read_to_string(file).expect("a public key").trim().to_owned()
    }

    /// Writes a roster of everyone, after `change` was applied to each entry's text.
    pub fn write_roster(&self, name: &str, version: u32, change: impl Fn(&str, &mut String)) {
        let mut text = format!("version = {version}\n");
        for (email, roles, _) in PEOPLE {
            let roles: Vec<_> = roles.iter().map(|role| format!("{role:?}")).collect();
            let mut entry = format!(
                "\n[people.\"{email}\"]\nname = \"{email}\"\nroles = [{}]\nkeys = [{{ public_key = \"{}\" }}]\n",
                roles.join(", "),
                self.line(email)
            );
            change(email, &mut entry);
            text += &entry;
        }
        std::fs::write(self.place.path(name), text).expect("a roster");
    }

    /// A command that waits for others: gives its request.
    #[track_caller]
    pub fn asks(&self, email: &str, args: &[&str]) -> PathBuf {
        let ran = self.keyctl(email, args).fails(5, "approval_needed");
        let row = ran.json().into_iter().find(|row| row["request"].is_string()).expect("a request");
        PathBuf::from(row["request"].as_str().expect("a path"))
    }

    /// `run` of a request, by nobody in particular.
    pub fn run(&self, request: &Path) -> Ran {
        let id = request.file_stem().and_then(|stem| stem.to_str()).expect("an id");
        self.anyone(&["run", id])
    }

    /// A signature by `ssh-keygen`, put beside the request.
    pub fn sign(&self, email: &str, namespace: &str, request: &Path) -> PathBuf {
        let signature = request.with_extension(format!("{email}.{namespace}.sig"));
        std::fs::write(&signature, self.signature(email, &format!("{namespace}@{ORIGIN}"), request)).expect("written");
        signature
    }

    pub fn signature(&self, email: &str, namespace: &str, request: &Path) -> Vec<u8> {
        let input = std::fs::File::open(request).expect("a request");
        let output = tool("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(self.key(email))
            .stdin(input)
            .output()
            .expect("ssh-keygen");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// The binary, used by this person with their key.
    pub fn keyctl(&self, email: &str, args: &[&str]) -> Ran {
        let key = self.key(email);
        let identity = ["--workspace", ".keyctl-sandbox", "--identity", key.to_str().expect("UTF-8")];
        self.place.keyctl(&[&identity[..], args].concat())
    }

    /// The binary, used by nobody in particular.
    pub fn anyone(&self, args: &[&str]) -> Ran {
        self.place.keyctl(&[&["--workspace", ".keyctl-sandbox"], args].concat())
    }
}

/// A command that was printed, typed into a shell as it stands by this person.
pub fn typed(team: &Team, email: &str, command: &str) -> Ran {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", command]);
    let mut shell = team.place.as_if(shell);
    let binary = Path::new(env!("CARGO_BIN_EXE_keyctl")).parent().expect("a folder").display().to_string();
    let path = format!("{binary}:{}", std::env::var("PATH").expect("a path"));
    shell.env("PATH", path).env("KEYCTL_WORKSPACE", team.place.workspace()).env("KEYCTL_IDENTITY", team.key(email));
    crate::support::ran(shell.output().expect("sh runs"))
}

/// The sandbox's settings, for a staging workspace: the same software tokens, but people have to agree.
pub fn staging() -> String {
    let mut text = Config::render_default("Example Corp", ORIGIN);
    text = text.replace("environment = \"sandbox\"", "environment = \"staging\"");
    text = text.replace("\"ecdsa-p256\"", "\"ecdsa-p384\"");
    for key in ["windows-ca", "windows"] {
        let table = format!("[keys.{key}]\n");
        let url = |name, ending| format!("{name} = \"http://pki.staging.example/{key}.{ending}\"\n");
        text = text.replace(&table, &format!("{table}{}{}", url("crl_url", "crl"), url("aia_url", "crt")));
    }
    text
}

pub fn sha256(path: &Path) -> String {
    let output = tool("sha256sum").arg(path).output().expect("sha256sum");
    String::from_utf8_lossy(&output.stdout).split(' ').next().expect("a hash").to_owned()
}

pub fn private(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}
