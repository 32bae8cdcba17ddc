//! `roster.toml` as the program writes it.

use super::{Roster, SigningKey};
use crate::clock::rfc3339;

impl Roster {
    /// A `roster.toml` that reads back as this roster.
    pub fn to_toml(&self) -> String {
        let mut out = String::from(
            "# Who may ask and who may approve (keyctl adopt takes changes over).\n\
             # Raise the version by one with each change.\n",
        );
        out.push_str(&format!("version = {}\n", self.version));
        for (email, person) in &self.people {
            let roles: Vec<_> = person.roles.iter().map(|role| quoted(role.as_str())).collect();
            out.push_str(&format!("\n[people.{}]\n", quoted(email.as_str())));
            out.push_str(&format!("name  = {}\n", quoted(&person.name)));
            out.push_str(&format!("roles = [{}]\n", roles.join(", ")));
            if let Some(key) = &person.encryption_key {
                out.push_str(&format!("encryption_key = {}\n", quoted(key)));
            }
            for key in &person.keys {
                write_key(&mut out, email.as_str(), key);
            }
        }
        out
    }
}

fn write_key(out: &mut String, email: &str, key: &SigningKey) {
    out.push_str(&format!("\n[[people.{}.keys]]\n", quoted(email)));
    out.push_str(&format!("public_key = {}\n", quoted(&key.public_key)));
    for (name, time) in [("valid_from", key.valid_from), ("valid_to", key.valid_to)] {
        if let Some(time) = time {
            out.push_str(&format!("{name} = {}\n", rfc3339(time)));
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
