//! Pages where JSON is due: is it HTML, and what is its title? A few linear scans; nothing here is
//! a parser of HTML.

/// Elements that a page may begin with when it has no doctype.
const ELEMENTS: [&str; 16] = [
    "html", "head", "body", "title", "script", "style", "meta", "link", "h1", "h2", "center",
    "div", "p", "form", "table", "iframe",
];

/// The longest entity that is looked for, between `&` and `;`.
const LONGEST_ENTITY: usize = 10;

/// Whether a text begins as a page of HTML does, behind a byte order mark, white space, comments
/// and an XML declaration.
pub(super) fn is_html(text: &str) -> bool {
    let Some(tag) = begin(text).strip_prefix('<') else {
        return false;
    };
    let name = tag.split(|c: char| c.is_whitespace() || c == '>' || c == '/');
    let name = name.map(str::to_ascii_lowercase).next().unwrap_or_default();
    name == "!doctype" && !has_prefix(begin_of_doctype(tag), "svg")
        || ELEMENTS.contains(&name.as_str())
}

/// Whether a text begins with a tag, an XML declaration or a comment.
pub(super) fn is_markup(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let mut characters = text.chars();
    characters.next() == Some('<')
        && characters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '!' | '?' | '_'))
}

/// A text from its first tag on.
fn begin(text: &str) -> &str {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let behind = if let Some(comment) = rest.strip_prefix("<!--") {
            behind(comment, "-->")
        } else if let Some(declaration) = rest.strip_prefix("<?") {
            behind(declaration, "?>")
        } else {
            return rest;
        };
        rest = behind.trim_start();
    }
}

/// What a doctype is of.
fn begin_of_doctype(tag: &str) -> &str {
    tag.split_once(char::is_whitespace)
        .map_or("", |(_, of)| of.trim_start())
}

fn behind<'a>(text: &'a str, end: &str) -> &'a str {
    text.find(end).map_or("", |at| &text[at + end.len()..])
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|found| found.eq_ignore_ascii_case(prefix))
}

/// The title of a page, entities decoded, in one line. None if there is none or it is empty.
pub(super) fn title(page: &str) -> Option<String> {
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = behind(comment, "-->");
            continue;
        }
        let hidden = ["script", "style"]
            .into_iter()
            .find(|name| is_element(rest, name));
        if let Some(name) = hidden {
            rest = skip_element(rest, name);
        } else if is_element(rest, "title") {
            let text = behind(rest, ">");
            let text = &text[..text.find('<').unwrap_or(text.len())];
            let title = one_line(&decode_entities(text));
            return (!title.is_empty()).then_some(title);
        }
    }
    None
}

/// Whether a tag, from its name on, is of that element.
fn is_element(tag: &str, name: &str) -> bool {
    has_prefix(tag, name)
        && tag[name.len()..]
            .chars()
            .next()
            .is_none_or(|c| c.is_whitespace() || matches!(c, '>' | '/'))
}

/// What comes behind the end of an element whose text is no markup.
fn skip_element<'a>(tag: &'a str, name: &str) -> &'a str {
    let mut rest = tag;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        if is_element(rest, name) {
            return rest;
        }
    }
    ""
}

/// The text of XML without its tags, in one line.
pub(super) fn text(markup: &str) -> String {
    let mut text = String::new();
    let mut rest = begin(markup);
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        text.push(' ');
        rest = &rest[at..];
        rest = match rest.strip_prefix("<![CDATA[") {
            Some(data) => {
                let end = data.find("]]>").unwrap_or(data.len());
                text.push_str(&data[..end]);
                behind(data, "]]>")
            }
            None if rest.starts_with("<!--") => behind(rest, "-->"),
            None => behind(rest, ">"),
        };
    }
    text.push_str(rest);
    one_line(&decode_entities(&text))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Entities that titles have, and all numeric ones; others stay as they are.
fn decode_entities(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest
            .bytes()
            .take(LONGEST_ENTITY + 2)
            .position(|byte| byte == b';');
        let found = end.and_then(|end| Some((entity(&rest[1..end])?, end + 1)));
        match found {
            Some((character, length)) => {
                decoded.push(character);
                rest = &rest[length..];
            }
            None => {
                decoded.push('&');
                rest = &rest[1..];
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return code.ok().and_then(char::from_u32);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "middot" => '·',
        "bull" => '•',
        "laquo" => '«',
        "raquo" => '»',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "Auml" => 'Ä',
        "Ouml" => 'Ö',
        "Uuml" => 'Ü',
        "szlig" => 'ß',
        "eacute" => 'é',
        "egrave" => 'è',
        "agrave" => 'à',
        "ccedil" => 'ç',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_by_its_beginning() {
        let pages = [
            "<!DOCTYPE html><title>Sign in</title>",
            "\u{feff}\r\n\t<!doctype HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\">",
            "<!-- saved from url --> <!-- again -->\n<HTML lang=en>",
            "<?xml version=\"1.0\"?><!DOCTYPE html><html xmlns=\"http://www.w3.org/1999/xhtml\">",
            "<html>",
            "<h1>Forbidden</h1>",
            "<script>location = '/login'</script>",
            "<head/>",
        ];
        for page in pages {
            assert!(is_html(page) && is_markup(page), "{page}");
        }
        let others = [
            "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
            "<Error/>",
            "<htmlx>",
            "{\"a\":\"<html>\"}",
            "",
            "<",
            "< html>",
            "<!-- never ended",
            "<!DOCTYPE svg>",
            "text <html>",
        ];
        for other in others {
            assert!(!is_html(other), "{other}");
        }
    }

    #[test]
    fn a_title_is_found_and_its_entities_are_decoded() {
        let table = [
            ("<!DOCTYPE html><title>Sign in</title>", Some("Sign in")),
            (
                "<html><head>\n<TITLE data-x='1'>\n Sign\n in &amp; out &#8211; &#x41;&nbsp;B &lt;ok&gt; &bogus; &",
                Some("Sign in & out – A B <ok> &bogus; &"),
            ),
            (
                "<!-- <title>no</title> --><script>'<title>no</title>'</script><title>yes</title>",
                Some("yes"),
            ),
            ("<title></title><title>second</title>", None),
            ("<titles>no</titles>", None),
            ("<html><body>none", None),
            ("<title", None),
            ("<title>open", Some("open")),
            ("<script><title>x</title>", None),
            (
                "<title>&#xffffffff;&#0;&#55296;</title>",
                Some("&#xffffffff;\0&#55296;"),
            ),
        ];
        for (page, expected) in table {
            assert_eq!(title(page).as_deref(), expected, "{page}");
        }
    }

    #[test]
    fn xml_is_reduced_to_its_text() {
        let error = "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><!-- x --><Message>Access &quot;Denied&quot;</Message><a><![CDATA[b < c]]></a></Error>";
        assert_eq!(text(error), "AccessDenied Access \"Denied\" b < c");
        assert_eq!(text("<a"), "");
    }

    #[test]
    fn long_pages_take_linear_time() {
        for page in [
            "<",
            "</",
            "<!--",
            "&",
            "<title",
            "</script><script>",
            "<![CDATA[",
        ] {
            let page = page.repeat(100_000);
            let _ = (is_html(&page), title(&page), text(&page));
            let page = format!("<script>{page}");
            let _ = (is_html(&page), title(&page), text(&page));
        }
    }
}
