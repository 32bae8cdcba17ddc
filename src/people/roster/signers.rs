//! The roster as OpenSSH's file of allowed signers, so that anyone can check a signature without this program:
//! `ssh-keygen -Y verify -f FILE -I EMAIL -n NAMESPACE -s SIGNATURE < REQUEST`.

use super::{Roster, SigningKey};
use crate::clock::Time;
use crate::people::Namespace;

impl Roster {
    /// One line for each key (ssh-keygen(1), ALLOWED SIGNERS).
    pub fn to_allowed_signers(&self, origin: &str) -> String {
        let namespaces: Vec<_> = Namespace::ALL.iter().map(|namespace| namespace.of(origin)).collect();
        let namespaces = namespaces.join(",");
        let keys = self.people.iter().flat_map(|(email, person)| person.keys.iter().map(move |key| (email, key)));
        let line = |key: &SigningKey| format!("namespaces=\"{namespaces}\"{} {}", validity(key), key.public_key);
        keys.map(|(email, key)| format!("{email} {}\n", line(key))).collect()
    }
}

fn validity(key: &SigningKey) -> String {
    let time = |time: Time| time.format("%Y%m%d%H%M%SZ");
    let from = key.valid_from.map(|from| format!(",valid-after=\"{}\"", time(from)));
    // OpenSSH counts the last moment in, we do not.
    let to = key.valid_to.map(|to| format!(",valid-before=\"{}\"", time(to - chrono::TimeDelta::seconds(1))));
    from.into_iter().chain(to).collect()
}
