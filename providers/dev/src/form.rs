//! The parameters of a request.

use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::Value;

use crate::refusal::Refusal;

/// Parameters, each at most once (RFC 6749, section 3.2); one without a value counts as left out.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form, or a JSON object where the emulated provider takes one.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8], takes_json: bool) -> Result<Self, Refusal> {
        match media_type(headers) {
            Some("application/x-www-form-urlencoded") => {
                Self::without_repetition(url::form_urlencoded::parse(body).into_owned())
            }
            Some("application/json") if takes_json => Self::from_json(body),
            _ => Err(Refusal::NotAForm),
        }
    }

    /// Reads the query of a URL.
    pub(crate) fn of_query(query: &str) -> Result<Self, Refusal> {
        Self::without_repetition(url::form_urlencoded::parse(query.as_bytes()).into_owned())
    }

    /// Returns the parameters with another value for one of them; an empty one leaves it out.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs: Vec<_> = self.0.iter().filter(|(key, _)| key != name).cloned().collect();
        if !value.is_empty() {
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Self(pairs)
    }

    /// Returns all parameters, in their order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The parameter's value.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that must be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, Refusal> {
        self.value(name).ok_or(Refusal::MissingParameter { name })
    }

    fn from_json(body: &[u8]) -> Result<Self, Refusal> {
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
            return Err(Refusal::NotAForm);
        };
        let pairs = members.into_iter().filter_map(|(key, value)| match value {
            Value::String(text) => Some((key, text)),
            _ => None,
        });
        Self::without_repetition(pairs)
    }

    fn without_repetition(pairs: impl Iterator<Item = (String, String)>) -> Result<Self, Refusal> {
        let mut form = Self(Vec::new());
        for (key, value) in pairs.filter(|(_, value)| !value.is_empty()) {
            if form.value(&key).is_some() {
                return Err(Refusal::RepeatedParameter { name: key });
            }
            form.0.push((key, value));
        }
        Ok(form)
    }
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(kind: &'static str, body: &str, takes_json: bool) -> Result<Form, Refusal> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        Form::read(&headers, body.as_bytes(), takes_json)
    }

    #[test]
    fn a_parameter_given_twice_is_refused_by_name() {
        let refused = read("application/x-www-form-urlencoded; charset=utf-8", "scope=a&scope=b", false);
        assert_eq!(refused.err(), Some(Refusal::RepeatedParameter { name: "scope".to_owned() }));
    }

    #[test]
    fn an_empty_parameter_counts_as_left_out() {
        let form = read("application/x-www-form-urlencoded", "scope=&a=b%20c", false).unwrap();
        assert_eq!((form.value("scope"), form.value("a")), (None, Some("b c")));
    }

    #[test]
    fn json_is_a_form_only_where_the_provider_takes_it() {
        assert_eq!(read("application/json", r#"{"a":"b"}"#, true).unwrap().value("a"), Some("b"));
        assert_eq!(read("application/json", r#"{"a":"b"}"#, false).err(), Some(Refusal::NotAForm));
    }
}
