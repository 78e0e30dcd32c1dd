//! stub
/// The schema as a Markdown page.
#[must_use]
pub fn resource_reference() -> String {
    String::new()
}
