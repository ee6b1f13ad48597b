//! What a certificate says: whose it is, and for how long. That it may be believed was checked by
//! rustls before.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{
    Ia5StringRef, ObjectIdentifier, PrintableStringRef, TeletexStringRef, Utf8StringRef,
};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::config::ClientIdentity;

/// The name in `certificate` that is its owner's identity: the first common name, or the first DNS
/// name, address or URI among the alternative names. A name that is empty or has control characters
/// is nobody's: it could forge what is made of it later.
pub(super) fn identity(certificate: &CertificateDer<'_>, kind: ClientIdentity) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let name = match kind {
        ClientIdentity::None => None,
        ClientIdentity::Cn => common_name(&certificate),
        ClientIdentity::San => alternative_name(&certificate),
    };
    name.filter(|name| !name.is_empty() && !name.chars().any(char::is_control))
}

/// What is wrong with the dates of `certificate` now, in words.
pub(super) fn not_valid_now(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate.validity;
    let now = SystemTime::now();
    if now > validity.not_after.to_system_time() {
        Some(format!("the certificate expired at {}", validity.not_after))
    } else if now < validity.not_before.to_system_time() {
        let from = validity.not_before;
        Some(format!("the certificate is not valid before {from}"))
    } else {
        None
    }
}

fn common_name(certificate: &Certificate) -> Option<String> {
    let subject = &certificate.tbs_certificate.subject;
    let mut attributes = subject.0.iter().flat_map(|names| names.0.iter());
    attributes
        .find(|attribute| attribute.oid == COMMON_NAME)
        .and_then(text)
}

/// The text of an attribute, whichever of the types of strings it has.
fn text(attribute: &AttributeTypeAndValue) -> Option<String> {
    let value = &attribute.value;
    None.or_else(|| Some(Utf8StringRef::try_from(value).ok()?.as_str().to_owned()))
        .or_else(|| {
            Some(
                PrintableStringRef::try_from(value)
                    .ok()?
                    .as_str()
                    .to_owned(),
            )
        })
        .or_else(|| Some(Ia5StringRef::try_from(value).ok()?.as_str().to_owned()))
        .or_else(|| Some(TeletexStringRef::try_from(value).ok()?.as_str().to_owned()))
}

fn alternative_name(certificate: &Certificate) -> Option<String> {
    let (_, SubjectAltName(names)) = certificate.tbs_certificate.get().ok()??;
    names.iter().find_map(|name| match name {
        GeneralName::DnsName(text)
        | GeneralName::Rfc822Name(text)
        | GeneralName::UniformResourceIdentifier(text) => Some(text.as_str().to_owned()),
        GeneralName::OtherName(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::IpAddress(_)
        | GeneralName::RegisteredId(_) => None,
    })
}

/// `id-at-commonName` of RFC 5280.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn certificate(params: &CertificateParams) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn named(common_name: &str, alternative_names: Vec<SanType>) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        let names = &mut params.distinguished_name;
        names.push(DnType::OrganizationName, "organization");
        names.push(DnType::CommonName, common_name);
        params.subject_alt_names = alternative_names;
        certificate(&params)
    }

    #[test]
    fn finds_the_name_that_is_asked_for() {
        let names = vec![
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::Rfc822Name("sensor@example".try_into().unwrap()),
            SanType::DnsName("sensor.example".try_into().unwrap()),
        ];
        let certificate = named("Sensor 7 \u{b0}", names);
        let of = |kind| identity(&certificate, kind);
        assert_eq!(of(ClientIdentity::None), None);
        assert_eq!(of(ClientIdentity::Cn).as_deref(), Some("Sensor 7 \u{b0}"));
        assert_eq!(of(ClientIdentity::San).as_deref(), Some("sensor@example"));
    }

    #[test]
    fn takes_no_name_that_is_missing_or_odd() {
        for name in ["", "a\0b", "a\nb"] {
            let certificate = named(name, vec![]);
            assert_eq!(identity(&certificate, ClientIdentity::Cn), None, "{name:?}");
            assert_eq!(identity(&certificate, ClientIdentity::San), None);
        }
        let nonsense = CertificateDer::from(vec![0x30, 3, 1, 2, 3]);
        assert_eq!(identity(&nonsense, ClientIdentity::Cn), None);
    }

    #[test]
    fn tells_dates_that_are_not_now() {
        let mut params = CertificateParams::default();
        assert_eq!(not_valid_now(&certificate(&params)), None);
        params.not_after = date_time_ymd(2020, 2, 29);
        let said = not_valid_now(&certificate(&params)).unwrap();
        assert_eq!(said, "the certificate expired at 2020-02-29T00:00:00Z");
        params.not_before = date_time_ymd(4000, 1, 1);
        params.not_after = date_time_ymd(4001, 1, 1);
        let said = not_valid_now(&certificate(&params)).unwrap();
        assert!(
            said.starts_with("the certificate is not valid before 4000-01-01"),
            "{said}"
        );
    }
}
