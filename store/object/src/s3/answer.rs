//! The little of XML that answers hold: the text of an element, wherever it is.

/// More of an answer than this says nothing.
pub(super) const LARGEST: u64 = 64 << 10;

/// The text of the first element of that name. Answers have no attributes where we look.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(text.replace("&apos;", "'").replace("&#34;", "\"").replace("&#39;", "'").replace("&amp;", "&"))
}

/// Requests that take long are answered with success before they are done; what became of them is in the body.
pub(super) fn failed(xml: &str) -> bool {
    xml.contains("<Error>") && !xml.contains("<ETag>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_and_unescaped() {
        let xml = "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>a &amp; &lt;b&gt;</Message></Error>";
        assert_eq!(element(xml, "Code").as_deref(), Some("AccessDenied"));
        assert_eq!(element(xml, "Message").as_deref(), Some("a & <b>"));
        assert_eq!(element(xml, "UploadId"), None);
        assert!(failed(xml));
        for broken in ["", "<Code>", "</Code><Code>", "<Code>x"] {
            assert_eq!(element(broken, "Code"), None, "{broken}");
        }
    }
}
