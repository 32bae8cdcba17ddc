//! What keys are for, and what that means for them.

words! {
    /// What a key is for (design §4).
    Purpose: "purpose" {
        /// Self-signed CA; issues intermediates only.
        RootCa = "root-ca",
        /// Issues leaf certificates of one kind.
        IntermediateCa = "intermediate-ca",
        /// Signs Windows artifacts.
        Authenticode = "authenticode",
        /// Signs macOS flat packages.
        Installer = "installer",
        /// OpenPGP signing subkey for APT repositories.
        Apt = "apt",
        /// OpenPGP primary key that certifies `apt` subkeys.
        OpenpgpPrimary = "openpgp-primary",
        /// Client certificate of a connector.
        Connector = "connector",
        /// Signs checkpoints of the ledger.
        Ledger = "ledger",
    }
}

impl Purpose {
    /// Whether such a key issues X.509 certificates, and so revocation lists.
    pub fn is_ca(self) -> bool {
        match self {
            Purpose::RootCa | Purpose::IntermediateCa => true,
            Purpose::Authenticode
            | Purpose::Installer
            | Purpose::Apt
            | Purpose::OpenpgpPrimary
            | Purpose::Connector
            | Purpose::Ledger => false,
        }
    }

    /// Whether such a key is certified the OpenPGP way.
    pub fn is_openpgp(self) -> bool {
        match self {
            Purpose::Apt | Purpose::OpenpgpPrimary => true,
            Purpose::RootCa
            | Purpose::IntermediateCa
            | Purpose::Authenticode
            | Purpose::Installer
            | Purpose::Connector
            | Purpose::Ledger => false,
        }
    }

    /// Whether artifacts are signed with such a key.
    pub fn signs_artifacts(self) -> bool {
        match self {
            Purpose::Authenticode | Purpose::Installer | Purpose::Apt => true,
            Purpose::RootCa
            | Purpose::IntermediateCa
            | Purpose::OpenpgpPrimary
            | Purpose::Connector
            | Purpose::Ledger => false,
        }
    }

    /// Whether trust begins with such a key: nothing of ours certifies it.
    pub fn is_trust_anchor(self) -> bool {
        match self {
            Purpose::RootCa | Purpose::OpenpgpPrimary | Purpose::Ledger => true,
            Purpose::IntermediateCa
            | Purpose::Authenticode
            | Purpose::Installer
            | Purpose::Apt
            | Purpose::Connector => false,
        }
    }

    /// Whether people agree to its making and its rotation under the rules for CAs: what others are certified by, and
    /// the key that the ledger's word rests on.
    pub fn falls_under_ca_rules(self) -> bool {
        match self {
            Purpose::RootCa | Purpose::IntermediateCa | Purpose::OpenpgpPrimary | Purpose::Ledger => true,
            Purpose::Authenticode | Purpose::Installer | Purpose::Apt | Purpose::Connector => false,
        }
    }
}
