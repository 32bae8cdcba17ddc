//! The `keyctl.toml` that `init --sandbox` writes: a whole hierarchy on software tokens, with a word on each part.

use toml::Value;

/// See [`super::Config::render_default`].
pub(super) fn sandbox(organization: &str, origin: &str) -> String {
    let (name, origin) = (quoted(organization), quoted(origin));
    let tokens: String = ["root", "issuing", "primary"].map(token).concat();
    let subject = |what: &str| {
        format!(
            "{{ country = \"ZZ\", locality = \"Sandbox\", organization = {name}, common_name = {} }}",
            quoted(&common_name(organization, what))
        )
    };
    let apt_root = quoted(&common_name(organization, "Sandbox APT"));
    format!(
        r#"# Settings of this keyctl workspace. After a change that bears on security, run: keyctl adopt

# production, staging or sandbox; fixed for good when the workspace is made.
environment = "sandbox"

[organization]
name   = {name}
# Names this ledger in checkpoints and in people's signatures.
origin = {origin}

# Tokens. A sandbox uses software tokens inside keyctl, kept in tokens/NAME. A hardware token is
# module = "/absolute/path.so" with token = "LABEL" or serial = "…", and its pin comes from
# {{ env = "NAME" }}, {{ file = "PATH" }}, {{ fd = 3 }}, {{ command = "…" }} or {{ prompt = true }}.
{tokens}
# Keys. An issuer certifies its subordinates; without one, a key stands for itself.
[keys.root]
purpose          = "root-ca"
algorithm        = "ecdsa-p256"
hsm              = ["root"]
rotation_days    = 90
subject          = {root}

[keys.windows-ca]
purpose          = "intermediate-ca"
issuer           = "root"
algorithm        = "ecdsa-p256"
hsm              = ["issuing"]
rotation_days    = 90
subject          = {windows_ca}

# Signs Windows artifacts. It stops signing at rotation_days; its successor is made rotate_lead_days earlier.
[keys.windows]
purpose          = "authenticode"
issuer           = "windows-ca"
algorithm        = "ecdsa-p256"
owner            = "packaging-engineer"
hsm              = ["primary"]
rotation_days    = 90
rotate_lead_days = 14
custody          = "bound"
subject          = {windows}

# Certifies the keys that sign APT repositories, and signs nothing else. Its User ID is common_name <email>.
[keys.apt-root]
purpose          = "openpgp-primary"
algorithm        = "ed25519"
owner            = "linux-packaging-owner"
hsm              = ["root"]
rotation_days    = 730
custody          = "bound"
subject          = {{ common_name = {apt_root}, email = "apt@sandbox.invalid" }}

# Signs APT repositories: a folder with a Release file. The archive is what clients put into their sources.
[keys.apt]
purpose          = "apt"
issuer           = "apt-root"
algorithm        = "ed25519"
owner            = "linux-packaging-owner"
hsm              = ["primary"]
rotation_days    = 90
custody          = "bound"
archive          = "https://apt.sandbox.invalid stable main"

# Signs the checkpoints of the ledger.
[keys.ledger]
purpose          = "ledger"
algorithm        = "ed25519"
hsm              = ["primary"]
rotation_days    = 90

# A sandbox needs no network, so it asks no timestamp authority.
[timestamp]
authorities = []
trust       = []

# Who may do what. Left out, the strict rules hold; a rule of one's own looks like this:
# [policy.revoke]
# threshold = 2
# roles = ["security-reviewer", "packaging-engineer"]
# must_include = ["security-reviewer"]
# max_age_hours = 24
# asserted = false  # whoever asks proves it with their own key; only sign, crl, recover, drill and backup may say true

# published/ may be a git work tree of its own. It is then committed after each change, and pushed if it has the remote.
# [publication]
# git    = "push"    # or "commit", true (push where there is the remote), false
# remote = "origin"
# branch = "main"

# A value in somebody else's TOML or JSON file that follows a key's rotation; nothing else in the file changes.
# [pipelines.windows-build]
# file  = "/srv/pipelines/windows.toml"
# field = "signing.windows.thumbprint"
# key   = "windows"
# value = "thumbprint"    # or "fingerprint", "certificate", "generation"
# git   = "push"          # where the file lies in a work tree; remote and branch as above

[rotation]
revoke_retired = "superseded"     # or "never"
resign_after   = "untimestamped"  # or "all", "none"
# How many days a new APT key is in the published keyring before it may sign; a sandbox does not wait.
publish_safety_days = 30
"#,
        root = subject("Sandbox Root CA"),
        windows_ca = subject("Sandbox Windows CA"),
        windows = subject("Sandbox"),
    )
}

fn token(name: &str) -> String {
    format!("[hsm.{name}]\nmodule = \"builtin\"\ntoken  = \"{name}\"\npin    = {{ file = \"tokens/{name}/pin\" }}\n\n")
}

/// ORGANIZATION and then WHAT, in at most 64 characters.
fn common_name(organization: &str, what: &str) -> String {
    let room = 63usize.saturating_sub(what.chars().count());
    let start: String = organization.chars().take(room).collect();
    format!("{} {what}", start.trim_end())
}

/// A TOML string.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
