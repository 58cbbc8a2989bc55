//! The certificate of a client, as its own TLS connection or a trusted proxy shows it (RFC 8705, RFC 9440).
//!
//! The certificate is a proof of possession only: whoever issued it, a token that is bound to it is the client's
//! (RFC 8705, section 6.2). A trusted proxy has verified that its client holds the key, so that its header counts, and
//! never the certificate of its own connection.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode;
use scopegate_provider::{CertificateFormat, Rejection, Thumbprint};

/// The longest header value that is read: a chain of certificates with RSA keys of 4096 bits fits, percent-encoded.
const LONGEST: usize = 32 * 1024;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Returns the thumbprint of the leaf certificate in a header of this format; `None` if the header is empty, as proxies
/// send it for a client without a certificate.
///
/// # Errors
/// [`Rejection::InvalidCertificate`].
pub(crate) fn thumbprint(value: &[u8], format: CertificateFormat) -> Result<Option<Thumbprint>, Rejection> {
    if value.len() > LONGEST {
        return Err(invalid("the header is too long"));
    }
    let value = value.trim_ascii();
    if value.is_empty() {
        return Ok(None);
    }
    match format {
        CertificateFormat::Rfc9440 => {
            let inner = value.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b":"));
            of_base64(inner.ok_or(invalid("expected `:base64:` (RFC 9440)"))?)
        }
        CertificateFormat::Pem => of_pem(value),
        CertificateFormat::Der => {
            let leaf = value.split(|byte| *byte == b',').next().unwrap_or_default();
            // Traefik before version 3 escapes it.
            let leaf: Vec<u8> = percent_decode(leaf).collect();
            of_base64(leaf.trim_ascii())
        }
        CertificateFormat::Xfcc => of_xfcc(value),
    }
    .map(Some)
}

fn of_base64(text: &[u8]) -> Result<Thumbprint, Rejection> {
    let der = STANDARD.decode(text).map_err(|_| invalid("expected base64 of the certificate's DER"))?;
    of_der(&der)
}

/// Returns the SHA-256 of a certificate, which is one ASN.1 sequence with nothing after it.
fn of_der(der: &[u8]) -> Result<Thumbprint, Rejection> {
    if !is_one_sequence(der) {
        return Err(invalid("it is not a certificate in DER"));
    }
    let digest: Option<[u8; 32]> = digest(&SHA256, der).as_ref().try_into().ok();
    digest.map(Thumbprint::new).ok_or(invalid("it has no digest"))
}

fn is_one_sequence(der: &[u8]) -> bool {
    let Some((0x30, rest)) = der.split_first().map(|(tag, rest)| (*tag, rest)) else { return false };
    match rest.split_first() {
        Some((0x82, rest)) => rest
            .split_first_chunk::<2>()
            .is_some_and(|(length, contents)| usize::from(u16::from_be_bytes(*length)) == contents.len()),
        Some((0x81, rest)) => {
            rest.split_first().is_some_and(|(length, contents)| usize::from(*length) == contents.len())
        }
        Some((length @ ..=0x7F, contents)) => usize::from(*length) == contents.len(),
        _ => false,
    }
}

/// Returns the thumbprint of the first certificate of percent-encoded PEM, which is the leaf. Nothing may be before it.
fn of_pem(escaped: &[u8]) -> Result<Thumbprint, Rejection> {
    // `+` is a character of base64, so that the value is not decoded like a form.
    let text: Vec<u8> = percent_decode(escaped).collect();
    let text = str::from_utf8(&text).ok().and_then(|text| text.trim_ascii_start().strip_prefix(BEGIN));
    let (body, _) = text
        .and_then(|text| text.split_once(END))
        .ok_or(invalid("expected percent-encoded PEM that begins with the certificate"))?;
    let body: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    of_base64(&body)
}

/// Returns the thumbprint of the one element of `X-Forwarded-Client-Cert`: its `Hash`, or that of its `Cert`.
fn of_xfcc(value: &[u8]) -> Result<Thumbprint, Rejection> {
    let value = str::from_utf8(value).map_err(|_| invalid("expected ASCII"))?;
    let mut thumbprint = None;
    for pair in split_quoted(value)? {
        let (key, value) = pair.split_once('=').ok_or(invalid("expected `key=value` pairs (XFCC)"))?;
        let value = unquoted(value);
        let found = match key.trim_ascii() {
            key if key.eq_ignore_ascii_case("hash") => of_hex(&value)?,
            key if key.eq_ignore_ascii_case("cert") => of_pem(value.as_bytes())?,
            _ => continue,
        };
        if thumbprint.is_some_and(|known| known != found) {
            return Err(invalid("`Hash` and `Cert` are of different certificates"));
        }
        thumbprint = Some(found);
    }
    thumbprint.ok_or(invalid("expected `Hash` or `Cert` (XFCC)"))
}

/// Splits an element of XFCC at the `;` outside of quotes.
fn split_quoted(value: &str) -> Result<Vec<&str>, Rejection> {
    let mut pairs = Vec::new();
    let mut start = 0;
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (at, character) in value.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                return Err(invalid(
                    "expected one element of XFCC, as `SANITIZE_SET` makes it; found several",
                ));
            }
            ';' if !is_quoted => {
                pairs.push(value.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    if is_quoted {
        return Err(invalid("a quote of XFCC is not closed"));
    }
    pairs.push(value.get(start..).unwrap_or_default());
    pairs.retain(|pair| !pair.is_empty());
    Ok(pairs)
}

fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| value.to_owned(), |inner| inner.replace("\\\"", "\""))
}

fn of_hex(text: &str) -> Result<Thumbprint, Rejection> {
    let wrong = invalid("expected the SHA-256 of the certificate in hexadecimal digits (`Hash`)");
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong);
    }
    let pairs = text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    let digest: Option<[u8; 32]> =
        pairs.collect::<Option<Vec<u8>>>().and_then(|digest| digest.try_into().ok());
    digest.map(Thumbprint::new).ok_or(wrong)
}

fn invalid(detail: &'static str) -> Rejection {
    Rejection::InvalidCertificate { detail }
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::*;

    /// A sequence of 300 bytes: the contents of a certificate are not read.
    fn der(fill: u8) -> Vec<u8> {
        let mut der = vec![0x30, 0x82, 1, 44];
        der.extend([fill; 300]);
        der
    }

    fn print_of(der: &[u8]) -> Thumbprint {
        Thumbprint::new(digest(&SHA256, der).as_ref().try_into().unwrap())
    }

    fn hex(der: &[u8]) -> String {
        let digits: Vec<String> = print_of(der).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        digits.concat()
    }

    fn pem(der: &[u8], line_end: &str) -> String {
        let base64 = STANDARD.encode(der);
        let lines: Vec<&str> =
            base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        format!("{BEGIN}{line_end}{}{line_end}{END}{line_end}", lines.join(line_end))
    }

    fn escaped(text: &str) -> String {
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
    }

    fn read(value: &str, format: CertificateFormat) -> Result<Option<Thumbprint>, Rejection> {
        thumbprint(value.as_bytes(), format)
    }

    fn is_refused(value: &str, format: CertificateFormat) -> bool {
        matches!(read(value, format), Err(Rejection::InvalidCertificate { .. }))
    }

    #[test]
    fn every_format_of_a_certificate_has_the_same_thumbprint() {
        let expected = Ok(Some(print_of(&der(7))));
        let base64 = STANDARD.encode(der(7));
        assert_eq!(read(&format!(":{base64}:"), CertificateFormat::Rfc9440), expected);
        assert_eq!(read(&escaped(&pem(&der(7), "\n")), CertificateFormat::Pem), expected);
        assert_eq!(read(&base64, CertificateFormat::Der), expected);
        assert_eq!(read(&escaped(&base64), CertificateFormat::Der), expected);
        let hash = hex(&der(7));
        assert_eq!(read(&format!("By=spiffe://a;Hash={hash}"), CertificateFormat::Xfcc), expected);
        let cert = format!("Cert=\"{}\"", escaped(&pem(&der(7), "\n")));
        assert_eq!(read(&cert, CertificateFormat::Xfcc), expected);
    }

    #[test]
    fn an_empty_header_is_no_certificate() {
        for format in [
            CertificateFormat::Rfc9440,
            CertificateFormat::Pem,
            CertificateFormat::Der,
            CertificateFormat::Xfcc,
        ] {
            assert_eq!(read("", format), Ok(None));
        }
    }

    /// T3.3: of a chain, the first certificate is the client's.
    #[test]
    fn the_leaf_is_the_first_of_a_chain() {
        let expected = Ok(Some(print_of(&der(1))));
        let chain = format!("{},{}", STANDARD.encode(der(1)), STANDARD.encode(der(2)));
        assert_eq!(read(&chain, CertificateFormat::Der), expected);
        let chain = pem(&der(1), "\n") + &pem(&der(2), "\n");
        assert_eq!(read(&escaped(&chain), CertificateFormat::Pem), expected);
    }

    /// T3.5: the digest is that of the DER, not of base64 or PEM, and `Hash` is its hexadecimal form.
    #[test]
    fn the_digest_is_that_of_the_der() {
        let base64url = print_of(&der(1)).to_string();
        assert!(is_refused(&format!("Hash={base64url}"), CertificateFormat::Xfcc));
        assert!(is_refused("Hash=+f", CertificateFormat::Xfcc));
        assert!(is_refused(&format!("Hash={}", "+1".repeat(32)), CertificateFormat::Xfcc));
    }

    /// T3.6: carriage returns are ignored; junk before the certificate, other contents and long values are refused.
    #[test]
    fn only_a_certificate_and_nothing_before_it_is_read() {
        let windows = escaped(&pem(&der(1), "\r\n"));
        assert_eq!(read(&windows, CertificateFormat::Pem), Ok(Some(print_of(&der(1)))));
        let junk = escaped(&format!("subject=me\n{}", pem(&der(1), "\n")));
        assert!(is_refused(&junk, CertificateFormat::Pem));
        assert!(is_refused(&escaped(&pem(b"text", "\n")), CertificateFormat::Pem));
        assert!(is_refused(&"a".repeat(LONGEST + 1), CertificateFormat::Der));
        let mut trailing = der(1);
        trailing.push(0);
        assert!(is_refused(&STANDARD.encode(trailing), CertificateFormat::Der));
        assert!(is_refused(&STANDARD.encode(der(1)), CertificateFormat::Rfc9440));
    }

    /// T3.8: a subject that holds `,` or `;` in quotes does not split the element.
    #[test]
    fn quoted_separators_do_not_split_an_element() {
        let hash = hex(&der(1)).to_uppercase();
        let other = "0".repeat(64);
        let injected = format!("Hash={hash};Subject=\"CN=x;Hash={other},By=y;O=\\\";Hash={other}\"");
        assert_eq!(read(&injected, CertificateFormat::Xfcc), Ok(Some(print_of(&der(1)))));
        for wrong in [
            format!("Hash={hash},Hash={other}"),
            format!("Hash={hash};Hash={other}"),
            format!("Subject=\"CN=x;Hash={hash}"),
            "By=spiffe://a".to_owned(),
        ] {
            assert!(is_refused(&wrong, CertificateFormat::Xfcc), "{wrong}");
        }
    }
}
