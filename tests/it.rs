//! One test binary, a module for each theme, so that it links once.

#[path = "it/support.rs"]
mod support;
#[path = "it/team.rs"]
mod team;

#[path = "it/adopt_shown.rs"]
mod adopt_shown;
#[path = "it/anchors.rs"]
mod anchors;
#[path = "it/approve.rs"]
mod approve;
#[path = "it/apt.rs"]
mod apt;
#[path = "it/apt_clients.rs"]
mod apt_clients;
#[path = "it/apt_compromise.rs"]
mod apt_compromise;
#[path = "it/apt_killed.rs"]
mod apt_killed;
#[path = "it/arrows.rs"]
mod arrows;
#[path = "it/batch.rs"]
mod batch;
#[path = "it/cab.rs"]
mod cab;
#[path = "it/compile_fail.rs"]
mod compile_fail;
#[path = "it/compromise.rs"]
mod compromise;
#[path = "it/decided.rs"]
mod decided;
#[path = "it/destroy.rs"]
mod destroy;
#[path = "it/docs.rs"]
mod docs;
#[path = "it/doctor.rs"]
mod doctor;
#[path = "it/evidence.rs"]
mod evidence;
#[path = "it/faults.rs"]
mod faults;
#[path = "it/first_signature.rs"]
mod first_signature;
#[path = "it/first_try.rs"]
mod first_try;
#[path = "it/forged.rs"]
mod forged;
#[path = "it/hardening.rs"]
mod hardening;
#[path = "it/hung.rs"]
mod hung;
#[path = "it/import.rs"]
mod import;
#[path = "it/interruption.rs"]
mod interruption;
#[path = "it/keygen.rs"]
mod keygen;
#[path = "it/keyring_package.rs"]
mod keyring_package;
#[path = "it/killing.rs"]
mod killing;
#[path = "it/ledger.rs"]
mod ledger;
#[path = "it/life.rs"]
mod life;
#[path = "it/lost_keys.rs"]
mod lost_keys;
#[path = "it/lying_requests.rs"]
mod lying_requests;
#[path = "it/names.rs"]
mod names;
#[path = "it/packs.rs"]
mod packs;
#[path = "it/people.rs"]
mod people;
#[path = "it/production.rs"]
mod production;
#[path = "it/publication.rs"]
mod publication;
#[path = "it/replay.rs"]
mod replay;
#[path = "it/resign.rs"]
mod resign;
#[path = "it/revoke.rs"]
mod revoke;
#[path = "it/revoke_people.rs"]
mod revoke_people;
#[path = "it/roster.rs"]
mod roster;
#[path = "it/rotation.rs"]
mod rotation;
#[path = "it/rotation_failures.rs"]
mod rotation_failures;
#[path = "it/rotation_kills.rs"]
mod rotation_kills;
#[path = "it/rotation_people.rs"]
mod rotation_people;
#[path = "it/rotation_time.rs"]
mod rotation_time;
#[path = "it/same_file.rs"]
mod same_file;
#[path = "it/shapes.rs"]
mod shapes;
#[path = "it/sizes.rs"]
mod sizes;
#[path = "it/softhsm.rs"]
mod softhsm;
#[path = "it/strict.rs"]
mod strict;
#[path = "it/surroundings.rs"]
mod surroundings;
#[path = "it/terminal.rs"]
mod terminal;
#[path = "it/timestamps.rs"]
mod timestamps;
#[path = "it/tokens.rs"]
mod tokens;
#[path = "it/trust.rs"]
mod trust;
#[path = "it/tsa.rs"]
mod tsa;
#[path = "it/used_up.rs"]
mod used_up;
#[path = "it/verify.rs"]
mod verify;
#[path = "it/ways_in.rs"]
mod ways_in;
