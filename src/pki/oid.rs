//! Object identifiers of RFC 5280, 4055, 5758, 8410, 3161, the CA/Browser Forum and Apple that this folder knows.

use const_oid::ObjectIdentifier;

/// Shortens the table.
macro_rules! oids {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($text);)*
    };
}

oids! {
    /// commonName (X.520).
    COMMON_NAME = "2.5.4.3";
    /// countryName (X.520).
    COUNTRY = "2.5.4.6";
    /// localityName (X.520).
    LOCALITY = "2.5.4.7";
    /// stateOrProvinceName (X.520).
    STATE = "2.5.4.8";
    /// streetAddress (X.520).
    STREET = "2.5.4.9";
    /// organizationName (X.520).
    ORGANIZATION = "2.5.4.10";
    /// organizationalUnitName (X.520).
    ORGANIZATIONAL_UNIT = "2.5.4.11";
    /// serialNumber (X.520).
    SERIAL_NUMBER = "2.5.4.5";
    /// domainComponent (RFC 4519).
    DOMAIN_COMPONENT = "0.9.2342.19200300.100.1.25";
    /// userId (RFC 4519).
    USER_ID = "0.9.2342.19200300.100.1.1";

    /// subjectKeyIdentifier (RFC 5280 §4.2.1.2).
    SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
    /// keyUsage (RFC 5280 §4.2.1.3).
    KEY_USAGE = "2.5.29.15";
    /// subjectAltName (RFC 5280 §4.2.1.6).
    SUBJECT_ALT_NAME = "2.5.29.17";
    /// basicConstraints (RFC 5280 §4.2.1.9).
    BASIC_CONSTRAINTS = "2.5.29.19";
    /// cRLNumber (RFC 5280 §5.2.3).
    CRL_NUMBER = "2.5.29.20";
    /// reasonCode (RFC 5280 §5.3.1).
    REASON_CODE = "2.5.29.21";
    /// invalidityDate (RFC 5280 §5.3.2).
    INVALIDITY_DATE = "2.5.29.24";
    /// deltaCRLIndicator (RFC 5280 §5.2.4).
    DELTA_CRL_INDICATOR = "2.5.29.27";
    /// issuingDistributionPoint (RFC 5280 §5.2.5).
    ISSUING_DISTRIBUTION_POINT = "2.5.29.28";
    /// certificateIssuer of a CRL entry (RFC 5280 §5.3.3).
    CERTIFICATE_ISSUER = "2.5.29.29";
    /// nameConstraints (RFC 5280 §4.2.1.10).
    NAME_CONSTRAINTS = "2.5.29.30";
    /// cRLDistributionPoints (RFC 5280 §4.2.1.13).
    CRL_DISTRIBUTION_POINTS = "2.5.29.31";
    /// certificatePolicies (RFC 5280 §4.2.1.4).
    CERTIFICATE_POLICIES = "2.5.29.32";
    /// authorityKeyIdentifier (RFC 5280 §4.2.1.1).
    AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
    /// extKeyUsage (RFC 5280 §4.2.1.12).
    EXTENDED_KEY_USAGE = "2.5.29.37";
    /// freshestCRL (RFC 5280 §5.2.6).
    FRESHEST_CRL = "2.5.29.46";
    /// authorityInfoAccess (RFC 5280 §4.2.2.1).
    AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1";
    /// id-ad-ocsp (RFC 5280 §4.2.2.1).
    AD_OCSP = "1.3.6.1.5.5.7.48.1";
    /// id-ad-caIssuers (RFC 5280 §4.2.2.1).
    AD_CA_ISSUERS = "1.3.6.1.5.5.7.48.2";

    /// anyExtendedKeyUsage (RFC 5280 §4.2.1.12).
    ANY_EXTENDED_KEY_USAGE = "2.5.29.37.0";
    /// id-kp-serverAuth.
    SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
    /// id-kp-clientAuth.
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
    /// id-kp-codeSigning.
    CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
    /// id-kp-emailProtection.
    EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4";
    /// id-kp-timeStamping.
    TIME_STAMPING = "1.3.6.1.5.5.7.3.8";
    /// Apple: package signing, "Developer ID Installer".
    APPLE_INSTALLER = "1.2.840.113635.100.4.13";
    /// Apple: marker extension of a Developer ID Installer certificate.
    APPLE_INSTALLER_MARKER = "1.2.840.113635.100.6.1.14";
    /// Apple: marker extension of a Developer ID Application certificate.
    APPLE_APPLICATION_MARKER = "1.2.840.113635.100.6.1.13";
    /// Apple: marker extension of the Developer ID intermediate.
    APPLE_DEVELOPER_ID_CA_MARKER = "1.2.840.113635.100.6.2.6";

    /// rsaEncryption (RFC 8017).
    RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
    /// id-mgf1 (RFC 8017).
    MGF1 = "1.2.840.113549.1.1.8";
    /// id-RSASSA-PSS (RFC 8017).
    RSASSA_PSS = "1.2.840.113549.1.1.10";
    /// sha256WithRSAEncryption (RFC 8017).
    SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
    /// sha384WithRSAEncryption (RFC 8017).
    SHA384_WITH_RSA = "1.2.840.113549.1.1.12";
    /// sha512WithRSAEncryption (RFC 8017).
    SHA512_WITH_RSA = "1.2.840.113549.1.1.13";
    /// id-ecPublicKey (RFC 5480).
    EC_PUBLIC_KEY = "1.2.840.10045.2.1";
    /// ecdsa-with-SHA256 (RFC 5758).
    ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";
    /// ecdsa-with-SHA384 (RFC 5758).
    ECDSA_WITH_SHA384 = "1.2.840.10045.4.3.3";
    /// ecdsa-with-SHA512 (RFC 5758).
    ECDSA_WITH_SHA512 = "1.2.840.10045.4.3.4";
    /// id-Ed25519 (RFC 8410).
    ED25519 = "1.3.101.112";
}
