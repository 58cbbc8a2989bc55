//! The header in which a proxy forwards the certificate of its client.

use std::borrow::Cow;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// The header in which a trusted proxy forwards the certificate that its client presented (`proof.certificate_header`).
///
/// The name is enough for the headers that have one format: `Client-Cert` (RFC 9440), `X-Forwarded-Client-Cert` (Envoy),
/// `X-Forwarded-Tls-Client-Cert` (Traefik) and `X-SSL-Client-Cert` (nginx). Others need `{ name, format }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateHeader {
    /// The name of the header.
    pub name: HeaderName,
    /// The format of its value.
    pub format: CertificateFormat,
}

/// The format in which a proxy writes a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateFormat {
    /// A byte sequence of structured fields: `:base64 of the DER:` (RFC 9440).
    Rfc9440,
    /// PEM, percent-encoded: nginx's `$ssl_client_escaped_cert`.
    Pem,
    /// Base64 of the DER, several joined by commas: Traefik, Caddy.
    Der,
    /// `X-Forwarded-Client-Cert` as Envoy writes it, with `Hash` or `Cert`.
    Xfcc,
}

impl CertificateFormat {
    /// Returns the format that the header of this name usually has.
    fn of(name: &HeaderName) -> Option<Self> {
        match name.as_str() {
            "client-cert" => Some(Self::Rfc9440),
            "x-ssl-client-cert" => Some(Self::Pem),
            "x-forwarded-tls-client-cert" => Some(Self::Der),
            "x-forwarded-client-cert" => Some(Self::Xfcc),
            _ => None,
        }
    }
}

/// The forms in which the setting is written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Name(String),
    Full(Full),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    name: String,
    format: CertificateFormat,
}

impl<'de> Deserialize<'de> for CertificateHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (name, format) = match Written::deserialize(deserializer)? {
            Written::Name(name) => (name, None),
            Written::Full(Full { name, format }) => (name, Some(format)),
        };
        let header: HeaderName = name
            .parse()
            .map_err(|_| de::Error::custom(format_args!("expected the name of a header, found `{name}`")))?;
        let format = format.or_else(|| CertificateFormat::of(&header)).ok_or_else(|| {
            de::Error::custom(format_args!(
                "the format of `{name}` is not known; write `{{ name: {name}, format: rfc9440 | pem | der | xfcc }}`"
            ))
        })?;
        Ok(Self { name: header, format })
    }
}

impl JsonSchema for CertificateHeader {
    fn schema_name() -> Cow<'static, str> {
        "CertificateHeader".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The header in which a trusted proxy forwards the certificate of its client.",
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": {
                        "name": { "type": "string" },
                        "format": { "enum": ["rfc9440", "pem", "der", "xfcc"] },
                    },
                    "required": ["name", "format"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> Result<CertificateHeader, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn the_usual_names_have_their_formats() {
        for (name, format) in [
            ("Client-Cert", CertificateFormat::Rfc9440),
            ("X-SSL-Client-Cert", CertificateFormat::Pem),
            ("X-Forwarded-Tls-Client-Cert", CertificateFormat::Der),
            ("X-Forwarded-Client-Cert", CertificateFormat::Xfcc),
        ] {
            assert_eq!(header(&format!("{name:?}")).unwrap().format, format, "{name}");
        }
    }

    #[test]
    fn another_name_needs_its_format() {
        assert!(header(r#""X-Cert""#).unwrap_err().contains("the format of `X-Cert` is not known"));
        let found = header(r#"{ "name": "X-Cert", "format": "der" }"#).unwrap();
        assert_eq!((found.name.as_str(), found.format), ("x-cert", CertificateFormat::Der));
        assert!(header(r#""X Cert""#).unwrap_err().contains("the name of a header"));
    }
}
